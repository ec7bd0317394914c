// What the compound looks like now: plain maps outside the components, one reactive version number each.
// A thousand changes between two frames redraw once.
import { api } from '../api';
import type {
  AccessRecord, Alarm, Command, Counts, Device, EventRow, Health, OverlayFrame, ScreenFrame, Passage, Place, Topic, WorkOrder,
} from '../api/types';
import { Feed, type FeedStatus, type Handler } from './feed';
import { openAlarms } from './alarms';

/** Runs `fn` before the next picture, at most every `gap` milliseconds, however often asked; also when the page is hidden. */
function paced(fn: () => void, gap: number): () => void {
  let waiting = false;
  let last = -Infinity;
  const run = () => {
    waiting = false;
    last = performance.now();
    fn();
  };
  return () => {
    if (waiting) return;
    waiting = true;
    const rest = last + gap - performance.now();
    if (document.hidden) setTimeout(run, Math.max(200, rest));
    else if (rest > 0) setTimeout(() => requestAnimationFrame(run), rest);
    else requestAnimationFrame(run);
  };
}

/** Whole objects by id, replaced as they change. */
export class Table<T extends { id: string }> {
  readonly rows = new Map<string, T>();
  version = $state(0);
  /** Turns when a row comes, goes, or changes its name, kind or place: seldom, whatever the readings do. */
  members = $state(0);
  loaded = $state(false);
  private readonly touch: () => void;

  /** `gap`: milliseconds between redraws; `cap`: rows kept, the oldest go. */
  constructor(gap = 0, private readonly cap = Infinity, private readonly alike: (a: T | undefined, b: T) => boolean = (a) => a !== undefined) {
    this.touch = paced(() => this.version++, gap);
  }

  replace(rows: T[]): void {
    this.rows.clear();
    for (const row of rows) this.rows.set(row.id, row);
    this.loaded = true;
    this.members++;
    this.touch();
  }

  merge(rows: T[]): void {
    let moved = false;
    for (const row of rows) {
      moved ||= !this.alike(this.rows.get(row.id), row);
      this.rows.set(row.id, row);
    }
    while (this.rows.size > this.cap) this.rows.delete(this.rows.keys().next().value!);
    if (moved) this.members++;
    this.touch();
  }

  clear(): void {
    this.rows.clear();
    this.loaded = false;
    this.members++;
    this.touch();
  }

  /** Reads one row; components that call it follow the table. */
  get(id: string | null | undefined): T | undefined {
    void this.version;
    return id ? this.rows.get(id) : undefined;
  }

  all(): T[] {
    void this.version;
    return [...this.rows.values()];
  }

  /** The rows for a choice or a layout: follows who there is, not how they are. */
  listed(): T[] {
    void this.members;
    return [...this.rows.values()];
  }
}

/** Newest first, bounded: what has just happened. */
export class Recent<T extends { id: string; at: string }> {
  list = $state.raw<T[]>([]);
  loaded = $state(false);
  constructor(private readonly cap: number) {}

  replace(rows: T[]): void {
    this.list = [...rows].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0)).slice(0, this.cap);
    this.loaded = true;
  }

  add(row: T): void {
    const rest = this.list.filter((x) => x.id !== row.id);
    const at = rest.findIndex((x) => x.at <= row.at);
    rest.splice(at < 0 ? rest.length : at, 0, row);
    this.list = rest.slice(0, this.cap);
    this.loaded = true;
  }
}

const NO_COUNTS: Counts = { p1: 0, p2: 0, p3: 0, p4: 0, unacked: 0, shelved: 0 };

/** What the health page remembers of each reading, for its lines. */
export interface HealthReading {
  cpu: number;
  memory: number;
  messages: number;
  journal: number;
  telemetry: number;
  dropped: number;
  lag: number;
  commits: number;
  commitSeconds: number;
}

class Live {
  // Five redraws a second: what an eye follows in a table, and a fifth of the work.
  readonly devices = new Table<Device>(
    200, Infinity, (a, b) => !!a && a.name === b.name && a.name_zh === b.name_zh && a.kind === b.kind && a.place === b.place,
  );
  readonly alarms = new Table<Alarm>();
  readonly commands = new Table<Command>(0, 500);
  readonly orders = new Table<WorkOrder>();
  readonly events = new Recent<EventRow>(300);
  readonly passages = new Recent<Passage>(120);
  readonly access = new Recent<AccessRecord>(120);
  health = $state.raw<Health | null>(null);
  healthLog = $state.raw<HealthReading[]>([]);
  places = $state.raw<Place[]>([]);
  status = $state<FeedStatus>({
    state: 'closed', silence: -1, lag: 0, offset: 0, epoch: '', reconnects: 0, resubscribes: 0,
  });
  error = $state('');

  private feed: Feed | null = null;
  private readonly wanted = new Map<Topic, { users: number; stop: () => void }>();
  private unsubscribe: (() => void)[] = [];

  /** Alarm counts by priority of what is open and not shelved, from the alarms themselves. */
  counts = $derived.by<Counts>(() => {
    const counts = { ...NO_COUNTS };
    void this.alarms.version;
    for (const alarm of this.alarms.rows.values()) {
      if (alarm.shelved_until) counts.shelved++;
      else if (openAlarms.isOpen(alarm)) {
        counts[`p${alarm.priority}`]++;
        if (!alarm.acked) counts.unacked++;
      }
    }
    return counts;
  });

