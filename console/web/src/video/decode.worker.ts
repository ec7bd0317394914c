// One tile's decoder, off the main thread: WebSocket → WebCodecs → OffscreenCanvas, newest picture wins.
import { fromBase64, type Frame } from './frame';
import { Gate } from './gate';
import { Line } from './line';
import { BLANK, Meter, REPORT_MS, STALLED_MS, type Stats } from './meter';
import type { FromWorker, ToWorker } from './messages';

/** A stream the decoder gave up on is tried again after this. */
const AGAIN_MS = 15_000;
const scope = self as unknown as DedicatedWorkerGlobalScope;
const say = (message: FromWorker, transfer: Transferable[] = []) => scope.postMessage(message, transfer);

let canvas: OffscreenCanvas | null = null;
let paint: OffscreenCanvasRenderingContext2D | null = null;
let decoder: VideoDecoder | null = null;
let config: VideoDecoderConfig | null = null;
let line: Line | null = null;
let offset = 0;
let state = 'connecting';
let width = 0;
let height = 0;
let failures = 0;
let address = '';
let reason = '';
let shownUs = 0;
let retry: ReturnType<typeof setTimeout> | undefined;
let gate = new Gate();
const meter = new Meter(Date.now());
const captured = new Map<number, number>(); // decoder timestamp → capture time, both µs

function show(frame: VideoFrame): void {
  const captureUs = captured.get(frame.timestamp) ?? 0;
  for (const key of captured.keys()) if (key <= frame.timestamp) captured.delete(key);
  if (canvas && paint) {
    if (canvas.width !== frame.displayWidth || canvas.height !== frame.displayHeight) {
      canvas.width = frame.displayWidth;
      canvas.height = frame.displayHeight;
    }
    paint.drawImage(frame, 0, 0);
  }
  frame.close();
  const first = state !== 'live';
  state = 'live';
  failures = 0;
  reason = '';
  shownUs = captureUs;
  meter.paint(Date.now(), captureUs, offset);
  if (first) report();
}

function build(): void {
  drop();
  const own = new VideoDecoder({
    output: show,
    error: (cause) => {
      if (decoder !== own) return; // of the stream before this one
      // A broken access unit: begin again at the next key frame; three in a row is a stream we cannot read.
      gate.reset();
      if (++failures <= 3) {
        if (config) build();
        return;
      }
      state = 'undecodable';
      reason = cause.message;
      clearTimeout(retry);
      retry = setTimeout(() => line?.restart(), AGAIN_MS);
      report();
    },
  });
  decoder = own;
  if (config) decoder.configure(config);
  gate.reset();
}

function drop(): void {
  const own = decoder;
  decoder = null;
  if (own && own.state !== 'closed') own.close();
}

async function configure(next: { codec: string; description: string; width: number; height: number }): Promise<void> {
  width = next.width;
  height = next.height;
  const wanted: VideoDecoderConfig = {
    codec: next.codec,
    codedWidth: next.width || undefined,
    codedHeight: next.height || undefined,
    description: next.description ? fromBase64(next.description) : undefined,
    optimizeForLatency: true,
  };
  // Configured before asking, so that the key frame right behind it is not lost; the answer only words the failure.
  config = wanted;
  captured.clear();
  failures = 0;
  clearTimeout(retry);
  if (state !== 'live') state = 'waiting';
  try {
    build();
  } catch {
    return unsupported();
  }
  const support = await VideoDecoder.isConfigSupported(wanted).catch(() => ({ supported: false }));
  if (!support.supported && config === wanted) unsupported();
}

function unsupported(): void {
  state = 'unsupported';
  report();
}

function decode(frame: Frame): void {
  meter.received(frame.data.byteLength);
  if (!decoder || decoder.state !== 'configured') return;
  const verdict = gate.judge(frame, decoder.decodeQueueSize, Date.now());
  if (verdict === 'drop') return;
  if (verdict === 'restart' && config) {
    decoder.reset();
    decoder.configure(config);
    captured.clear();
  }
  const timestamp = Math.round((frame.pts * 1000) / 90);
  captured.set(timestamp, frame.captureUs);
  if (captured.size > 256) captured.delete(captured.keys().next().value!);
  decoder.decode(new EncodedVideoChunk({ type: frame.key ? 'key' : 'delta', timestamp, data: frame.data }));
}

function report(): void {
  const rates = meter.read(Date.now());
  const stats: Stats = { ...BLANK, ...rates, state, reason, skipped: gate.skipped, degraded: gate.degraded, width, height, codec: config?.codec ?? '' };
  if (state === 'live' && rates.sinceMs > STALLED_MS) stats.state = 'stalled';
  say({ t: 'stats', url: address, stats });
}

function connect(url: string): void {
  address = url;
  line = new Line(url, {
    config: (next) => void configure(next),
    frame: decode,
    error: (code) => {
      state = code;
      gate.reset();
      report();
    },
    closed: () => {
      if (state === 'live' || state === 'waiting' || state === 'connecting') state = 'closed';
      gate.reset();
      report();
    },
  });
}

scope.onmessage = (ev: MessageEvent<ToWorker>) => {
  const message = ev.data;
  switch (message.t) {
    case 'open':
      canvas = message.canvas;
      offset = message.offset;
      paint = canvas.getContext('2d', { alpha: false, desynchronized: true });
      connect(message.url);
      setInterval(report, REPORT_MS);
      break;
    case 'url':
      // The picture stays until the other stream's first.
      line?.close();
      clearTimeout(retry);
      drop();
      config = null;
      failures = 0;
      reason = '';
      gate = new Gate();
      if (state !== 'live') state = 'connecting';
      connect(message.url);
      break;
    case 'offset':
      offset = message.offset;
      break;
    case 'snapshot':
      void canvas?.convertToBlob({ type: 'image/png' }).then(
        (blob) => say({ t: 'snapshot', blob, at: shownUs / 1000 }),
        () => say({ t: 'snapshot', blob: null, at: 0 }),
      );
      break;
    case 'close':
      line?.close();
      drop();
      scope.close();
      break;
  }
};
