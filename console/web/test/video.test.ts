// Frames off the wire, what reaches the decoder, the MP4 boxes of the fallback.
import { describe, expect, it } from 'vitest';
import { fromBase64, HEADER, readFrame, type Frame } from '../src/video/frame';
import { Beat, MANY } from '../src/video/beat';
import { BACKLOG, Gate, STAY_MS } from '../src/video/gate';
import { LATE_FOR_MS, LATE_MS, MEMORY_MS } from '../src/video/lag';
import { Meter, STALE_MS } from '../src/video/meter';
import { initSegment, mediaSegment } from '../src/video/mp4';

function message(flags: number, captureUs: bigint, pts: bigint, body: number[]): ArrayBuffer {
  const buffer = new ArrayBuffer(HEADER + body.length);
  const view = new DataView(buffer);
  view.setUint8(0, flags);
  view.setBigInt64(8, captureUs);
  view.setBigInt64(16, pts);
  new Uint8Array(buffer).set(body, HEADER);
  return buffer;
}
const frame = (key: boolean, skipped = false): Frame => ({ key, skipped, captureUs: 0, pts: 0, data: new Uint8Array(1) });

describe('a video message', () => {
  it('is read by its header', () => {
    const f = readFrame(message(3, 1_700_000_000_123_456n, 90_000n, [1, 2, 3]))!;
    expect(f).toMatchObject({ key: true, skipped: true, captureUs: 1_700_000_000_123_456, pts: 90_000 });
    expect([...f.data]).toEqual([1, 2, 3]);
  });
  it('that is too short is refused', () => {
    for (let n = 0; n <= HEADER; n++) expect(readFrame(new ArrayBuffer(n))).toBeNull();
  });
  it('has its parameters in base64', () => expect([...fromBase64('AWQAH/8=')]).toEqual([1, 0x64, 0, 0x1f, 0xff]));
});

