// The replay's pure parts: moments, the clock, what is covered, the timeline's geometry, reading fragments.
import { describe, expect, it } from 'vitest';
import { camerasOf, keepIn, LEAD_MS, nextMark, share, zoomTo } from '../src/apps/ops/replay/view';
import { ReplayClock } from '../src/video/clock';
import { Coverage } from '../src/video/coverage';
import { pictureTimes } from '../src/video/fragments';
import { civil, fromCivil, momentOf, rfc3339 } from '../src/video/moment';
import { initSegment, mediaSegment } from '../src/video/mp4';

describe('moments', () => {
  it('keep their microseconds there and back', () => {
    const text = '2026-05-01T08:00:00.123456Z';
    expect(rfc3339(momentOf(text))).toBe(text);
    expect(rfc3339(momentOf('2026-05-01T10:00:00+02:00'))).toBe('2026-05-01T08:00:00.000000Z');
    expect(rfc3339(momentOf('2026-05-01T08:00:00.9999996Z'))).toBe('2026-05-01T08:00:01.000000Z');
    expect(momentOf('yesterday')).toBeNaN();
  });
  it('are those of the site’s clocks, also around summer time', () => {
    const noon = Date.parse('2026-05-01T04:00:00Z');
    expect(civil(noon, 'Asia/Shanghai')).toBe('2026-05-01T12:00:00');
    for (const text of ['2026-03-29T01:30:00', '2026-03-29T03:30:00', '2026-10-25T04:00:00', '2026-07-01T00:00:00']) {
      expect(civil(fromCivil(text, 'Europe/Berlin'), 'Europe/Berlin')).toBe(text);
    }
    expect(fromCivil('', 'Asia/Shanghai')).toBeNaN();
  });
});

describe('the clock', () => {
  it('runs at its rate, stands while held, and stops at the edge', () => {
    const clock = new ReplayClock(10_000);
    expect(clock.advance(0, false, 99_000)).toBe(10_000);
    expect(clock.advance(100, false, 99_000)).toBe(10_000);
    clock.playing = true;
    clock.rate = 4;
    expect(clock.advance(200, false, 99_000)).toBe(10_400);
    expect(clock.advance(300, true, 99_000)).toBe(10_400);
    expect(clock.advance(400, false, 99_000)).toBe(10_800);
    expect(clock.advance(500, false, 10_900)).toBe(10_900);
  });
  it('does not leap after the page was hidden', () => {
    const clock = new ReplayClock(0);
    clock.playing = true;
    clock.advance(0, false, 1e9);
    expect(clock.advance(60_000, false, 1e9)).toBe(250);
  });
  it('has rates from a half to sixteen', () => {
    const clock = new ReplayClock(0);
    expect([1, 1, 1, 1, 1, -1].map((step) => clock.shift(step as 1 | -1))).toEqual([2, 4, 8, 16, 16, 8]);
    for (let n = 0; n < 9; n++) clock.shift(-1);
    expect(clock.rate).toBe(0.5);
  });
});

const piece = (from: number, to: number, next: number | null) => ({ from, to, next, pictures: [from, from + 40, from + 80] });

