// The WebSocket of one tile: opens, hands over what comes, comes back by itself with growing, jittered pauses.
import type { VideoText } from '../api/types';
import { readFrame, type Frame } from './frame';

export interface LineEvents {
  config(config: Extract<VideoText, { t: 'config' }>): void;
  frame(frame: Frame): void;
  error(code: string): void;
  closed(): void;
}

const BACKOFF_MS = [300, 600, 1_200, 2_500, 5_000];
/** A line that is open but silent for this long is taken for dead. */
const SILENT_MS = 12_000;

export class Line {
  private socket: WebSocket | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private attempt = 0;
  private heard = 0;
  private ended = false;

  constructor(private readonly url: string, private readonly events: LineEvents) {
    this.open();
    this.watch = setInterval(() => {
      if (this.socket?.readyState === WebSocket.OPEN && Date.now() - this.heard > SILENT_MS) this.socket.close();
    }, 3_000);
  }

  private open(): void {
    const socket = new WebSocket(this.url);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.heard = Date.now();
    socket.onmessage = (ev: MessageEvent<string | ArrayBuffer>) => {
      this.heard = Date.now();
      if (typeof ev.data !== 'string') {
        const frame = readFrame(ev.data);
        if (frame) this.events.frame(frame);
        return;
      }
      let message: VideoText;
      try {
        message = JSON.parse(ev.data) as VideoText;
      } catch {
        return;
      }
      if (message.t === 'config') {
        this.attempt = 0;
        this.events.config(message);
      } else if (message.t === 'error') this.events.error(message.code);
    };
    socket.onclose = () => {
      if (this.socket !== socket || this.ended) return;
      this.socket = null;
      this.events.closed();
      const pause = BACKOFF_MS[Math.min(this.attempt++, BACKOFF_MS.length - 1)]! * (0.5 + Math.random());
      this.retry = setTimeout(() => this.open(), pause);
    };
  }

  /** Starts over, with a fresh key frame. */
  restart(): void {
    this.socket?.close();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.retry);
    clearInterval(this.watch);
    this.socket?.close();
    this.socket = null;
  }
}
