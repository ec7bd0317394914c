// One camera of a replay: pieces of recording fetched around the clock's moment, appended to a <video>, kept in step.
import { ApiError } from '../api/http';
import { Coverage, pieceOf } from './coverage';
import type { RecordedPiece } from '../api';

export type ReplayState = 'loading' | 'ready' | 'gap' | 'failed' | 'undecodable';
/** Gives a piece; `small`: as H.264, where it is recorded as something else. */
export type Fetcher = (from: number, to: number, signal: AbortSignal, small: boolean) => Promise<RecordedPiece>;

/** The media type of a piece, by its codecs. */
export const mimeOf = (codec: string): string => `video/mp4; codecs="${codec}"`;

/** Whether this browser reads a piece's codecs. */
export const isReadable = (codec: string): boolean => typeof MediaSource !== 'undefined' && MediaSource.isTypeSupported(mimeOf(codec));

/** The first piece after a seek: one group of pictures, as soon as possible. */
const FIRST_MS = 400;
/** Seconds of recording ahead of the clock, at single speed. */
const AHEAD_S = 6;
/** Longest piece the server gives. */
const PIECE_MS = 60_000;
/** What lies further behind than this is let go, ms. */
const BEHIND_MS = 45_000;
/** Further away than this, everything is let go, ms. */
const FAR_MS = 120_000;
/** Zero of the player's clock lies a week before what it begins with: one may go back that far. */
const ROOM_MS = 7 * 86_400_000;
/** How long a failure or the end of the recording is believed. */
const AGAIN_MS = 2_000;
const EDGE_AGAIN_MS = 600;

/** Whether pictures are H.264, the one codec that every browser reads. */
export const isH264 = (codec: string): boolean => codec.startsWith('avc');

export class ReplayPlayer {
  state: ReplayState = 'loading';
  problem: unknown = null;
  /** Milliseconds from the last seek to its picture; -1 while under way. */
  seekMs = -1;
  /** Whether the recording has sound where the clock is; it is heard once the page lets it. */
  audible = false;
  /** The codec of the newest piece; where the server made it small, that of the recording. */
  codec = '';
  /** Whether the newest piece was made small by the server. */
  transcoded = false;
  /** Whether the server is asked for small ones: this browser does not read what is recorded. */
  private small = false;
  readonly coverage = new Coverage();
  private media: MediaSource | null = null;
  private buffer: SourceBuffer | null = null;
  private url = '';
  private base = 0;
  /** The clock's moment when it was last told. */
  private at = 0;
  /** Where sound begins or ends ahead of the clock: nothing is fetched beyond until the clock is there. */
  private changesAt = Infinity;
  private mime = '';
  private readonly work: (() => void)[] = [];
  private asking: { from: number; to: number; stop: AbortController } | null = null;
  private earlier: Promise<boolean> | null = null;
  private readonly closed = new AbortController();
  private retryAt = 0;
  private edgeAt = 0;
  private target = -1;
  private seekAt = 0;
  private jumpedAt = 0;

  constructor(private readonly video: HTMLVideoElement, private readonly fetch: Fetcher) {}

  /** Brings the picture to a moment; called with every frame of the screen. Gives whether the clock may go on. */
  follow(at: number, playing: boolean, rate: number): boolean {
    const now = performance.now();
    this.at = at;
    const chain = this.coverage.chain(at);
    if (!chain) {
      this.pause();
      const end = this.coverage.gapEnd(at, now);
      if (end !== null) {
        this.state = 'gap';
        return true;
      }
      if (this.state === 'undecodable') return true;
      if (this.state === 'failed' && now < this.retryAt) return true;
      if (this.state !== 'failed') this.state = 'loading';
      this.jumpedAt ||= now;
      this.ask(at, FIRST_MS * Math.max(1, rate));
      return this.state === 'failed';
    }
    this.keepAhead(at, rate, now);
    this.letGo(at);
    const ready = this.show(at, playing, rate, now);
    if (ready) {
      this.state = 'ready';
      if (this.jumpedAt) {
        this.seekMs = now - this.jumpedAt;
        this.jumpedAt = 0;
      }
    } else if (this.state !== 'undecodable') this.state = 'loading';
    return ready || this.state === 'undecodable';
  }

