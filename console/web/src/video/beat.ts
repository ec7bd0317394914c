// When tiles paint. A few paint at once. Many paint together, at the beat of the screen: a screen that is drawn anew for each of
// sixteen tiles in its own moment costs a processor without a graphics card a core.

/** So many in one worker share a beat. */
export const MANY = 3;

export class Beat {
  private readonly waiting = new Set<() => void>();
  private due = false;
  /** Tiles that paint here. */
  tiles = 0;

  /** `next`: calls back when the screen is drawn next. */
  constructor(private readonly next: (strike: () => void) => unknown = requestAnimationFrame.bind(globalThis)) {}

  /** Calls `paint` now, or once at the next beat however often it is asked until then. */
  request(paint: () => void): void {
    if (this.tiles < MANY) return paint();
    this.waiting.add(paint);
    if (this.due) return;
    this.due = true;
    this.next(() => this.strike());
  }

  cancel(paint: () => void): void {
    this.waiting.delete(paint);
  }

  private strike(): void {
    this.due = false;
    const due = [...this.waiting];
    this.waiting.clear();
    for (const paint of due) paint();
  }
}