describe('the gate before the decoder', () => {
  it('waits for a key frame', () => {
    const g = new Gate();
    expect([g.judge(frame(false), 0, 0), g.judge(frame(true), 0, 0), g.judge(frame(false), 0, 0)]).toEqual(['drop', 'decode', 'decode']);
    g.reset();
    expect(g.judge(frame(false), 0, 0)).toBe('drop');
    expect(g.skipped).toBe(0);
  });
  it('skips to the next key frame when the decoder falls behind, and counts', () => {
    const g = new Gate();
    g.judge(frame(true), 0, 0);
    expect(g.judge(frame(false), BACKLOG, 0)).toBe('decode');
    expect(g.judge(frame(false), BACKLOG + 1, 0)).toBe('drop');
    expect(g.degraded).toBe('skip');
    expect(g.judge(frame(false), 0, 0)).toBe('drop');
    expect(g.skipped).toBe(2);
    expect(g.judge(frame(true), 3, 0)).toBe('restart');
    expect(g.degraded).toBe('none');
    expect(g.judge(frame(false), 1, 0)).toBe('decode');
  });
  it('treats a hole the server tells of the same way, without blaming the decoder', () => {
    const g = new Gate();
    for (let n = 0; n < 9; n++) {
      g.judge(frame(true), 0, n);
      expect(g.judge(frame(false, true), 0, n)).toBe('drop');
      expect(g.degraded).toBe('skip');
    }
    expect(g.judge(frame(true, true), 0, 9)).toBe('decode');
  });

  /** Seconds with a key frame each, in which the decoder falls behind. */
  const overload = (g: Gate, from: number, seconds: number) => {
    for (let s = from; s < from + seconds; s++) {
      g.judge(frame(true), 0, s * 1000);
      g.judge(frame(false), BACKLOG + 1, s * 1000 + 500);
    }
  };
  it('decodes key frames only when it falls behind again and again, and all of them once the decoder has kept up', () => {
    const g = new Gate();
    overload(g, 0, 3);
    expect(g.degraded).toBe('keys');
    const relief = 2_500 + STAY_MS;
    expect([g.judge(frame(true), 0, relief - 1), g.judge(frame(false), 0, relief - 1), g.degraded]).toEqual(['decode', 'drop', 'keys']);
    expect([g.judge(frame(true), 0, relief), g.judge(frame(false), 0, relief), g.degraded]).toEqual(['decode', 'decode', 'none']);
  });
  it('stays with key frames while even those pile up', () => {
    const g = new Gate();
    overload(g, 0, 3);
    const late = 2_500 + STAY_MS;
    expect(g.judge(frame(true), 1, late)).toBe('restart');
    g.judge(frame(true), 0, late + 1_000);
    expect(g.degraded).toBe('keys');
    g.judge(frame(true), 0, late + STAY_MS);
    expect(g.degraded).toBe('none');
  });
  it('stays twice as long when it falls behind at once after leaving', () => {
    const g = new Gate();
    overload(g, 0, 3);
    const left = 2_500 + STAY_MS;
    g.judge(frame(true), 0, left);
    g.judge(frame(false), BACKLOG + 1, left + 1_000);
    expect(g.degraded).toBe('keys');
    g.judge(frame(true), 0, left + 1_000 + 2 * STAY_MS - 1);
    expect(g.degraded).toBe('keys');
    g.judge(frame(true), 0, left + 1_000 + 2 * STAY_MS);
    expect(g.degraded).toBe('none');
  });
  /** Frames of 25 a second, a key frame each second, `age` ms old when they come at `now`. */
  const feed = (g: Gate, from: number, ms: number, age: (now: number) => number) => {
    const verdicts: string[] = [];
    for (let now = from; now < from + ms; now += 40) verdicts.push(g.judge({ ...frame(now % 1_000 === 0), captureUs: (1_000_000 + now - age(now)) * 1_000 }, 0, now));
    return verdicts;
  };
  it('skips to the next key frame when pictures wait before the decoder', () => {
    const g = new Gate();
    expect(feed(g, 0, 2_000, () => 20)).not.toContain('drop');
    const late = feed(g, 2_000, 1_000, () => 20 + LATE_MS);
    expect([late.indexOf('drop') * 40, g.degraded]).toEqual([Math.ceil(LATE_FOR_MS / 40) * 40, 'skip']);
    expect(feed(g, 3_000, 1_000, () => 20)).not.toContain('drop');
  });
  it('takes a line that held pictures back and gives them at once for none of its own delays', () => {
    const g = new Gate();
    feed(g, 0, 2_000, () => 20);
    expect(feed(g, 2_000, 1_000, (now) => 20 + Math.max(0, 2_000 - (now - 2_000) * 10))).not.toContain('drop');
  });
  it('takes a clock that was set, or a line that became longer, for the new measure after a while', () => {
    const g = new Gate();
    feed(g, 0, 1_000, () => 20);
    feed(g, 1_000, 2 * MEMORY_MS, () => 5_020);
    feed(g, 1_000 + 2 * MEMORY_MS, 2 * STAY_MS, () => 5_020);
    expect(feed(g, 1_000 + 2 * MEMORY_MS + 2 * STAY_MS, 2_000, () => 5_020)).not.toContain('drop');
  });
  it('does not judge the age of a picture whose moment is not known', () => {
    const g = new Gate();
    for (let now = 0; now < 5_000; now += 40) expect(g.judge(frame(now === 0), 0, now)).toBe('decode');
  });
  it('remembers through a broken access unit that the decoder is slow', () => {
    const g = new Gate();
    overload(g, 0, 3);
    g.reset();
    expect([g.judge(frame(true), 0, 3_000), g.judge(frame(false), 0, 3_000)]).toEqual(['decode', 'drop']);
  });
});

describe('the meter', () => {
  it('gives rates, latency and the age of the picture', () => {
    const m = new Meter(0);
    expect(m.read(100).sinceMs).toBe(-1);
    for (let n = 1; n <= 15; n++) {
      m.received(10_000);
      m.paint(n * 66, (n * 66 - 120) * 1000, 0);
    }
    const r = m.read(1_000);
    expect(r.fps).toBeCloseTo(15);
    expect(r.kbps).toBeCloseTo(1_200);
    expect(r.latencyMs).toBeCloseTo(120);
    expect(m.read(3_000).sinceMs).toBe(3_000 - 990);
  });
  it('calls a picture stale after a second, or after a slow stream’s own pauses', () => {
    const quick = new Meter(0);
    for (let n = 0; n <= 25; n++) quick.paint(n * 40, 0, 0);
    expect([quick.read(1_000 + STALE_MS).stale, quick.read(1_001 + STALE_MS).stale]).toEqual([false, true]);
    const slow = new Meter(0);
    for (let n = 0; n <= 40; n++) slow.paint(n * 1_000, 0, 0);
    expect([slow.read(42_400).stale, slow.read(42_600).stale]).toEqual([false, true]);
    expect(new Meter(0).read(9_000).stale).toBe(false);
  });
  it('corrects for a server clock that differs', () => {
    const m = new Meter(0);
    m.paint(1_000, (1_000 + 5_000 - 80) * 1000, 5_000);
    expect(m.read(1_000).latencyMs).toBeCloseTo(80);
  });
});