  /** The clock was set elsewhere by hand: measured from here to the picture. */
  jumped(): void {
    this.jumpedAt = performance.now();
    this.seekMs = -1;
    this.retryAt = 0;
  }

  /** Fetches what lies before a moment, so that one can step back into it. */
  before(at: number): Promise<boolean> {
    this.earlier ??= this.fetch(at - 20, at - 10, this.closed.signal, this.small)
      .then(
        (piece) => (this.take(piece, at - 20), true),
        () => false,
      )
      .finally(() => (this.earlier = null));
    return this.earlier;
  }

  private keepAhead(at: number, rate: number, now: number): void {
    const chain = this.coverage.chain(at);
    const wanted = AHEAD_S * 1000 * Math.max(1, rate);
    if (!chain || chain.to - at > wanted) return;
    const onward = this.coverage.onward(chain);
    if (!onward || onward.from >= this.changesAt - 1 || (onward.edge && now < this.edgeAt)) return;
    if (onward.edge) this.edgeAt = now + EDGE_AGAIN_MS;
    this.ask(onward.from, Math.min(PIECE_MS, Math.max(4_000, wanted / 2)));
  }

  private ask(from: number, lasts: number): void {
    const to = from + Math.min(PIECE_MS, lasts);
    if (this.asking) {
      // What is on its way already will do, unless the clock has gone elsewhere.
      if (from >= this.asking.from - 1 && from < this.asking.to + 5_000) return;
      this.asking.stop.abort();
    }
    const asking = { from, to, stop: new AbortController() };
    this.asking = asking;
    const done = () => {
      if (this.asking === asking) this.asking = null;
    };
    this.fetch(from, to, asking.stop.signal, this.small).then(
      (piece) => {
        done();
        this.take(piece, from);
      },
      (cause) => {
        done();
        if (asking.stop.signal.aborted) return;
        const now = performance.now();
        if (cause instanceof ApiError && cause.code === 'not_recorded') {
          this.coverage.gap(from, Infinity, now + AGAIN_MS);
          return;
        }
        this.state = 'failed';
        this.problem = cause;
        this.retryAt = now + AGAIN_MS;
      },
    );
  }

  private take(piece: RecordedPiece, asked: number): void {
    const mime = mimeOf(piece.codec);
    this.codec = piece.was || piece.codec;
    this.transcoded = piece.was !== '';
    if (!isReadable(piece.codec)) {
      // Asked for again, as what this browser reads; when that is of no use either, nothing is.
      this.state = this.small ? 'undecodable' : 'loading';
      this.small = true;
      return;
    }
    if (piece.from - asked > 1) this.coverage.gap(asked, piece.from);
    // A player takes as many tracks as it was begun with, always: where sound begins or ends it is begun anew.
    const audible = piece.codec.includes(',');
    const begun = this.media !== null && audible === this.audible;
    if (this.media && !begun && piece.from > this.at && this.coverage.chain(this.at)) {
      this.changesAt = piece.from;
      return;
    }
    this.audible = audible;
    const near = this.coverage.pieces.some((p) => piece.from < p.to + FAR_MS && piece.to > p.from - FAR_MS);
    if (!begun || piece.from < this.base + 60_000 || piece.to > this.base + 4 * ROOM_MS) this.rebuild(piece.from - ROOM_MS, mime);
    else if (!near && this.coverage.pieces.length) {
      this.coverage.pieces = [];
      this.do((buffer) => buffer.remove(0, Infinity));
    }
    this.state = this.state === 'failed' ? 'loading' : this.state;
    this.problem = null;
    // At the live edge nothing may have come since.
    if ((this.coverage.chain(piece.from)?.to ?? 0) >= piece.to - 1) return;
    this.coverage.add(pieceOf(piece.data, piece.from, piece.to, piece.next));
    this.do((buffer) => {
      if (this.mime !== mime) buffer.changeType(mime);
      this.mime = mime;
      buffer.timestampOffset = (piece.from - this.base) / 1000;
      buffer.appendBuffer(piece.data);
    });
  }

