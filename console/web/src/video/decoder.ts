// One tile's decoder: WebSocket → WebCodecs → OffscreenCanvas, newest picture wins.
import type { Beat } from './beat';
import { fromBase64, type Frame } from './frame';
import { Gate } from './gate';
import { Line } from './line';
import { BLANK, Meter, REPORT_MS, STALLED_MS, type Stats } from './meter';
import type { FromTile } from './messages';
import { fitted, type Size } from './fitted';

/** A stream the decoder gave up on is tried again after this. */
const AGAIN_MS = 15_000;

export class TileDecoder {
  private readonly paint: OffscreenCanvasRenderingContext2D | null;
  private readonly reports: ReturnType<typeof setInterval>;
  private readonly meter = new Meter(Date.now());
  private readonly captured = new Map<number, number>(); // decoder timestamp → capture time, both µs
  private decoder: VideoDecoder | null = null;
  private config: VideoDecoderConfig | null = null;
  private line: Line;
  private gate = new Gate();
  private state = 'connecting';
  private width = 0;
  private height = 0;
  private failures = 0;
  private reason = '';
  private shownUs = 0;
  /** The picture on show: for stills, and to be painted again in another size. */
  private shown: VideoFrame | null = null;
  private box: Size | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;

  /** `offset`: the server's clock minus ours, milliseconds; `beat`: when the tiles of this worker paint. */
  constructor(private readonly canvas: OffscreenCanvas, private address: string, public offset: number, private readonly beat: Beat, private readonly say: (message: FromTile) => void) {
    beat.tiles++;
    this.paint = canvas.getContext('2d', { alpha: false, desynchronized: true });
    this.line = this.connect();
    this.reports = setInterval(() => this.report(), REPORT_MS);
  }

  private show(frame: VideoFrame): void {
    const { captured } = this;
    const captureUs = captured.get(frame.timestamp) ?? 0;
    for (const key of captured.keys()) if (key <= frame.timestamp) captured.delete(key);
    this.shown?.close();
    this.shown = frame;
    this.shownUs = captureUs;
    this.failures = 0;
    this.reason = '';
    if (this.state === 'live') return this.beat.request(this.present);
    this.state = 'live';
    this.present();
    this.report();
  }

  private readonly present = (): void => {
    if (!this.shown) return;
    this.repaint();
    this.meter.paint(Date.now(), this.shownUs, this.offset);
  };

  private repaint(): void {
    const { canvas, shown } = this;
    if (!shown) return;
    const { width, height } = fitted({ width: shown.displayWidth, height: shown.displayHeight }, this.box);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    this.paint?.drawImage(shown, 0, 0, width, height);
  }

  /** The room for the picture in device pixels: what is drawn larger would be made smaller at every refresh of the screen.
   *  None: as large as it was sent. */
  resize(box: Size | null): void {
    this.box = box;
    this.repaint();
  }

  private build(): void {
    this.drop();
    const own = new VideoDecoder({
      output: (frame) => this.show(frame),
      error: (cause) => {
        if (this.decoder !== own) return; // of the stream before this one
        // A broken access unit: begin again at the next key frame; three in a row is a stream we cannot read.
        this.gate.reset();
        if (++this.failures <= 3) {
          if (this.config) this.build();
          return;
        }
        this.state = 'undecodable';
        this.reason = cause.message;
        clearTimeout(this.retry);
        this.retry = setTimeout(() => this.line.restart(), AGAIN_MS);
        this.report();
      },
    });
    this.decoder = own;
    if (this.config) own.configure(this.config);
    this.gate.reset();
  }

  private drop(): void {
    const own = this.decoder;
    this.decoder = null;
    if (own && own.state !== 'closed') own.close();
  }

  private async configure(next: { codec: string; description: string; width: number; height: number }): Promise<void> {
    this.width = next.width;
    this.height = next.height;
    const wanted: VideoDecoderConfig = {
      codec: next.codec,
      codedWidth: next.width || undefined,
      codedHeight: next.height || undefined,
      description: next.description ? fromBase64(next.description) : undefined,
      optimizeForLatency: true,
    };
    // Configured before asking, so that the key frame right behind it is not lost; the answer only words the failure.
    this.config = wanted;
    this.captured.clear();
    this.failures = 0;
    clearTimeout(this.retry);
    if (this.state !== 'live') this.state = 'waiting';
    try {
      this.build();
    } catch {
      return this.unsupported();
    }
    const support = await VideoDecoder.isConfigSupported(wanted).catch(() => ({ supported: false }));
    if (!support.supported && this.config === wanted) this.unsupported();
  }

  private unsupported(): void {
    this.state = 'unsupported';
    this.report();
  }

  private decode(frame: Frame): void {
    this.meter.received(frame.data.byteLength);
    const { decoder, captured } = this;
    if (!decoder || decoder.state !== 'configured') return;
    const verdict = this.gate.judge(frame, decoder.decodeQueueSize, performance.now());
    if (verdict === 'drop') return;
    if (verdict === 'restart' && this.config) {
      decoder.reset();
      decoder.configure(this.config);
      captured.clear();
    }
    const timestamp = Math.round((frame.pts * 1000) / 90);
    captured.set(timestamp, frame.captureUs);
    if (captured.size > 256) captured.delete(captured.keys().next().value!);
    decoder.decode(new EncodedVideoChunk({ type: frame.key ? 'key' : 'delta', timestamp, data: frame.data }));
  }

  private report(): void {
    const rates = this.meter.read(Date.now());
    const { state, reason, gate, width, height } = this;
    const stats: Stats = { ...BLANK, ...rates, state, reason, skipped: gate.skipped, degraded: gate.degraded, width, height, codec: this.config?.codec ?? '' };
    if (state === 'live' && rates.sinceMs > STALLED_MS) stats.state = 'stalled';
    this.say({ t: 'stats', url: this.address, stats });
  }

  private connect(): Line {
    return new Line(this.address, {
      config: (next) => void this.configure(next),
      frame: (frame) => this.decode(frame),
      error: (code) => {
        this.state = code;
        this.gate.reset();
        this.report();
      },
      closed: () => {
        if (this.state === 'live' || this.state === 'waiting' || this.state === 'connecting') this.state = 'closed';
        this.gate.reset();
        this.report();
      },
    });
  }

  /** Another stream; the picture stays until its first. */
  turnTo(url: string): void {
    this.line.close();
    clearTimeout(this.retry);
    this.drop();
    this.config = null;
    this.failures = 0;
    this.reason = '';
    this.gate = new Gate();
    if (this.state !== 'live') this.state = 'connecting';
    this.address = url;
    this.line = this.connect();
  }

  /** Says the picture on show as PNG, in the stream's own size. */
  snapshot(): void {
    const { shown } = this;
    const still = shown && new OffscreenCanvas(shown.displayWidth, shown.displayHeight);
    if (still) still.getContext('2d', { alpha: false })?.drawImage(shown, 0, 0);
    const at = this.shownUs / 1000;
    void Promise.resolve(still?.convertToBlob({ type: 'image/png' }) ?? null).then(
      (blob) => this.say({ t: 'snapshot', blob, at }),
      () => this.say({ t: 'snapshot', blob: null, at: 0 }),
    );
  }

  close(): void {
    clearInterval(this.reports);
    clearTimeout(this.retry);
    this.beat.cancel(this.present);
    this.beat.tiles--;
    this.line.close();
    this.drop();
    this.shown?.close();
    this.shown = null;
  }
}
