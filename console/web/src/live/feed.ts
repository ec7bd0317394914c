// The live feed: one WebSocket, many topics, no gap left unnoticed.
//
//   connecting ──hello──▶ live ──silence > 5 s──▶ stale ──silence > 15 s──▶ dropped ──backoff──▶ connecting
//
// Every topic keeps its own sequence number. A hole in it, or a server that restarted (new epoch), subscribes again
// from the last number seen; the server answers with what was missed or with a whole snapshot.
import type { ClientMessage, Counts, OverlayTopic, Resume, ScreenTopic, ServerMessage, Topic } from '../api/types';

export type FeedState = 'connecting' | 'live' | 'stale' | 'closed';

export interface FeedStatus {
  state: FeedState;
  /** Milliseconds since anything was heard; -1 before the first word. */
  silence: number;
  /** Newest transport lag in milliseconds, server clock to browser, against the best seen. */
  lag: number;
  /** Server clock minus browser clock, in milliseconds. */
  offset: number;
  epoch: string;
  reconnects: number;
  resubscribes: number;
}

export interface Handler {
  snap?(data: unknown): void;
  delta?(changed: unknown[], counts?: Counts): void;
  ev?(data: unknown): void;
  /** The server restarted and the missed events cannot be replayed: read them again over HTTP. */
  reset?(): void;
}

interface Sub {
  id: number;
  topic: Topic | OverlayTopic | ScreenTopic;
  handler: Handler;
  epoch: string;
  seq: number; // -1: nothing seen
  gaps: number;
  asked: number; // when the last repeat was asked for; 0: none under way
}

export interface Socket {
  send(data: string): void;
  close(code?: number): void;
  onopen: ((ev: never) => void) | null;
  onclose: ((ev: { code: number }) => void) | null;
  onmessage: ((ev: { data: unknown }) => void) | null;
}

export interface FeedOptions {
  url: string;
  open?: (url: string) => Socket;
  now?: () => number;
  random?: () => number;
  later?: (fn: () => void, ms: number) => unknown;
  cancel?: (handle: never) => void;
  /** Called when the server is of another build than the one first met: this page is out of date. */
  renewed?: () => void;
  /** Called when the server says the session has ended. */
  unauthorised?: () => void;
}

export const STALE_MS = 5_500; // one heartbeat (5 s) and half a second of jitter
export const DEAD_MS = 15_000; // three heartbeats
const BACKOFF_MS = [250, 500, 1_000, 2_000, 4_000, 8_000];
const REPEAT_MS = 2_000; // an unanswered resubscription is asked again after this

/** Wire time, either RFC 3339 or Unix milliseconds, as milliseconds. */
export function wireTime(ts: string | number | undefined): number {
  if (typeof ts === 'number') return ts > 1e14 ? ts / 1000 : ts;
  return ts ? Date.parse(ts) : NaN;
}

export class Feed {
  private readonly subs = new Map<number, Sub>();
  private readonly listeners = new Set<(status: FeedStatus) => void>();
  private socket: Socket | null = null;
  private nextId = 1;
  private attempt = 0;
  private stopped = true;
  private greeted = false;
  private heard = -1;
  private build = '';
  private bestOffset = -Infinity; // max of (server − browser): the least delayed message
  private retry: unknown = null;
  private ticker: unknown = null;
  private readonly status: FeedStatus = {
    state: 'closed', silence: -1, lag: 0, offset: 0, epoch: '', reconnects: 0, resubscribes: 0,
  };
  private readonly now: () => number;
  private readonly random: () => number;
  private readonly later: (fn: () => void, ms: number) => unknown;
  private readonly cancel: (handle: never) => void;
  private readonly open: (url: string) => Socket;

  constructor(private readonly options: FeedOptions) {
    this.now = options.now ?? (() => Date.now());
    this.random = options.random ?? Math.random;
    this.later = options.later ?? ((fn, ms) => setTimeout(fn, ms));
    this.cancel = options.cancel ?? ((handle) => clearTimeout(handle));
    this.open = options.open ?? ((url) => new WebSocket(url) as unknown as Socket);
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.attempt = 0;
    this.connect();
    this.tick();
  }

  stop(): void {
    this.stopped = true;
    if (this.retry !== null) this.cancel(this.retry as never);
    if (this.ticker !== null) this.cancel(this.ticker as never);
    this.retry = this.ticker = null;
    this.drop();
    this.set('closed');
  }

  onStatus(fn: (status: FeedStatus) => void): () => void {
    this.listeners.add(fn);
    fn(this.status);
    return () => this.listeners.delete(fn);
  }

  /** Follows a topic until the returned function is called. */
  subscribe(topic: Topic | OverlayTopic | ScreenTopic, handler: Handler): () => void {
    const sub: Sub = { id: this.nextId++, topic, handler, epoch: '', seq: -1, gaps: 0, asked: 0 };
    this.subs.set(sub.id, sub);
    if (this.greeted) this.ask(sub);
    return () => {
      this.subs.delete(sub.id);
      if (this.greeted) this.send({ t: 'unsub', id: sub.id });
    };
  }

