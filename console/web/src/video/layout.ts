// Which camera is where on the wall.
export const LAYOUTS = [1, 4, 6, 9, 16] as const;
export type Layout = (typeof LAYOUTS)[number];

export const isLayout = (n: number): n is Layout => (LAYOUTS as readonly number[]).includes(n);
/** Columns of the grid; the layout of six is one large tile of 2 × 2 with five around it. */
export const columns: Record<Layout, number> = { 1: 1, 4: 2, 6: 3, 9: 3, 16: 4 };

/** Fills a wall of `size` from what was chosen (in its places) and then from the cameras not yet shown. */
export function fillWall(chosen: readonly (string | null)[], cameras: readonly string[], size: number): (string | null)[] {
  const there = new Set(cameras);
  const seen = new Set<string>();
  const wall = Array.from({ length: size }, (_, n) => {
    const id = chosen[n] ?? null;
    if (id === null || !there.has(id) || seen.has(id)) return null;
    seen.add(id);
    return id;
  });
  // Only places nobody has emptied on purpose ('' marks those) are filled.
  const rest = cameras.filter((id) => !seen.has(id));
  return wall.map((id, n) => id ?? (chosen[n] === '' ? null : (rest.shift() ?? null)));
}

/** Puts the linked camera first and keeps the place beside it for the replay. */
export function linkWall(wall: readonly (string | null)[], linked: string | null, replay: boolean): (string | null)[] {
  if (!linked) return [...wall];
  const size = wall.length;
  const rest = wall.filter((id) => id !== linked);
  const head: (string | null)[] = replay && size > 1 ? [linked, REPLAY] : [linked];
  return [...head, ...rest].slice(0, size);
}

/** Stands for the alarm's clip among camera ids. */
export const REPLAY = 'replay';

export function swap<T>(list: readonly T[], a: number, b: number): T[] {
  const out = [...list];
  if (a in out && b in out) [out[a], out[b]] = [out[b]!, out[a]!];
  return out;
}