  /** Server time now, in milliseconds. */
  now(): number {
    return Date.now() + (Number.isFinite(this.status.offset) ? this.status.offset : 0);
  }

  start(unauthorised: () => void): void {
    if (this.feed) return;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const feed = new Feed({ url: `${scheme}://${location.host}/ws`, unauthorised, renewed: () => location.reload() });
    this.feed = feed;
    this.unsubscribe.push(
      feed.onStatus((status) => {
        this.status = { ...status };
      }),
      this.follow('devices'),
      this.follow('alarms'),
      this.follow('commands'),
      this.follow('events'),
    );
    feed.start();
    void this.loadPlaces();
  }

  stop(): void {
    for (const fn of this.unsubscribe) fn();
    this.unsubscribe = [];
    this.feed?.stop();
    this.feed = null;
    this.devices.clear();
    this.alarms.clear();
    this.commands.clear();
    this.orders.clear();
    this.events.list = [];
    this.passages.list = [];
    this.access.list = [];
  }

  async loadPlaces(): Promise<void> {
    try {
      this.places = await api.places();
      this.error = '';
    } catch (cause) {
      this.error = (cause as { code?: string }).code ?? 'unreachable';
    }
  }

  /** Follows a topic for as long as someone needs it; returns how to let go. */
  follow(topic: Topic): () => void {
    const present = this.wanted.get(topic);
    if (present) present.users++;
    else if (this.feed) this.wanted.set(topic, { users: 1, stop: this.feed.subscribe(topic, this.handler(topic)) });
    return () => {
      const entry = this.wanted.get(topic);
      if (!entry || --entry.users > 0) return;
      entry.stop();
      this.wanted.delete(topic);
    };
  }

  /** Hears the boxes of a camera until the returned function is called. */
  overlay(camera: string, hear: (frame: OverlayFrame) => void): () => void {
    return this.feed?.subscribe(`overlay/${camera}`, { ev: (data) => hear(data as OverlayFrame) }) ?? (() => {});
  }

  /** Hears what the screen of a door says until the returned function is called. */
  screen(door: string, hear: (frame: ScreenFrame) => void): () => void {
    return this.feed?.subscribe(`screen/${door}`, { ev: (data) => hear(data as ScreenFrame) }) ?? (() => {});
  }

  private handler(topic: Topic): Handler {
    switch (topic) {
      case 'devices':
        return {
          snap: (data) => this.devices.replace((data as { devices: Device[] }).devices),
          delta: (rows) => this.devices.merge(rows as Device[]),
        };
      case 'alarms':
        return {
          snap: (data) => this.alarms.replace((data as { alarms: Alarm[] }).alarms),
          delta: (rows) => this.mergeAlarms(rows as Alarm[]),
        };
      case 'commands':
        return {
          snap: (data) => this.commands.merge(listIn<Command>(data, 'commands')),
          delta: (rows) => this.commands.merge(rows as Command[]),
        };
      case 'work_orders':
        return {
          snap: (data) => this.orders.merge(listIn<WorkOrder>(data, 'work_orders')),
          delta: (rows) => this.orders.merge(rows as WorkOrder[]),
        };
      case 'health':
        return {
          snap: (data) => this.takeHealth(data as Health),
          delta: (rows) => rows[0] && this.takeHealth(rows[0] as Health),
          ev: (data) => this.takeHealth(data as Health),
        };
      case 'events': {
        const load = () => void api.events.list({ limit: 100 }).then((rows) => this.events.replace(rows), () => {});
        load();
        return { ev: (data) => this.events.add(data as EventRow), reset: load };
      }
      case 'passages': {
        const load = () => void api.passages.list({ limit: 60 }).then((rows) => this.passages.replace(rows), () => {});
        load();
        return { ev: (data) => this.passages.add(data as Passage), reset: load };
      }
      case 'access': {
        const load = () => void api.access({ limit: 60 }).then((rows) => this.access.replace(rows), () => {});
        load();
        return { ev: (data) => this.access.add(data as AccessRecord), reset: load };
      }
    }
  }

  /** Puts a changed alarm in place at once, before the feed repeats it. */
  mergeAlarms(rows: Alarm[]): void {
    this.alarms.merge(rows);
    for (const row of rows) if (openAlarms.isOver(row)) this.alarms.rows.delete(row.id);
  }

  private takeHealth(health: Health): void {
    this.health = health;
    this.healthLog = [
      ...this.healthLog.slice(-119),
      {
        cpu: health.cpu_percent,
        memory: health.memory_mb,
        messages: health.broker.messages_in,
        journal: health.queues.journal_depth,
        telemetry: health.history.depth,
        dropped: health.queues.dropped,
        lag: health.queues.feed_lag,
        commits: health.queues.commits,
        commitSeconds: health.queues.commit_seconds,
      },
    ];
  }
}

function listIn<T>(data: unknown, key: string): T[] {
  const list = (data as Record<string, unknown> | null)?.[key];
  return Array.isArray(list) ? (list as T[]) : [];
}

export const live = new Live();