  private connect(): void {
    this.retry = null;
    this.greeted = false;
    if (this.status.state !== 'stale') this.set('connecting');
    let socket: Socket;
    try {
      socket = this.open(this.options.url);
    } catch {
      this.again(0);
      return;
    }
    this.socket = socket;
    const started = this.now();
    socket.onopen = () => {
      if (this.socket === socket) this.heard = Math.max(this.heard, started);
    };
    socket.onmessage = (ev) => {
      if (this.socket !== socket || typeof ev.data !== 'string') return;
      let message: ServerMessage;
      try {
        message = JSON.parse(ev.data) as ServerMessage;
      } catch {
        return; // a word we cannot read is not a reason to stop listening
      }
      this.heard = this.now();
      this.take(message);
      if (this.greeted && this.status.state !== 'live') this.set('live');
    };
    socket.onclose = (ev) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.greeted = false;
      if (ev.code === 1008 || ev.code === 4401) this.options.unauthorised?.();
      this.again(ev.code);
    };
  }

  private again(code: number): void {
    if (this.stopped || this.retry !== null) return;
    const base = code === 1013 ? 100 : BACKOFF_MS[Math.min(this.attempt, BACKOFF_MS.length - 1)]!;
    this.attempt++;
    this.status.reconnects++;
    this.set(this.heard >= 0 ? 'stale' : 'connecting');
    // Half to one and a half times the step: a hundred consoles must not come back in one instant.
    this.retry = this.later(() => this.connect(), base * (0.5 + this.random()));
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    this.greeted = false;
    if (!socket) return;
    socket.onmessage = socket.onclose = socket.onopen = null;
    socket.close();
  }

  private tick(): void {
    const silent = this.heard < 0 ? -1 : this.now() - this.heard;
    if (this.socket && this.greeted && silent > DEAD_MS) {
      this.drop();
      this.again(0);
    } else if (this.status.state === 'live' && silent > STALE_MS) {
      this.set('stale');
    } else {
      this.publish();
    }
    for (const sub of this.subs.values()) {
      if (this.greeted && sub.asked > 0 && this.now() - sub.asked > REPEAT_MS) this.repeat(sub);
    }
    this.ticker = this.later(() => this.tick(), 500);
  }

  private send(message: ClientMessage): void {
    try {
      this.socket?.send(JSON.stringify(message));
    } catch {
      // The close handler follows and reconnects.
    }
  }

  private ask(sub: Sub): void {
    const from: Resume | undefined = sub.seq >= 0 && sub.epoch ? { epoch: sub.epoch, seq: sub.seq } : undefined;
    this.send({ t: 'sub', id: sub.id, topic: sub.topic, ...(from && { from }) });
  }

  private take(message: ServerMessage): void {
    switch (message.t) {
      case 'hello': {
        this.greeted = true;
        this.attempt = 0;
        if (this.build && this.build !== message.build) this.options.renewed?.();
        this.build ||= message.build;
        const renewed = this.status.epoch !== '' && this.status.epoch !== message.epoch;
        this.status.epoch = message.epoch;
        if (renewed) this.bestOffset = -Infinity;
        for (const sub of this.subs.values()) {
          if (renewed && sub.epoch && sub.epoch !== message.epoch) {
            sub.handler.reset?.();
            sub.seq = -1;
          }
          this.ask(sub);
        }
        return;
      }
      case 'hb':
        this.measure(wireTime(message.ts));
        return;
      case 'snap': {
        const sub = this.subs.get(message.id);
        if (!sub) return;
        sub.seq = message.seq;
        sub.epoch = this.status.epoch;
        sub.asked = 0;
        sub.gaps = 0;
        if (message.data !== null && message.data !== undefined) sub.handler.snap?.(message.data);
        return;
      }
      case 'delta':
      case 'ev': {
        const sub = this.subs.get(message.id);
        if (!sub) return;
        this.measure(wireTime(message.ts));
        if (sub.seq >= 0 && message.seq <= sub.seq) return; // already had it
        if (sub.seq >= 0 && message.seq !== sub.seq + 1) {
          this.gap(sub);
          return;
        }
        sub.seq = message.seq;
        sub.epoch = this.status.epoch;
        sub.asked = 0;
        if (message.t === 'delta') sub.handler.delta?.(message.u, message.counts);
        else sub.handler.ev?.(message.data);
        return;
      }
      case 'err': {
        if (message.code === 'unauthorised' || message.code === 'unauthorized') this.options.unauthorised?.();
        const sub = message.id === undefined ? undefined : this.subs.get(message.id);
        if (sub) sub.asked = 0;
        return;
      }
    }
  }

  private gap(sub: Sub): void {
    if (sub.asked === 0) this.repeat(sub); // else it is already asked for: what comes meanwhile comes again
  }

  private repeat(sub: Sub): void {
    sub.gaps++;
    this.status.resubscribes++;
    sub.asked = this.now();
    // Replays that keep leaving holes: stop asking for them and start afresh.
    if (sub.gaps > 3) {
      sub.gaps = 0;
      sub.seq = -1;
      sub.asked = 0;
      sub.handler.reset?.();
    }
    this.ask(sub);
  }

  private measure(server: number): void {
    if (!Number.isFinite(server)) return;
    const offset = server - this.now();
    if (offset > this.bestOffset) this.bestOffset = offset;
    this.status.offset = this.bestOffset;
    this.status.lag = Math.max(0, this.bestOffset - offset);
  }

  private set(state: FeedState): void {
    this.status.state = state;
    this.publish();
  }

  private publish(): void {
    this.status.silence = this.heard < 0 ? -1 : this.now() - this.heard;
    for (const fn of this.listeners) fn(this.status);
  }
}
