// Boxes in time: which of the sets that came belongs to the picture that is shown.
//
// Recognition looks at some pictures and takes its time; the picture shown may be older or newer than the newest set. The
// set shown is the newest one that is not of a later picture, as long as it is not too old.
import type { OverlayFrame } from '../api/types';

/** A settled camera is looked at every 0.6 s; a set is of use for a little longer than that. */
export const HOLD_MS = 800;
/** Clocks of a page are told to a few tens of milliseconds: a set this much ahead is of the picture shown. */
export const AHEAD_MS = 60;
const KEPT = 32;

export class BoxTrack {
  private frames: OverlayFrame[] = [];

  push(frame: OverlayFrame): void {
    const late = this.frames.findIndex((known) => known.at_us > frame.at_us);
    if (late < 0) this.frames.push(frame);
    else this.frames.splice(late, 0, frame);
    if (this.frames.length > KEPT) this.frames.shift();
  }

  /** The set for the picture taken at `ms` (since 1970); null when there is none. */
  at(ms: number): OverlayFrame | null {
    for (let n = this.frames.length - 1; n >= 0; n--) {
      const apart = ms - this.frames[n]!.at_us / 1000;
      if (apart < -AHEAD_MS) continue;
      return apart <= HOLD_MS ? this.frames[n]! : null;
    }
    return null;
  }

  clear(): void {
    this.frames = [];
  }
}

/** Where a picture lies in a window that shows it whole: offset and size. */
export function contained(picture: { width: number; height: number }, window: { width: number; height: number }): { x: number; y: number; width: number; height: number } {
  if (picture.width <= 0 || picture.height <= 0) return { x: 0, y: 0, ...window };
  const scale = Math.min(window.width / picture.width, window.height / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  return { x: (window.width - width) / 2, y: (window.height - height) / 2, width, height };
}
