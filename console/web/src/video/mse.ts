// The fallback player: a <video> fed over Media Source Extensions, kept at the live edge.
import { fromBase64, type Frame } from './frame';
import { BACKLOG, Gate } from './gate';
import { Line } from './line';
import { BLANK, Meter, REPORT_MS, STALLED_MS, type Stats } from './meter';
import { initSegment, mediaSegment } from './mp4';

/** Further behind than this the player runs a little faster; further than {@link JUMP_S} it jumps. */
const CHASE_S = 0.5;
const JUMP_S = 2;
const KEEP_S = 20;
/** Fragments waiting for the source buffer, eight seconds at 15 fps: then the rest up to the next key frame is dropped. */
const QUEUE = 120;
/** A stream the player gave up on is tried again after this. */
const AGAIN_MS = 15_000;

export class MsePlayer {
  private readonly line: Line;
  private readonly meter = new Meter(Date.now());
  private readonly timer: ReturnType<typeof setInterval>;
  private media: MediaSource | null = null;
  private buffer: SourceBuffer | null = null;
  private queue: Uint8Array<ArrayBuffer>[] = [];
  private url = '';
  private state = 'connecting';
  private timescale = 90_000;
  private seq = 0;
  private base = -1;
  private lastPts = 0;
  private readonly gate = new Gate();
  private reason = '';
  private again: ReturnType<typeof setTimeout> | undefined;
  private width = 0;
  private height = 0;
  private codec = '';
  private captures: [seconds: number, captureUs: number][] = [];
  offset = 0;
  /** When the picture on show was taken, µs on the server's clock; 0 while unknown. */
  shownUs = 0;

  constructor(private readonly video: HTMLVideoElement, url: string, private readonly report: (stats: Stats) => void) {
    this.line = new Line(url, {
      config: (c) => this.configure(c.codec, fromBase64(c.description), c.width, c.height, c.timescale),
      frame: (f) => this.take(f),
      error: (code) => (this.state = code),
      closed: () => {
        this.state = 'closed';
        this.gate.reset();
      },
    });
    this.timer = setInterval(() => this.tick(), REPORT_MS);
    this.video.addEventListener('error', this.failed);
    this.follow();
  }

  private follow(): void {
    this.video.requestVideoFrameCallback?.((_, meta) => {
      if (this.media === null && this.url === '') return;
      this.painted(meta.mediaTime);
      this.follow();
    });
  }

  private painted(mediaTime: number): void {
    let capture = 0;
    while (this.captures.length && this.captures[0]![0] <= mediaTime + 0.001) capture = this.captures.shift()![1];
    this.meter.paint(Date.now(), capture, this.offset);
    this.shownUs = capture;
    this.state = 'live';
    this.reason = '';
  }

  private configure(codec: string, record: Uint8Array, width: number, height: number, timescale: number): void {
    this.codec = codec;
    const mime = `video/mp4; codecs="${codec}"`;
    this.width = width;
    this.height = height;
    this.timescale = timescale || 90_000;
    if (typeof MediaSource === 'undefined' || !MediaSource.isTypeSupported(mime)) {
      this.state = 'unsupported';
      return;
    }
    this.release();
    this.queue = [initSegment(codec, record, width, height, this.timescale)];
    this.base = -1;
    this.gate.reset();
    this.captures = [];
    if (this.state !== 'live') this.state = 'waiting';
    const media = new MediaSource();
    this.media = media;
    this.url = URL.createObjectURL(media);
    this.video.src = this.url;
    media.addEventListener('sourceopen', () => {
      if (this.media !== media) return;
      this.buffer = media.addSourceBuffer(mime);
      this.buffer.addEventListener('updateend', () => this.pump());
      this.pump();
    }, { once: true });
    void this.video.play().catch(() => {});
  }

  private take(frame: Frame): void {
    this.meter.received(frame.data.byteLength);
    if (!this.media) return;
    const verdict = this.gate.judge(frame, this.waiting(), performance.now());
    if (verdict === 'drop') return;
    if (verdict === 'restart') this.queue.length = this.buffer ? 0 : Math.min(1, this.queue.length); // the first is the track's own
    if (this.base < 0) this.base = frame.pts;
    const at = Math.max(0, frame.pts - this.base);
    const gap = frame.pts - this.lastPts;
    const duration = gap > 0 && gap < this.timescale ? gap : this.timescale / 15;
    this.lastPts = frame.pts;
    this.captures.push([at / this.timescale, frame.captureUs]);
    if (this.captures.length > 600) this.captures.shift();
    this.queue.push(mediaSegment(++this.seq, at, Math.round(duration), frame.key, frame.data));
    this.pump();
  }

  /** As a decoder's queue would say it: too much when fragments pile up, or when what is buffered is not shown. */
  private waiting(): number {
    const { buffered, currentTime } = this.video;
    const behind = buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
    return this.queue.length > QUEUE || behind > JUMP_S + CHASE_S ? BACKLOG + 1 : 0;
  }

  /** The element gave up: say why, and start over in a while. */
  private readonly failed = (): void => {
    if (!this.media || !this.video.error) return;
    this.state = 'undecodable';
    this.reason = this.video.error.message;
    clearTimeout(this.again);
    this.again = setTimeout(() => this.line.restart(), AGAIN_MS);
  };

  private pump(): void {
    const buffer = this.buffer;
    if (!buffer || buffer.updating || this.media?.readyState !== 'open') return;
    const next = this.queue.shift();
    if (!next) return;
    try {
      buffer.appendBuffer(next);
    } catch {
      this.line.restart(); // the quota or a broken box: a fresh start is the shortest way back to a picture
    }
  }

  private tick(): void {
    const { video, buffer } = this;
    const ranges = video.buffered;
    if (ranges.length) {
      const end = ranges.end(ranges.length - 1);
      const behind = end - video.currentTime;
      if (behind > JUMP_S || video.currentTime < ranges.start(ranges.length - 1)) video.currentTime = Math.max(ranges.start(ranges.length - 1), end - 0.1);
      video.playbackRate = behind > CHASE_S ? 1.1 : 1;
      if (video.paused) void video.play().catch(() => {});
      const start = ranges.start(0);
      if (buffer && !buffer.updating && this.queue.length === 0 && end - start > KEEP_S) buffer.remove(start, end - KEEP_S / 2);
    }
    const rates = this.meter.read(Date.now());
    const state = this.state === 'live' && rates.sinceMs > STALLED_MS ? 'stalled' : this.state;
    const degraded = this.gate.degraded === 'none' && video.playbackRate > 1 ? 'chase' : this.gate.degraded;
    this.report({
      ...BLANK, ...rates, state, reason: this.reason, skipped: this.gate.skipped, degraded, width: this.width, height: this.height, codec: this.codec,
    });
  }

  private release(): void {
    this.buffer = null;
    this.media = null;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = '';
  }

  close(): void {
    this.line.close();
    clearInterval(this.timer);
    clearTimeout(this.again);
    this.video.removeEventListener('error', this.failed);
    this.release();
    this.video.removeAttribute('src');
    this.video.load();
  }
}