/** Walks the boxes of an MP4 buffer: type, size, body. */
function boxes(data: Uint8Array): { type: string; body: Uint8Array }[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const out = [];
  for (let at = 0; at < data.length; ) {
    const size = view.getUint32(at);
    expect(size).toBeGreaterThanOrEqual(8);
    out.push({ type: String.fromCharCode(...data.subarray(at + 4, at + 8)), body: data.subarray(at + 8, at + size) });
    at += size;
  }
  return out;
}

describe('the MP4 of the fallback', () => {
  it('begins with the track and its parameters', () => {
    const avcC = new Uint8Array([1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 0]);
    const top = boxes(initSegment('avc1.64001f', avcC, 640, 360, 90_000));
    expect(top.map((b) => b.type)).toEqual(['ftyp', 'moov']);
    expect(boxes(top[1]!.body).map((b) => b.type)).toEqual(['mvhd', 'trak', 'mvex']);
    const text = String.fromCharCode(...initSegment('avc1.64001f', avcC, 640, 360, 90_000));
    expect(text).toContain('avc1');
    expect(text).toContain(`avcC${String.fromCharCode(...avcC)}`);
  });
  it('names H.265 for what it is', () => {
    const text = String.fromCharCode(...initSegment('hvc1.1.6.L93.90', new Uint8Array([1, 2, 3]), 640, 360, 90_000));
    expect(text).toContain(`hvcC${String.fromCharCode(1, 2, 3)}`);
    expect(text).toMatch(/hvc1.*hvc1/s);
    expect(text).not.toContain('avc');
  });
  it('points each fragment at its own bytes', () => {
    const data = new Uint8Array([0, 0, 0, 1, 0x65]);
    const segment = mediaSegment(3, 180_000, 6_000, true, data);
    const [moof, mdat] = boxes(segment);
    expect([moof!.type, mdat!.type]).toEqual(['moof', 'mdat']);
    expect([...mdat!.body]).toEqual([...data]);
    const traf = boxes(moof!.body)[1]!;
    const trun = boxes(traf.body).find((b) => b.type === 'trun')!;
    const view = new DataView(trun.body.buffer, trun.body.byteOffset);
    const offset = view.getUint32(8);
    expect([...segment.subarray(offset, offset + data.length)]).toEqual([...data]);
    expect([view.getUint32(12), view.getUint32(16), view.getUint32(20)]).toEqual([6_000, 5, 0x02000000]);
    const tfdt = boxes(traf.body).find((b) => b.type === 'tfdt')!;
    expect(Number(new DataView(tfdt.body.buffer, tfdt.body.byteOffset).getBigUint64(4))).toBe(180_000);
  });
  it('carries times beyond 32 bits', () => {
    const far = 2 ** 33 + 5;
    const tfdt = boxes(boxes(boxes(mediaSegment(1, far, 1, false, new Uint8Array(1)))[0]!.body)[1]!.body).find((b) => b.type === 'tfdt')!;
    expect(Number(new DataView(tfdt.body.buffer, tfdt.body.byteOffset).getBigUint64(4))).toBe(far);
  });
});

describe('the beat of painting', () => {
  it('is at once for a few tiles, and common for many, once each however often they ask', () => {
    const frames: (() => void)[] = [];
    const refresh = () => frames.splice(0).forEach((frame) => frame());
    const beat = new Beat((strike) => frames.push(strike));
    const painted: string[] = [];
    const tiles = ['a', 'b', 'c'].map((name) => () => void painted.push(name));
    beat.tiles = MANY - 1;
    beat.request(tiles[0]!);
    expect(painted).toEqual(['a']);
    beat.tiles = MANY;
    for (const paint of [...tiles, ...tiles]) beat.request(paint);
    beat.cancel(tiles[1]!);
    expect([painted, frames.length]).toEqual([['a'], 1]);
    refresh();
    expect(painted).toEqual(['a', 'a', 'c']);
    beat.request(tiles[1]!);
    refresh();
    expect(painted).toEqual(['a', 'a', 'c', 'b']);
    refresh();
    expect(painted).toEqual(['a', 'a', 'c', 'b']);
  });
});
