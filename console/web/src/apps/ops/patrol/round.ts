// What a round says of itself.
import type { PatrolRound } from '../../../api/types';

/** Stops not attested. */
export const left = (round: PatrolRound): number => round.stops.filter((stop) => !stop.attest).length;

/** Stops that were not in order. */
export const abnormal = (round: PatrolRound): number => round.stops.filter((stop) => stop.attest?.verdict === 'abnormal').length;

/** The next stop to look at after this one, going round; -1 when all are attested. */
export function following(round: PatrolRound, after: number): number {
  const n = round.stops.length;
  for (let step = 1; step <= n; step++) {
    const at = (after + step) % n;
    if (!round.stops[at]!.attest) return at;
  }
  return -1;
}

/** Moves an item of a list by so many places, as far as the list goes. */
export function moved<T>(list: T[], from: number, by: number): T[] {
  const to = Math.min(Math.max(from + by, 0), list.length - 1);
  const next = [...list];
  const [item] = next.splice(from, 1);
  next.splice(to, 0, item!);
  return next;
}
