// The one clock of a replay: all pictures follow it, it follows none of them.

export const RATES = [0.5, 1, 2, 4, 8, 16] as const;
/** A page that was hidden must not leap ahead. */
const LEAP_MS = 250;

export class ReplayClock {
  playing = false;
  rate = 1;
  private last = -1;

  /** `at`: milliseconds since 1970. */
  constructor(public at: number) {}

  /** Moves on to `now` (any steady milliseconds): not while held, not beyond `edge`. */
  advance(now: number, held: boolean, edge: number): number {
    const passed = this.last < 0 ? 0 : Math.min(Math.max(0, now - this.last), LEAP_MS);
    this.last = now;
    if (this.playing && !held) this.at += passed * this.rate;
    if (this.playing) this.at = Math.min(this.at, Math.max(edge, 0));
    return this.at;
  }

  /** The next faster (1) or slower (-1) rate. */
  shift(step: 1 | -1): number {
    const here = RATES.findIndex((rate) => rate >= this.rate);
    this.rate = RATES[Math.min(RATES.length - 1, Math.max(0, here + step))]!;
    return this.rate;
  }
}
