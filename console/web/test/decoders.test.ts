// Who decodes for which tile, and how large a picture is painted.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Decoders } from '../src/video/decoders';
import { fitted } from '../src/video/fitted';
import type { FromWorker, ToWorker } from '../src/video/messages';

class Stand {
  static all: Stand[] = [];
  told: ToWorker[] = [];
  ended = false;
  onmessage: ((ev: { data: FromWorker }) => void) | null = null;
  onerror: ((ev: { message: string; preventDefault(): void }) => void) | null = null;
  breaks(): void {
    this.onerror?.({ message: 'for the test', preventDefault: () => {} });
  }
  constructor() {
    Stand.all.push(this);
  }
  postMessage(message: ToWorker): void {
    this.told.push(message);
  }
  terminate(): void {
    this.ended = true;
  }
}
const started = (most: number): Decoders => {
  Stand.all = [];
  return new Decoders(() => new Stand() as unknown as Worker, most);
};
const deaf = { said: () => {}, lost: () => {} };
const snapshot = (tile: number): { data: FromWorker } => ({ data: { tile, said: { t: 'snapshot', blob: null, at: 7 } } });

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('the workers that decode', () => {
  it('share the tiles evenly, however many there are', () => {
    const decoders = started(2);
    const lines = [0, 1, 2, 3, 4].map(() => decoders.open(deaf));
    lines.forEach((line) => line.tell({ t: 'snapshot' }));
    expect(Stand.all.map((worker) => worker.told.length).sort()).toEqual([2, 3]);
    expect(new Set(Stand.all.flatMap((worker) => worker.told.map((m) => m.tile))).size).toBe(5);
  });
  it('tell each tile its own, and none after it was closed', () => {
    const decoders = started(1);
    const heard: string[] = [];
    const [a, b] = ['a', 'b'].map((name) => decoders.open({ ...deaf, said: (m) => heard.push(`${name} ${m.t}`) }));
    [a, b].forEach((line) => line!.tell({ t: 'snapshot' }));
    const [worker] = Stand.all;
    const ids = worker!.told.map((m) => m.tile);
    worker!.onmessage?.(snapshot(ids[1]!));
    b!.close();
    b!.close();
    worker!.onmessage?.(snapshot(ids[1]!));
    worker!.onmessage?.(snapshot(ids[0]!));
    expect(heard).toEqual(['b snapshot', 'a snapshot']);
    expect(worker!.told.filter((m) => m.ask.t === 'close').map((m) => m.tile)).toEqual([ids[1]]);
  });
  it('are replaced when one breaks, and only its tiles are told, once', () => {
    vi.useFakeTimers();
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const decoders = started(2);
    const lost: string[] = [];
    for (const name of ['a', 'b', 'c']) decoders.open({ ...deaf, lost: () => lost.push(name) });
    Stand.all[0]!.breaks();
    Stand.all[0]!.breaks();
    expect([lost, Stand.all[0]!.ended]).toEqual([[], true]);
    vi.runAllTimers();
    expect(lost).toEqual(['a', 'c']);
    decoders.open(deaf).tell({ t: 'snapshot' });
    expect([Stand.all.length, Stand.all[2]!.told.length]).toEqual([3, 1]);
  });
});

describe('a picture is painted', () => {
  const sent = { width: 640, height: 360 };
  it('as large as it is seen, whole and in its shape', () => {
    expect(fitted(sent, { width: 431, height: 400 })).toEqual({ width: 431, height: 242 });
    expect(fitted(sent, { width: 639, height: 180 })).toEqual({ width: 320, height: 180 });
  });
  it('never larger than it was sent, and as sent where the room is unknown', () => {
    for (const box of [null, { width: 0, height: 90 }, { width: 1920, height: 1080 }, sent]) expect(fitted(sent, box)).toEqual(sent);
    expect(fitted(sent, { width: 1, height: 1 })).toEqual({ width: 1, height: 1 });
  });
});
