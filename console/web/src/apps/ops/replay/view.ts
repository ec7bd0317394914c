// The timeline's geometry: which stretch of time is shown, and what of it is where.
export interface View {
  from: number;
  to: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** The zooms with a button, ms. */
export const ZOOMS = { '10m': 10 * MINUTE, '1h': HOUR, '6h': 6 * HOUR, '24h': 24 * HOUR } as const;
export type Zoom = keyof typeof ZOOMS;
export const SHORTEST = MINUTE;
export const LONGEST = 7 * 24 * HOUR;

export const lengthOf = (view: View): number => view.to - view.from;

/** A view of a length around a moment, which stays at its share of the width. */
export function zoomTo(view: View, around: number, length: number): View {
  const wanted = Math.min(LONGEST, Math.max(SHORTEST, length));
  const share = Math.min(1, Math.max(0, (around - view.from) / lengthOf(view)));
  const from = around - share * wanted;
  return { from, to: from + wanted };
}

export const shift = (view: View, by: number): View => ({ from: view.from + by, to: view.to + by });

/** The same view where a moment is in it; else moved so that the moment is near the edge it left by, going on. */
export function keepIn(view: View, at: number): View {
  if (at >= view.from && at <= view.to) return view;
  const length = lengthOf(view);
  if (at > view.to && at < view.to + length) return shift(view, at - view.to + length * 0.6);
  if (at < view.from && at > view.from - length) return shift(view, at - view.from - length * 0.6);
  return { from: at - length / 2, to: at + length / 2 };
}

/** Where a moment is, 0 to 1; outside the view below or above. */
export const share = (view: View, at: number): number => (at - view.from) / lengthOf(view);
export const momentAt = (view: View, fraction: number): number => view.from + fraction * lengthOf(view);

/** Left and width in percent of what is seen of a stretch; null when nothing is. */
export function bar(view: View, from: number, to: number): { left: number; width: number } | null {
  const a = Math.max(0, share(view, from));
  const b = Math.min(1, share(view, to));
  return b > a ? { left: a * 100, width: (b - a) * 100 } : null;
}

/** The mark after or before a moment, by time. */
export function nextMark<T extends { at: string }>(marks: T[], at: number, direction: 1 | -1): T | undefined {
  const times = [...marks].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  // One that was just jumped to begins a little before its moment: it is not its own successor.
  return direction > 0 ? times.find((m) => Date.parse(m.at) > at + LEAD_MS + 250) : times.findLast((m) => Date.parse(m.at) < at + LEAD_MS - 250);
}

/** One jumps to a little before a mark, ms: to see it come. */
export const LEAD_MS = 2_000;

/** Cameras of an address: ids or keys with commas between. */
export function camerasOf(text: string, known: readonly { id: string; key: string }[], most = 4): string[] {
  const ids = text.split(',').map((word) => known.find((d) => d.id === word || d.key === word)?.id);
  return [...new Set(ids.filter((id): id is string => id !== undefined))].slice(0, most);
}