describe('what is covered', () => {
  it('goes on piece by piece, and not over a gap', () => {
    const c = new Coverage();
    c.add(piece(0, 2_000, 2_000));
    c.add(piece(2_000, 4_000, 9_000));
    expect(c.chain(100)?.to).toBe(4_000);
    expect(c.onward(c.chain(100)!)).toBeNull();
    expect(c.gapEnd(5_000, 0)).toBe(9_000);
    expect(c.chain(5_000)).toBeUndefined();
    expect(c.onward(c.pieces[0]!)).toEqual({ from: 2_000, edge: false });
  });
  it('asks again at the live edge, and takes the longer piece for the shorter', () => {
    const c = new Coverage();
    c.add(piece(0, 2_000, null));
    expect(c.onward(c.chain(0)!)).toEqual({ from: 1_800, edge: true });
    c.add(piece(0, 3_000, null));
    expect(c.pieces).toHaveLength(1);
  });
  it('believes the end of the recording only for a while', () => {
    const c = new Coverage();
    c.gap(1_000, Infinity, 500);
    expect(c.gapEnd(2_000, 400)).toBe(Infinity);
    expect(c.gapEnd(2_000, 600)).toBeNull();
  });
  it('steps from picture to picture, over the seam of pieces', () => {
    const c = new Coverage();
    c.add(piece(0, 120, 120));
    c.add(piece(120, 240, null));
    expect(c.step(81, 1)).toBe(120);
    expect(c.step(121, -1)).toBe(80);
    expect(c.step(0, -1)).toBeNull();
    expect(c.step(300, 1)).toBeNull();
    expect(c.drop(130)).toBe(120);
  });
});

describe('fragments', () => {
  it('say when each picture is shown', () => {
    const frame = new Uint8Array([0, 0, 0, 1, 9]);
    const plain = mediaSegment(1, 0, 3_600, true, frame);
    // Ours without compositions is not what the server writes: it is not taken for it.
    expect(pictureTimes(plain.buffer)).toEqual([]);
    expect(pictureTimes(initSegment('avc1.64001f', new Uint8Array([1, 2]), 640, 360, 90_000).buffer)).toEqual([]);
    // moof(traf(tfdt 90000, trun: two pictures, the second shown first)).
    const words = [
      72 + 24, 0x6d6f6f66, 80 + 8, 0x74726166,
      20, 0x74666474, 0x01000000, 0, 90_000,
      52 + 8, 0x7472756e, 0x01000f01, 2, 0, 3_600, 5, 0, 7_200, 3_600, 5, 0, 0,
    ];
    words[0] = words.length * 4;
    words[2] = words.length * 4 - 8;
    words[9] = (words.length - 9) * 4;
    const bytes = new DataView(new ArrayBuffer(words.length * 4));
    words.forEach((word, n) => bytes.setUint32(n * 4, word));
    expect(pictureTimes(bytes.buffer)).toEqual([1.04, 1.08]);
    expect(pictureTimes(bytes.buffer.slice(0, 60))).toEqual([]);
  });
});

describe('the timeline', () => {
  const view = { from: 0, to: 3_600_000 };
  it('zooms around a moment and keeps it where it was', () => {
    const closer = zoomTo(view, 900_000, 600_000);
    expect(closer.to - closer.from).toBe(600_000);
    expect(share(closer, 900_000)).toBeCloseTo(0.25);
    expect(zoomTo(view, 0, 1).to).toBe(60_000);
    expect(zoomTo(view, 0, 1e12).to).toBe(7 * 86_400_000);
  });
  it('follows the moment out of the view', () => {
    expect(keepIn(view, 100)).toBe(view);
    const on = keepIn(view, 3_700_000);
    expect(share(on, 3_700_000)).toBeCloseTo(0.4);
    expect(share(keepIn(view, 9e9), 9e9)).toBeCloseTo(0.5);
  });
  it('goes from mark to mark', () => {
    const marks = [10_000, 20_000, 30_000].map((ms) => ({ at: new Date(ms).toISOString() }));
    const at = 20_000 - LEAD_MS; // where one is after going to the second
    expect(nextMark(marks, at, 1)).toBe(marks[2]);
    expect(nextMark(marks, at, -1)).toBe(marks[0]);
    expect(nextMark(marks, 40_000, 1)).toBeUndefined();
  });
  it('knows cameras by id or key, four at most, each once', () => {
    const known = ['a', 'b', 'c', 'd', 'e'].map((key) => ({ id: `id-${key}`, key }));
    expect(camerasOf('id-a,b,a,nowhere,c,d,e', known)).toEqual(['id-a', 'id-b', 'id-c', 'id-d']);
    expect(camerasOf('', known)).toEqual([]);
  });
});
