// What an operator's queue shows and in which order (ISA-18.2 facts in, rows out).
import type { Alarm, Priority } from '../api/types';

/** More than this many in {@link FLOOD_WINDOW_MS} is a flood (EEMUA 191: ten in ten minutes). */
export const FLOOD_COUNT = 10;
export const FLOOD_WINDOW_MS = 10 * 60_000;

export const openAlarms = {
  /** Asks for attention: active, or gone but nobody has acknowledged it. */
  isOpen: (a: Alarm): boolean => !a.closed_at && (a.active || !a.acked || a.latched) && !a.shelved_until && !a.suppressed,
  /** Needs nothing more and can leave the desk. */
  isOver: (a: Alarm): boolean => !!a.closed_at || (!a.active && a.acked && !a.latched && !a.shelved_until && !a.suppressed),
};

/** Unacknowledged first, then by priority, then the newest first. */
export function byUrgency(a: Alarm, b: Alarm): number {
  if (a.acked !== b.acked) return a.acked ? 1 : -1;
  if (a.priority !== b.priority) return a.priority - b.priority;
  return a.raised_at < b.raised_at ? 1 : a.raised_at > b.raised_at ? -1 : 0;
}

export function isFlood(alarms: Alarm[], now: number): boolean {
  let recent = 0;
  for (const a of alarms) if (now - Date.parse(a.raised_at) <= FLOOD_WINDOW_MS) recent++;
  return recent > FLOOD_COUNT;
}

export interface Group {
  place: string;
  priority: Priority;
  unacked: number;
  alarms: Alarm[];
}

/** Rows by place, the most urgent place first; the order inside a place is kept. */
export function groupByPlace(sorted: Alarm[]): Group[] {
  const groups = new Map<string, Group>();
  for (const alarm of sorted) {
    const place = alarm.place ?? '';
    let group = groups.get(place);
    if (!group) groups.set(place, (group = { place, priority: alarm.priority, unacked: 0, alarms: [] }));
    group.alarms.push(alarm);
    if (!alarm.acked) group.unacked++;
    if (alarm.priority < group.priority) group.priority = alarm.priority;
  }
  return [...groups.values()];
}

/** The row after (or before) `id`, clamped to the list. */
export function step(rows: Alarm[], id: string | null, by: 1 | -1): string | null {
  if (rows.length === 0) return null;
  const at = rows.findIndex((a) => a.id === id);
  if (at < 0) return rows[by === 1 ? 0 : rows.length - 1]!.id;
  return rows[Math.min(rows.length - 1, Math.max(0, at + by))]!.id;
}
