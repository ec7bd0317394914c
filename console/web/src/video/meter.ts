// What is said on a tile: frames and kilobits per second, latency, how long since the last picture.
export interface Stats {
  state: string; // connecting | waiting | live | stalled | refused | unauthorised | undecodable | unsupported | closed
  fps: number;
  kbps: number;
  latencyMs: number; // capture to paint; -1 while unknown
  sinceMs: number; // since the last painted picture; -1 before the first
  skipped: number;
  skipping: boolean;
  width: number;
  height: number;
  codec: string; // RFC 6381
}

export const BLANK: Stats = {
  state: 'connecting', fps: 0, kbps: 0, latencyMs: -1, sinceMs: -1, skipped: 0, skipping: false, width: 0, height: 0, codec: '',
};

/** A picture older than this is said to be stale: twenty times a 10 fps interval. */
export const STALE_MS = 2_000;

export class Meter {
  private bytes = 0;
  private frames = 0;
  private since: number;
  private latency = -1;
  private painted = -1;
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
    this.painted = now;
    if (captureUs <= 0) return;
    const ms = now + offsetMs - captureUs / 1000;
    // Smoothed, so that the figure can be read; a jump of a second shows at once.
    this.latency = this.latency < 0 || Math.abs(ms - this.latency) > 1000 ? ms : this.latency * 0.8 + ms * 0.2;
  }

  /** Rates over the time since the last call. */
  read(now: number): Pick<Stats, 'fps' | 'kbps' | 'latencyMs' | 'sinceMs'> {
    const seconds = (now - this.since) / 1000;
    if (seconds >= 0.9) {
      this.fps = this.frames / seconds;
      this.kbps = (this.bytes * 8) / 1000 / seconds;
      this.frames = this.bytes = 0;
      this.since = now;
    }
    return {
      fps: this.fps,
      kbps: this.kbps,
      latencyMs: this.latency < 0 ? this.latency : Math.max(0, this.latency),
      sinceMs: this.painted < 0 ? -1 : now - this.painted,
    };
  }
}
