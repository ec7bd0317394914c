// Which camera is where on the wall. Cameras go by their keys; a wall is one long list, its pages are cuts of it.
//
//   places:  chosen by hand, in their places   'gate'   EMPTY: left empty on purpose   null: filled
//   the list: places, holes filled with the cameras not yet on it, the rest of them behind
export const LAYOUTS = [1, 4, 6, 9, 16] as const;
export type Layout = (typeof LAYOUTS)[number];

export const isLayout = (n: number): n is Layout => (LAYOUTS as readonly number[]).includes(n);
/** Columns of the grid; the layout of six is one large tile of 2 × 2 with five around it. */
export const columns: Record<Layout, number> = { 1: 1, 4: 2, 6: 3, 9: 3, 16: 4 };

/** A place that stays empty. */
export const EMPTY = '';
/** Stands for the alarm's clip among cameras. */
export const REPLAY = 'replay';

export type Cells = (string | null)[];

export interface Arrangement {
  readonly places: readonly (string | null)[];
  /** Cameras taken off the wall: they fill no hole. */
  readonly hidden: readonly string[];
}
export const AUTOMATIC: Arrangement = { places: [], hidden: [] };
export const isAutomatic = (a: Arrangement): boolean => a.places.length === 0 && a.hidden.length === 0;

/** The whole wall, every page of it. A camera that is gone, or named twice, leaves its place to another. */
export function arrange(a: Arrangement, cameras: readonly string[]): Cells {
  const there = new Set(cameras);
  const seen = new Set<string>();
  const places = a.places.map((key) => {
    if (key === null || key === EMPTY) return key;
    if (!there.has(key) || seen.has(key)) return null;
    seen.add(key);
    return key;
  });
  const hidden = new Set(a.hidden);
  const rest = cameras.filter((key) => !seen.has(key) && !hidden.has(key));
  const filled = places.map((key) => (key === null ? (rest.shift() ?? null) : key === EMPTY ? null : key));
  return [...filled, ...rest];
}

export const pageCount = (cells: Cells, size: number): number => Math.max(1, Math.ceil(cells.length / size));

/** One page, always `size` places; beyond the last page it is the last. */
export function pageOf(cells: Cells, size: number, page: number): Cells {
  const at = Math.min(Math.max(0, page), pageCount(cells, size) - 1) * size;
  return Array.from({ length: size }, (_, n) => cells[at + n] ?? null);
}

function settled(cells: Cells, hidden: readonly string[]): Arrangement {
  const last = cells.findLastIndex((key) => key !== null);
  return { places: cells.slice(0, last + 1).map((key) => key ?? EMPTY), hidden: [...hidden] };
}

/** Puts a camera in a place; whoever was there goes where it came from, or to the first hole. */
export function put(a: Arrangement, cameras: readonly string[], camera: string, at: number): Arrangement {
  const cells = arrange(a, cameras);
  while (cells.length <= at) cells.push(null);
  const from = cells.indexOf(camera);
  const displaced = cells[at] ?? null;
  if (from === at) return a;
  cells[at] = camera;
  if (from >= 0) cells[from] = displaced;
  else if (displaced !== null) {
    const hole = cells.indexOf(null);
    if (hole >= 0) cells[hole] = displaced;
    else cells.push(displaced);
  }
  return settled(cells, a.hidden.filter((key) => key !== camera));
}

/** Exchanges two places; either may be empty. */
export function exchange(a: Arrangement, cameras: readonly string[], one: number, other: number): Arrangement {
  const cells = arrange(a, cameras);
  if (one === other || one < 0 || other < 0) return a;
  while (cells.length <= Math.max(one, other)) cells.push(null);
  [cells[one], cells[other]] = [cells[other]!, cells[one]!];
  return settled(cells, a.hidden);
}

/** Takes what is in a place off the wall; the place stays empty. */
export function remove(a: Arrangement, cameras: readonly string[], at: number): Arrangement {
  const cells = arrange(a, cameras);
  const camera = cells[at] ?? null;
  if (camera === null) return a;
  cells[at] = null;
  return settled(cells, [...a.hidden.filter((key) => key !== camera), camera]);
}

/** Puts the linked camera first and keeps the place beside it for the replay. */
export function linkWall(wall: Cells, linked: string | null, replay: boolean): Cells {
  if (!linked) return [...wall];
  const rest = wall.filter((key) => key !== linked);
  const head: Cells = replay && wall.length > 1 ? [linked, REPLAY] : [linked];
  return [...head, ...rest].slice(0, wall.length);
}
