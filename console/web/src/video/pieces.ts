// A stretch of recording in a <video>, from pieces one after the other: for a clip that this browser cannot read as a file.
import { ApiError } from '../api/http';
import { isReadable, mimeOf, type Fetcher } from './replay';

/** A piece, ms: the first is seen soon, and the next is there before it ends. */
const PIECE_MS = 4_000;
/** How long nothing new, or a failure, is believed. */
const AGAIN_MS = 1_500;
/** What is not recorded so long after the stretch has ended will not come, ms. */
const LATE_MS = 5_000;

export interface Stretch {
  from: number;
  to: number;
}

export class PieceFeed {
  private readonly closed = new AbortController();
  private readonly media = new MediaSource();
  private readonly url = URL.createObjectURL(this.media);

  /**
   * `began` hears the moment of the player's zero: the first picture, at or before `stretch.from`. `problem` hears why nothing
   * comes, and null once something does.
   */
  constructor(
    private readonly video: HTMLVideoElement,
    private readonly fetch: Fetcher,
    private readonly stretch: Stretch,
    private readonly now: () => number,
    private readonly began: (zero: number) => void,
    private readonly problem: (cause: unknown) => void,
  ) {
    video.src = this.url;
    this.media.addEventListener('sourceopen', () => void this.feed(), { once: true });
  }

  private async feed(): Promise<void> {
    const { from, to } = this.stretch;
    let buffer: SourceBuffer | null = null;
    let [at, zero, codecs] = [from, from, ''];
    while (at < to && !this.closed.signal.aborted) {
      try {
        const piece = await this.fetch(at, Math.min(at + PIECE_MS, to), this.closed.signal, true);
        // A player takes as many tracks as it was begun with: where sound begins or ends, it ends.
        const others = buffer && codecs.includes(',') !== piece.codec.includes(',');
        if (piece.from >= to || others || !isReadable(piece.codec)) break;
        const mime = mimeOf(piece.codec);
        if (!buffer) {
          zero = piece.from;
          this.began(zero);
          buffer = this.media.addSourceBuffer(mime);
        } else if (codecs !== piece.codec) buffer.changeType(mime);
        const first = codecs === '';
        codecs = piece.codec;
        buffer.timestampOffset = (piece.from - zero) / 1000;
        await done(buffer, () => buffer?.appendBuffer(piece.data));
        if (first) this.media.duration = Math.max(buffer.buffered.length ? buffer.buffered.end(0) : 0, (to - zero) / 1000);
        this.problem(null);
        at = piece.next ?? Math.max(at, piece.to);
        // The edge of what is recorded: its last pictures are given again once there are more.
        if (piece.next === null && at < to) {
          if (this.now() > to + LATE_MS) break;
          await this.pause();
        }
      } catch (cause) {
        if (this.closed.signal.aborted) return;
        const over = this.now() > to + LATE_MS;
        if (over && cause instanceof ApiError && cause.code === 'not_recorded') break;
        this.problem(cause);
        await this.pause();
      }
    }
    if (this.media.readyState === 'open' && buffer && !buffer.updating) this.media.endOfStream();
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, AGAIN_MS);
      this.closed.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  close(): void {
    this.closed.abort();
    URL.revokeObjectURL(this.url);
    this.video.removeAttribute('src');
    this.video.load();
  }
}

/** Waits for what a step sets going in a buffer. */
function done(buffer: SourceBuffer, step: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      buffer.removeEventListener('updateend', end);
      buffer.removeEventListener('error', fail);
      resolve();
    };
    const fail = (): void => {
      buffer.removeEventListener('updateend', end);
      buffer.removeEventListener('error', fail);
      reject(new Error('the piece could not be appended'));
    };
    buffer.addEventListener('updateend', end);
    buffer.addEventListener('error', fail);
    step();
  });
}
