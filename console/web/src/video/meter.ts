// What is said on a tile: frames and kilobits per second, latency, how long since the last picture.
import type { Degraded } from './gate';

export interface Stats {
  state: string; // connecting | waiting | live | stalled | refused | unauthorised | undecodable | unsupported | closed
  /** The decoder's own words, where it gave up. */
  reason: string;
  fps: number;
  kbps: number;
  latencyMs: number; // capture to paint; -1 while unknown
  sinceMs: number; // since the last painted picture; -1 before the first
  stale: boolean;
  skipped: number;
  degraded: Degraded | 'chase';
  width: number;
  height: number;
  codec: string; // RFC 6381
}

export const BLANK: Stats = {
  state: 'connecting', reason: '', fps: 0, kbps: 0, latencyMs: -1, sinceMs: -1, stale: false, skipped: 0, degraded: 'none', width: 0, height: 0, codec: '',
};

/** No picture for this long: it is said to be stale. Of a stream that sends fewer than two and a half a second, more. */
export const STALE_MS = 1_000;
const INTERVALS = 2.5;
/** No picture for this long: the stream has stalled, whatever its line says. */
export const STALLED_MS = 8_000;
/** A picture that comes later than this is told apart: it is not what happens now. */
export const LATE_MS = 500;
/** How often a tile is told. */
export const REPORT_MS = 500;

export class Meter {
  private bytes = 0;
  private frames = 0;
  private since: number;
  private latency = -1;
  private painted = -1;
  private interval = 0;
  private fps = 0;
  private kbps = 0;

  constructor(now: number) {
    this.since = now;
  }

  received(bytes: number): void {
    this.bytes += bytes;
  }

  paint(now: number, captureUs: number, offsetMs: number): void {
    this.frames++;
    // Of pauses only as much as a slow stream would make: a stall must not teach patience.
    const passed = this.painted < 0 ? 0 : Math.min(now - this.painted, 4_000);
    this.interval = this.interval * 0.8 + passed * 0.2;
    this.painted = now;
    if (captureUs <= 0) return;
    const ms = now + offsetMs - captureUs / 1000;
    // Smoothed, so that the figure can be read; a jump of a second shows at once.
    this.latency = this.latency < 0 || Math.abs(ms - this.latency) > 1000 ? ms : this.latency * 0.8 + ms * 0.2;
  }

  /** Rates over the time since they were last counted, a second or so. */
  read(now: number): Pick<Stats, 'fps' | 'kbps' | 'latencyMs' | 'sinceMs' | 'stale'> {
    const seconds = (now - this.since) / 1000;
    if (seconds >= 0.9) {
      this.fps = this.frames / seconds;
      this.kbps = (this.bytes * 8) / 1000 / seconds;
      this.frames = this.bytes = 0;
      this.since = now;
    }
    const sinceMs = this.painted < 0 ? -1 : now - this.painted;
    return {
      fps: this.fps,
      kbps: this.kbps,
      latencyMs: this.latency < 0 ? this.latency : Math.max(0, this.latency),
      sinceMs,
      stale: sinceMs > Math.max(STALE_MS, this.interval * INTERVALS),
    };
  }
}
