// What a wall shows, as it is kept: in an address (a second window), in this browser, among the saved layouts.
import { AUTOMATIC, EMPTY, isAutomatic, isLayout, type Arrangement, type Layout } from './layout';
import { isBy, seconds, type By } from './sequence';

export interface Choice {
  layout: Layout;
  arrangement: Arrangement;
  page: number;
  /** `null`: it does not turn by itself. */
  by: By | null;
  every: number;
}
export const DEFAULT: Choice = { layout: 4, arrangement: AUTOMATIC, page: 0, by: null, every: 10 };

/** A layout someone gave a name. */
export interface Saved {
  name: string;
  layout: Layout;
  arrangement: Arrangement;
}
export const NAME_LENGTH = 40;
/** With names, keys and places of a large wall this many fit what the server keeps for an account. */
export const SAVED_MOST = 24;
/** Places beyond these are not kept: sixteen pages of sixteen. */
const PLACES_MOST = 256;

export type Params = Record<string, string | null>;

/** As parameters of an address; what is as usual is left out. */
export function toParams(choice: Choice): Params {
  const { layout, arrangement, page, by, every } = choice;
  return {
    layout: String(layout),
    cams: arrangement.places.length ? arrangement.places.map((key) => key ?? '*').join(',') : null,
    off: arrangement.hidden.length ? arrangement.hidden.join(',') : null,
    page: page ? String(page + 1) : null,
    by,
    every: by ? String(every) : null,
  };
}

/** Reads them back; whatever is missing or makes no sense is as in `usual`. */
export function fromParams(params: URLSearchParams, usual: Choice = DEFAULT): Choice {
  const [layout, cams, off] = [params.get('layout'), params.get('cams'), params.get('off')];
  const [page, by, every] = [params.get('page'), params.get('by'), params.get('every')];
  const n = Number(layout);
  const listed = cams !== null || off !== null;
  return {
    layout: isLayout(n) ? n : usual.layout,
    arrangement: listed
      ? {
          places: cams ? cams.split(',').slice(0, PLACES_MOST).map((key) => (key === '*' ? null : key)) : [],
          hidden: off ? off.split(',').filter(Boolean).slice(0, PLACES_MOST) : [],
        }
      : usual.arrangement,
    page: page !== null ? Math.max(0, (Math.round(Number(page)) || 1) - 1) : usual.page,
    by: by && isBy(by) ? by : layout !== null ? null : usual.by,
    every: every !== null ? seconds(Number(every)) : usual.every,
  };
}

function arrangementOf(value: unknown): Arrangement {
  const { places, hidden } = (value ?? {}) as { places?: unknown; hidden?: unknown };
  const list = (x: unknown) => (Array.isArray(x) ? x.slice(0, PLACES_MOST) : []);
  const found: Arrangement = {
    places: list(places).map((key) => (typeof key === 'string' ? key : null)),
    hidden: list(hidden).filter((key): key is string => typeof key === 'string' && key !== EMPTY),
  };
  return isAutomatic(found) ? AUTOMATIC : found;
}

/** Reads what this browser kept, whoever wrote it. */
export function choiceOf(value: unknown): Choice {
  const kept = (value ?? {}) as Partial<Record<keyof Choice, unknown>>;
  return {
    layout: isLayout(kept.layout as number) ? (kept.layout as Layout) : DEFAULT.layout,
    arrangement: arrangementOf(kept.arrangement),
    page: Number.isInteger(kept.page) ? Math.max(0, kept.page as number) : 0,
    by: typeof kept.by === 'string' && isBy(kept.by) ? kept.by : null,
    every: typeof kept.every === 'number' ? seconds(kept.every) : DEFAULT.every,
  };
}

/** Reads the saved layouts out of an account's preferences; what is none is left out. */
export function savedOf(value: unknown): Saved[] {
  const list = (value as { saved?: unknown } | null | undefined)?.saved;
  if (!Array.isArray(list)) return [];
  return list.slice(0, SAVED_MOST).flatMap((entry: Partial<Saved> | null) =>
    entry && typeof entry.name === 'string' && entry.name && isLayout(entry.layout as number)
      ? [{ name: entry.name.slice(0, NAME_LENGTH), layout: entry.layout!, arrangement: arrangementOf(entry.arrangement) }]
      : [],
  );
}

/** Adds one, or puts it in the place of the one of its name. */
export function keep(list: readonly Saved[], saved: Saved): Saved[] {
  const at = list.findIndex((x) => x.name === saved.name);
  return at < 0 ? [...list, saved] : list.map((x, n) => (n === at ? saved : x));
}
