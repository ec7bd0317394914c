// Geometry of a chart of readings: scales with round ticks, a band and a line that stop at holes, what is under the pointer.
import type { ChartBucket, ChartStretch, PointChart } from '../api/types';

export interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface Scale {
  from: number;
  to: number;
  low: number;
  high: number;
}

/** A live reading that is newer than the chart. */
export interface Tail {
  at: number;
  value: number;
}

const ms = (at: string): number => Date.parse(at);

/** Round numbers between two values, some four of them. */
export function ticks(low: number, high: number, about = 4): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power;
  const out: number[] = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) out.push(Number((n * step).toPrecision(12)));
  return out;
}

/** Whole minutes, hours or days within a span, some four of them; days begin at the midnight of `offset` minutes east of UTC. */
export function timeTicks(from: number, to: number, offset = 0, about = 4): number[] {
  const minute = 60_000;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 43200, 129600].map((n) => n * minute);
  const step = steps.find((s) => s >= (to - from) / about) ?? 525_600 * minute;
  const shift = offset * minute;
  const out: number[] = [];
  for (let at = Math.ceil((from + shift) / step) * step - shift; at <= to; at += step) out.push(at);
  return out;
}

/** From the least to the greatest value, with air; a flat line lies in the middle. */
export function scaleOf(chart: PointChart, tail?: Tail): Scale {
  let [low, high] = [Infinity, -Infinity];
  for (const b of chart.buckets ?? []) {
    if (b.min !== null) low = Math.min(low, b.min);
    if (b.max !== null) high = Math.max(high, b.max);
  }
  if (tail) [low, high] = [Math.min(low, tail.value), Math.max(high, tail.value)];
  if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = [0, 1];
  const air = high > low ? (high - low) * 0.08 : Math.max(Math.abs(high) * 0.05, 0.5);
  return { from: ms(chart.from), to: Math.max(ms(chart.to), tail?.at ?? 0), low: low - air, high: high + air };
}

export const x = (at: number, s: Scale, f: Frame): number =>
  f.left + ((at - s.from) / (s.to - s.from || 1)) * (f.width - f.left - f.right);
export const y = (value: number, s: Scale, f: Frame): number =>
  f.height - f.bottom - ((value - s.low) / (s.high - s.low || 1)) * (f.height - f.top - f.bottom);

/** Runs of buckets with readings: a hole ends one. */
export function runs(buckets: ChartBucket[]): ChartBucket[][] {
  const out: ChartBucket[][] = [];
  let open: ChartBucket[] = [];
  for (const b of buckets) {
    if (b.avg === null) {
      if (open.length) out.push(open);
      open = [];
    } else open.push(b);
  }
  if (open.length) out.push(open);
  return out;
}

/** Paths of the band from least to greatest and of the means; each run its own piece. */
export function paths(chart: PointChart, s: Scale, f: Frame, tail?: Tail): { band: string; line: string } {
  const middle = (b: ChartBucket) => x(Math.max(s.from, Math.min(s.to, ms(b.at) + chart.step_s * 500)), s, f).toFixed(1);
  const at = (value: number) => y(value, s, f).toFixed(1);
  let band = '';
  let line = '';
  const all = runs(chart.buckets ?? []);
  all.forEach((run, n) => {
    const points = run.map((b) => `${middle(b)},${at(b.avg as number)}`);
    const last = run[run.length - 1];
    if (n === all.length - 1 && last && tail && tail.at - ms(last.at) < chart.step_s * 4000 + 120_000) points.push(`${x(tail.at, s, f).toFixed(1)},${at(tail.value)}`);
    // A lonely reading is a dot: a line of no length with round ends.
    line += `M${points.join('L')}${points.length === 1 ? 'h0.01' : ''}`;
    const over = run.map((b) => `${middle(b)},${at(b.max as number)}`);
    const under = run.map((b) => `${middle(b)},${at(b.min as number)}`).reverse();
    if (run.length > 1) band += `M${[...over, ...under].join('L')}Z`;
  });
  return { band, line };
}

/** The index of the bucket or stretch that a moment is in, or is nearest to; -1 when there is none. */
export function nearest(chart: PointChart, at: number): number {
  if (chart.kind === 'states') {
    const stretches = chart.stretches ?? [];
    const inside = stretches.findIndex((s) => ms(s.from) <= at && at < ms(s.to));
    return inside >= 0 ? inside : at < ms(stretches[0]?.from ?? '') ? Math.min(0, stretches.length - 1) : stretches.length - 1;
  }
  let best = -1;
  let least = Infinity;
  (chart.buckets ?? []).forEach((b, n) => {
    const away = Math.abs(ms(b.at) + chart.step_s * 500 - at);
    if (away < least) [best, least] = [n, away];
  });
  return best;
}

/** The moment of a bucket (its middle) or a stretch (its begin). */
export function momentOf(chart: PointChart, n: number): number {
  return chart.kind === 'states' ? ms(chart.stretches?.[n]?.from ?? '') : ms(chart.buckets?.[n]?.at ?? '') + chart.step_s * 500;
}

/** Seconds in each state, the longest first. */
export function secondsIn(stretches: ChartStretch[]): [ChartStretch['state'], number][] {
  const sums = new Map<ChartStretch['state'], number>();
  for (const s of stretches) sums.set(s.state, (sums.get(s.state) ?? 0) + (ms(s.to) - ms(s.from)) / 1000);
  return [...sums].sort((a, b) => b[1] - a[1]);
}
