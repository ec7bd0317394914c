// The order of the queue, floods, and moving through it by keys.
import { describe, expect, it } from 'vitest';
import type { Alarm, Priority } from '../src/api/types';
import { byUrgency, groupByPlace, isFlood, openAlarms, step } from '../src/live/alarms';

const T0 = Date.parse('2026-01-01T00:00:00Z');
function alarm(id: string, priority: Priority, seconds: number, more: Partial<Alarm> = {}): Alarm {
  return {
    id, type: 'smoke', priority, device: null, place: 'p', title: {}, raised_at: new Date(T0 + seconds * 1000).toISOString(), observed_at: null,
    active: true, acked: false, acked_by: null, acked_at: null, cleared_at: null, latched: false, shelved_until: null, shelve_reason: '',
    suppressed: false, letter: 'B', occurrences: 1, cameras: [], work_order: null, source: '', ...more,
  };
}

describe('the queue', () => {
  it('puts the unacknowledged first, then the more urgent, then the newer', () => {
    const list = [alarm('acked-p1', 1, 50, { acked: true }), alarm('p3-new', 3, 90), alarm('p2-old', 2, 10), alarm('p2-new', 2, 20), alarm('p1', 1, 5)];
    expect(list.sort(byUrgency).map((a) => a.id)).toEqual(['p1', 'p2-new', 'p2-old', 'p3-new', 'acked-p1']);
  });

  it('keeps what has returned but nobody has acknowledged, and hides the shelved and suppressed', () => {
    expect(openAlarms.isOpen(alarm('a', 1, 0, { active: false }))).toBe(true);
    expect(openAlarms.isOpen(alarm('a', 1, 0, { active: false, acked: true }))).toBe(false);
    expect(openAlarms.isOpen(alarm('a', 1, 0, { active: false, acked: true, latched: true }))).toBe(true);
    expect(openAlarms.isOpen(alarm('a', 1, 0, { shelved_until: 'x' }))).toBe(false);
    expect(openAlarms.isOpen(alarm('a', 1, 0, { suppressed: true }))).toBe(false);
    expect(openAlarms.isOver(alarm('a', 1, 0, { active: false, acked: true }))).toBe(true);
    expect(openAlarms.isOver(alarm('a', 1, 0, { active: false }))).toBe(false);
  });

  it('calls more than ten in ten minutes a flood, not ten', () => {
    const now = T0 + 600_000;
    const ten = Array.from({ length: 10 }, (_, n) => alarm(`${n}`, 3, n));
    expect(isFlood(ten, now)).toBe(false);
    expect(isFlood([...ten, alarm('x', 3, 11)], now)).toBe(true);
    expect(isFlood([...ten, alarm('x', 3, 11)], now + 600_000)).toBe(false);
  });

  it('groups by place, each as urgent as its worst', () => {
    const sorted = [alarm('a', 1, 0, { place: 'x' }), alarm('b', 2, 0, { place: 'y' }), alarm('c', 3, 0, { place: 'x', acked: true })];
    const groups = groupByPlace(sorted);
    expect(groups.map((g) => [g.place, g.priority, g.unacked, g.alarms.length])).toEqual([['x', 1, 1, 2], ['y', 2, 1, 1]]);
  });

  it('moves up and down and stays inside', () => {
    const rows = [alarm('a', 1, 0), alarm('b', 1, 0), alarm('c', 1, 0)];
    expect(step(rows, null, 1)).toBe('a');
    expect(step(rows, null, -1)).toBe('c');
    expect(step(rows, 'b', 1)).toBe('c');
    expect(step(rows, 'c', 1)).toBe('c');
    expect(step(rows, 'gone', 1)).toBe('a');
    expect(step([], 'a', 1)).toBeNull();
  });
});
