// Which frames go to the decoder: from a key frame on, and never so many that the picture falls behind.
//
//   closed ──key──▶ open ──queue too long / late / hole──▶ skipping ──key──▶ open
//                     ▲                                       │ again and again
//                     └──── a while, nothing waits ────── keys ◀
//
// In `keys` only key frames are decoded. It is left on probation: falling behind again at once makes the next stay longer.
import type { Frame } from './frame';
import { Lag } from './lag';

/** Frames waiting in the decoder before the rest up to the next key frame is dropped: a third of a second at 25 fps. */
export const BACKLOG = 8;
/** So many falls within {@link WINDOW_MS}: the decoder cannot keep up with all frames. */
const FALLS = 3;
const WINDOW_MS = 15_000;
/** First and longest stay with key frames only. */
export const STAY_MS = 8_000;
const STAY_MOST_MS = 120_000;

export type Verdict = 'decode' | 'restart' | 'drop';
/** What is left out to stay live: nothing, frames up to the next key frame, all but key frames. */
export type Degraded = 'none' | 'skip' | 'keys';

export class Gate {
  private state: 'closed' | 'open' | 'skipping' | 'keys' = 'closed';
  private falls: number[] = [];
  private until = 0;
  private stay = STAY_MS;
  private left = -Infinity;
  private readonly lag = new Lag();
  /** Frames dropped to stay live, since the start. */
  skipped = 0;

  /** New parameters: nothing can be decoded before the next key frame. */
  reset(): void {
    if (this.state !== 'keys') this.state = 'closed';
  }

  get degraded(): Degraded {
    return this.state === 'skipping' ? 'skip' : this.state === 'keys' ? 'keys' : 'none';
  }

  /** `queued`: frames the decoder still holds; `now`: any steady milliseconds. `restart`: throw away what it holds first. */
  judge(frame: Frame, queued: number, now: number): Verdict {
    const late = this.lag.late(frame.captureUs, now);
    if (frame.key) return this.key(queued, late, now);
    if (this.state === 'open' && (queued > BACKLOG || late)) this.fall(now);
    else if (this.state === 'open' && frame.skipped) this.state = 'skipping';
    if (this.state === 'open') return 'decode';
    if (this.state !== 'closed') this.skipped++;
    return 'drop';
  }

  private key(queued: number, late: boolean, now: number): Verdict {
    const behind = this.state !== 'open' && this.state !== 'closed' && queued > 0;
    if (this.state === 'keys') {
      if (queued > 0 || late) this.until = Math.max(this.until, now + STAY_MS);
      else if (now >= this.until) {
        this.state = 'open';
        this.left = now;
        this.falls = [];
      }
    } else this.state = 'open';
    return behind ? 'restart' : 'decode';
  }

  private fall(now: number): void {
    this.falls = [...this.falls.filter((at) => now - at < WINDOW_MS), now];
    const relapse = now - this.left < WINDOW_MS;
    if (!relapse && this.falls.length < FALLS) {
      this.state = 'skipping';
      return;
    }
    this.stay = relapse ? Math.min(STAY_MOST_MS, this.stay * 2) : STAY_MS;
    this.state = 'keys';
    this.until = now + this.stay;
  }
}