  private rebuild(base: number, mime: string): void {
    this.release();
    this.coverage.clear();
    this.changesAt = Infinity;
    this.base = base;
    this.mime = mime;
    this.target = -1;
    const media = new MediaSource();
    this.media = media;
    this.url = URL.createObjectURL(media);
    this.video.src = this.url;
    media.addEventListener('sourceopen', () => {
      if (this.media !== media || this.buffer) return;
      this.buffer = media.addSourceBuffer(mime);
      this.buffer.addEventListener('updateend', () => this.pump());
      this.pump();
    });
  }

  private do(step: (buffer: SourceBuffer) => void): void {
    this.work.push(() => this.buffer && step(this.buffer));
    this.pump();
  }

  private pump(): void {
    while (this.buffer && !this.buffer.updating && this.media?.readyState === 'open') {
      const next = this.work.shift();
      if (!next) return;
      try {
        next();
      } catch {
        // The quota, or a box this browser does not like: begin anew at the clock's moment.
        this.work.length = 0;
        this.coverage.clear();
        this.release();
        return;
      }
    }
  }

  private letGo(at: number): void {
    if (!this.coverage.pieces.some((p) => p.to < at - BEHIND_MS)) return;
    const start = this.coverage.drop(at - BEHIND_MS / 2);
    const seconds = (start - this.base) / 1000;
    if (seconds > 0) this.do((buffer) => buffer.remove(0, seconds));
  }

  private show(at: number, playing: boolean, rate: number, now: number): boolean {
    const { video } = this;
    if (video.error) {
      // A browser may know a codec and not this camera's use of it.
      if (!this.small && !isH264(this.codec)) {
        this.small = true;
        this.coverage.clear();
        this.release();
      } else this.state = 'undecodable';
      return false;
    }
    const target = (at - this.base) / 1000;
    const off = video.currentTime - target;
    const seek = () => {
      // A seek under way is let finish: the picture follows a dragged hand.
      if (video.seeking && now - this.seekAt < 400) return;
      if (this.target === target && Math.abs(off) < 0.0005) return;
      this.target = target;
      this.seekAt = now;
      video.currentTime = target;
    };
    if (!playing) {
      this.pause();
      if (Math.abs(off) > 0.0005) seek();
    } else {
      if (Math.abs(off) > 0.3 * Math.max(1, rate)) seek();
      else if (!video.seeking && video.paused && video.readyState >= 2) void video.play().catch(() => {});
      const wanted = Math.abs(off) < 0.02 * Math.max(1, rate) ? rate : rate * Math.min(1.1, Math.max(0.9, 1 - off / Math.max(1, rate)));
      const most = Math.min(16, wanted);
      if (Math.abs(video.playbackRate - most) > 0.01 * rate) video.playbackRate = most;
    }
    return !video.seeking && video.readyState >= 2 && Math.abs(video.currentTime - target) < Math.max(0.6, rate);
  }

  /** Lets the sound be heard, or not. */
  hear(on: boolean): void {
    this.video.muted = !on;
  }

  private pause(): void {
    if (!this.video.paused) this.video.pause();
  }

  private release(): void {
    this.buffer = null;
    this.media = null;
    this.work.length = 0;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = '';
  }

  close(): void {
    this.closed.abort();
    this.asking?.stop.abort();
    this.release();
    this.video.removeAttribute('src');
    this.video.load();
  }
}
