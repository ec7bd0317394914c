// How far a stream is behind its own best, wherever its pictures wait: on the line, in the queue of a worker that shares a busy
// processor, or in the decoder. Measured against the least age of late, so that a clock that is wrong, or set, does not count.

/** Behind by so much, milliseconds, … */
export const LATE_MS = 400;
/** … and for so long: what a line held back comes at once and is caught up with sooner. */
export const LATE_FOR_MS = 300;
/** The least age is that of the last one to two of these. */
export const MEMORY_MS = 10_000;

export class Lag {
  private least = Infinity;
  private before = Infinity;
  private turned = -Infinity;
  private since = Infinity;

  /** Whether the stream has been late for a while. `captureUs`: when the picture was taken, 0 where that is not known; `now`: any
   *  steady milliseconds. */
  late(captureUs: number, now: number): boolean {
    if (captureUs <= 0) return false;
    const age = now - captureUs / 1000;
    if (now - this.turned >= MEMORY_MS) {
      this.before = this.least;
      this.least = age;
      this.turned = now;
    }
    this.least = Math.min(this.least, age);
    if (age - Math.min(this.least, this.before) < LATE_MS) this.since = Infinity;
    else this.since = Math.min(this.since, now);
    return now - this.since >= LATE_FOR_MS;
  }
}
