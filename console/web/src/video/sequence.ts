// A wall that turns by itself: groups of cameras, one after the other, each for some seconds.
import { pageCount, pageOf, type Cells, type Layout } from './layout';

/** What follows what: the wall's pages, the site's places, or the saved layouts. */
export const BY = ['pages', 'places', 'saved'] as const;
export type By = (typeof BY)[number];
export const isBy = (word: string): word is By => (BY as readonly string[]).includes(word);

export const SHORTEST_S = 3;
export const LONGEST_S = 600;
export const seconds = (n: number): number => (Number.isFinite(n) ? Math.min(LONGEST_S, Math.max(SHORTEST_S, Math.round(n))) : 10);

export interface Group {
  /** Empty where its number says all. */
  name: string;
  layout: Layout;
  cells: Cells;
}

const shows = (cells: Cells): boolean => cells.some((key) => key !== null);

/** The pages that show something. */
export function pageGroups(cells: Cells, layout: Layout, name = ''): Group[] {
  return Array.from({ length: pageCount(cells, layout) }, (_, page) => ({ name, layout, cells: pageOf(cells, layout, page) }))
    .filter((group) => shows(group.cells));
}

/** Each place with its cameras, in the order of the places; more than fit come in several groups. */
export function placeGroups(cameras: readonly { key: string; place: string }[], layout: Layout): Group[] {
  const places = new Map<string, string[]>();
  for (const { key, place } of cameras) places.set(place, [...(places.get(place) ?? []), key]);
  return [...places].flatMap(([place, keys]) => pageGroups(keys, layout, place));
}

/** Which group is on, and for how long still: steady milliseconds go in, nothing else moves it. */
export class Cycle {
  index = 0;
  /** Milliseconds until the next group. */
  left: number;

  constructor(private every: number) {
    this.left = every * 1000;
  }

  set seconds(every: number) {
    this.every = every;
    this.left = Math.min(this.left, every * 1000);
  }

  /** Time passes, unless held; whether another group is on. With one group or none nothing ever changes. */
  pass(ms: number, held: boolean, groups: number): boolean {
    if (held || groups < 2) return false;
    this.left -= ms;
    if (this.left > 0) return false;
    this.step(1, groups);
    return true;
  }

  /** By hand, forwards or backwards; the new group has its full time. */
  step(by: 1 | -1, groups: number): void {
    this.index = groups ? (Math.min(this.index, groups - 1) + by + groups) % groups : 0;
    this.left = this.every * 1000;
  }
}
