// The figures of the latency measurement, from what a sampler saw.
import { describe, expect, it } from 'vitest';
// @ts-expect-error: a script of the measurement, without types
import { figures } from '../e2e/strip.mjs';

/** Pictures every 40 ms in turns of a second, each seen after `latency`; those of `missing` never. */
function tile(count: number, latency: (n: number) => number, missing: number[] = []) {
  const turns: { at: number; seen: number[][] }[] = [];
  for (let n = 0; n < count; n++) {
    if (n % 25 === 0) turns.push({ at: n * 40, seen: [] });
    if (!missing.includes(n)) turns.at(-1)!.seen.push([n * 40, n * 40 + latency(n)]);
  }
  return { first: 60, turns, degraded: 1, looks: 4 };
}

describe('the figures', () => {
  it('are of what was seen after the wall had settled', () => {
    const f = figures([tile(500, (n) => (n < 50 ? 900 : 20)), tile(100, () => 30)], 3_000);
    expect(f).toMatchObject({ tiles: 2, tiles_read: 2, p50_ms: 20, p99_ms: 30, max_ms: 30, dropped: 0, drift_ms: 0, first_picture_max_ms: 60, degraded_percent: 25 });
  });
  it('count what is missing between the pictures of a turn, and not from one to the next', () => {
    const f = figures([tile(101, () => 20, [10, 11, 60])], 0);
    expect([f.pictures, f.dropped]).toEqual([97, 3]);
    const still = Array.from({ length: 25 }, (_, n) => 25 + n);
    expect(figures([tile(101, () => 20, still)], 0).dropped, 'a tile that stood still for a turn').toBe(24);
  });
  it('tell a wall that falls behind', () => expect(figures([tile(1_025, (n) => 20 + n / 10)], 0).drift_ms).toBeCloseTo(90));
  it('say how many tiles showed nothing', () => expect(figures([tile(9, () => 1), tile(0, () => 1)], 0)).toMatchObject({ tiles: 2, tiles_read: 1 }));
});
