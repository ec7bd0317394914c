// When tiles paint. A few paint at once. Many paint together, thirty times a second: a screen that is drawn anew for each of
// sixteen tiles in its own moment is drawn at every refresh, and where no graphics card does it that is most of a core.

/** So many in one worker share a beat. */
export const MANY = 3;
/** The beat, milliseconds. It is the same in all workers: counted from 1970. */
export const BEAT_MS = 1000 / 30;

export class Beat {
  private readonly waiting = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Tiles that paint here. */
  tiles = 0;

  /** Calls `paint` now, or once at the next beat however often it is asked until then. */
  request(paint: () => void): void {
    if (this.tiles < MANY) return paint();
    this.waiting.add(paint);
    this.timer ??= setTimeout(() => this.strike(), BEAT_MS - (Date.now() % BEAT_MS));
  }

  cancel(paint: () => void): void {
    this.waiting.delete(paint);
  }

  private strike(): void {
    this.timer = undefined;
    const due = [...this.waiting];
    this.waiting.clear();
    for (const paint of due) paint();
  }
}
