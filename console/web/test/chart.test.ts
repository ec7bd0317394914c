// Geometry of a chart of readings.
import { describe, expect, it } from 'vitest';
import type { ChartBucket, PointChart } from '../src/api/types';
import { nearest, paths, runs, scaleOf, secondsIn, ticks, timeTicks } from '../src/lib/chart';

const T0 = Date.parse('2026-05-04T00:00:00Z');
const iso = (minute: number) => new Date(T0 + minute * 60_000).toISOString();
const bucket = (minute: number, avg: number | null): ChartBucket => ({
  at: iso(minute), avg, min: avg === null ? null : avg - 1, max: avg === null ? null : avg + 1, last: avg, count: avg === null ? 0 : 6,
});
const frame = { width: 100, height: 50, left: 0, right: 0, top: 0, bottom: 0 };
const numbers = (buckets: ChartBucket[]): PointChart => ({
  device: 'd', point: 'temperature', unit: '°C', from: iso(0), to: iso(10), resolution: '1min', step_s: 60, kind: 'numbers', buckets,
});

describe('a chart of numbers', () => {
  const chart = numbers([bucket(0, 20), bucket(1, 21), bucket(2, null), bucket(7, 25), bucket(8, 24)]);
  it('shows a hole as a hole', () => {
    expect(runs(chart.buckets!).map((run) => run.length)).toEqual([2, 2]);
    const { line, band } = paths(chart, scaleOf(chart), frame);
    expect(line.match(/M/g)).toHaveLength(2);
    expect(band.match(/Z/g)).toHaveLength(2);
    expect(line + band).not.toContain('NaN');
  });
  it('draws a lonely reading and a chart of nothing', () => {
    const one = numbers([bucket(3, 20)]);
    expect(paths(one, scaleOf(one), frame)).toMatchObject({ band: '', line: expect.stringMatching(/^M[\d.,]+h/) });
    const none = numbers([]);
    expect(paths(none, scaleOf(none), frame)).toEqual({ band: '', line: '' });
    expect(nearest(none, T0)).toBe(-1);
  });
  it('goes on to a live reading, but not across a hole', () => {
    const soon = { at: T0 + 10 * 60_000, value: 30 };
    expect(scaleOf(chart, soon).high).toBeGreaterThan(30);
    expect(paths(chart, scaleOf(chart, soon), frame, soon).line).toContain('L100.0,');
    const much = { at: T0 + 60 * 60_000, value: 30 };
    expect(paths(chart, scaleOf(chart, much), frame, much).line).not.toContain('L100.0,');
  });
  it('finds what is under the pointer', () => {
    expect(nearest(chart, T0 + 7.6 * 60_000)).toBe(3);
    expect(nearest(chart, T0)).toBe(0);
  });
});

describe('scales', () => {
  it('have round ticks', () => {
    expect(ticks(18.7, 22.4)).toEqual([19, 20, 21, 22]);
    expect(ticks(0, 0.35)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticks(5, 5)).toEqual([5]);
    const day = 86_400_000;
    expect(timeTicks(T0, T0 + 4 * day, 480).map((at) => (at + 8 * 3_600_000) % day)).toEqual([0, 0, 0, 0]);
    expect(timeTicks(T0, T0 + 3_600_000)).toHaveLength(5);
  });
});

describe('states', () => {
  const chart: PointChart = {
    device: 'd', point: 'contact', unit: '', from: iso(0), to: iso(10), resolution: 'raw', step_s: 1, kind: 'states',
    stretches: [
      { from: iso(0), to: iso(4), state: 'closed', mixed: false },
      { from: iso(4), to: iso(5), state: 'open', mixed: false },
      { from: iso(5), to: iso(10), state: 'closed', mixed: false },
    ],
  };
  it('add up, and are found', () => {
    expect(secondsIn(chart.stretches!)).toEqual([['closed', 540], ['open', 60]]);
    expect(nearest(chart, T0 + 4.5 * 60_000)).toBe(1);
    expect(nearest(chart, T0 + 99 * 60_000)).toBe(2);
  });
});
