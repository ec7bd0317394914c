// Which frames go to the decoder: from a key frame on, and never so many that the picture falls behind.
//
//   closed ──key──▶ open ──queue too long / hole──▶ skipping ──key──▶ open
import type { Frame } from './frame';

/** Frames waiting in the decoder before the rest up to the next key frame is dropped: a third of a second at 25 fps. */
export const BACKLOG = 8;

export type Verdict = 'decode' | 'restart' | 'drop';

export class Gate {
  private state: 'closed' | 'open' | 'skipping' = 'closed';
  /** Frames dropped to stay live, since the start. */
  skipped = 0;

  /** New parameters: nothing can be decoded before the next key frame. */
  reset(): void {
    this.state = 'closed';
  }

  get skipping(): boolean {
    return this.state === 'skipping';
  }

  /** `restart` means: throw away what the decoder still holds, then decode this key frame. */
  judge(frame: Frame, queued: number): Verdict {
    if (frame.key) {
      const behind = this.state === 'skipping' && queued > 0;
      this.state = 'open';
      return behind ? 'restart' : 'decode';
    }
    if (this.state === 'open' && (queued > BACKLOG || frame.skipped)) this.state = 'skipping';
    if (this.state === 'open') return 'decode';
    if (this.state === 'skipping') this.skipped++;
    return 'drop';
  }
}
