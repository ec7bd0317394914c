// The live feed against a scripted server and a hand-wound clock.
import { describe, expect, it } from 'vitest';
import type { Topic } from '../src/api/types';
import { DEAD_MS, Feed, STALE_MS, wireTime, type FeedStatus, type Socket } from '../src/live/feed';

class FakeSocket implements Socket {
  sent: Record<string, unknown>[] = [];
  closed = false;
  onopen: ((ev: never) => void) | null = null;
  onclose: ((ev: { code: number }) => void) | null = null;
  onmessage: ((ev: { data: unknown }) => void) | null = null;
  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }
  close(): void {
    this.closed = true;
  }
  says(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  breaks(code = 1006): void {
    this.onclose?.({ code });
  }
}

function rig() {
  let now = 1_000_000;
  let timers: { at: number; fn: () => void; handle: number }[] = [];
  let handles = 0;
  const sockets: FakeSocket[] = [];
  let status!: FeedStatus;
  let unauthorised = 0;
  let renewed = 0;
  const feed = new Feed({
    url: 'ws://test/ws',
    open: () => {
      const s = new FakeSocket();
      sockets.push(s);
      return s;
    },
    now: () => now,
    random: () => 0.5,
    later: (fn, ms) => {
      timers.push({ at: now + ms, fn, handle: ++handles });
      return handles;
    },
    cancel: (h) => (timers = timers.filter((t) => t.handle !== (h as unknown as number))),
    unauthorised: () => unauthorised++,
    renewed: () => renewed++,
  });
  feed.onStatus((s) => (status = { ...s }));
  /** Moves the clock, running what falls due on the way. */
  const pass = (ms: number) => {
    const end = now + ms;
    for (;;) {
      const next = timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      timers = timers.filter((t) => t !== next);
      now = next.at;
      next.fn();
    }
    now = end;
  };
  const log: unknown[] = [];
  const follow = (topic: Topic) =>
    feed.subscribe(topic, {
      snap: (d) => log.push(['snap', d]),
      delta: (u) => log.push(['delta', u]),
      ev: (d) => log.push(['ev', d]),
      reset: () => log.push(['reset']),
    });
  const hello = (epoch = 'e1', build = 'b') => sockets.at(-1)!.says({ t: 'hello', proto: 1, build, epoch, user: 'u', hb: 5 });
  return { feed, sockets, pass, log, follow, hello, status: () => status, socket: () => sockets.at(-1)!, unauthorised: () => unauthorised, renewed: () => renewed, time: () => now };
}

describe('the live feed', () => {
  it('subscribes once the server has greeted and passes the snapshot and changes on', () => {
    const r = rig();
    r.follow('devices');
    r.feed.start();
    expect(r.socket().sent).toEqual([]);
    r.hello();
    expect(r.socket().sent).toEqual([{ t: 'sub', id: 1, topic: 'devices' }]);
    r.socket().says({ t: 'snap', id: 1, seq: 7, data: { devices: [] } });
    r.socket().says({ t: 'delta', id: 1, seq: 8, ts: r.time(), u: [{ id: 'a' }] });
    expect(r.log).toEqual([['snap', { devices: [] }], ['delta', [{ id: 'a' }]]]);
    expect(r.status().state).toBe('live');
  });

  it('asks again from the last number when one is missing, and takes the replay without doubles', () => {
    const r = rig();
    r.follow('events');
    r.feed.start();
    r.hello();
    r.socket().says({ t: 'snap', id: 1, seq: 4, data: null });
    r.socket().says({ t: 'ev', id: 1, seq: 5, data: 'five' });
    r.socket().says({ t: 'ev', id: 1, seq: 7, data: 'seven' });
    expect(r.log).toEqual([['ev', 'five']]);
    expect(r.socket().sent.at(-1)).toEqual({ t: 'sub', id: 1, topic: 'events', from: { epoch: 'e1', seq: 5 } });
    r.socket().says({ t: 'ev', id: 1, seq: 8, data: 'eight' }); // sent before the replay was asked for
    for (const [seq, data] of [[6, 'six'], [7, 'seven'], [8, 'eight'], [8, 'eight'], [9, 'nine']]) r.socket().says({ t: 'ev', id: 1, seq, data });
    expect(r.log.map((x) => (x as unknown[])[1])).toEqual(['five', 'six', 'seven', 'eight', 'nine']);
    expect(r.socket().sent.filter((m) => m.from).length).toBe(1);
    r.pass(500);
    expect(r.status().resubscribes).toBe(1);
  });

  it('gives up on replays that keep leaving holes and starts afresh', () => {
    const r = rig();
    r.follow('alarms');
    r.feed.start();
    r.hello();
    r.socket().says({ t: 'snap', id: 1, seq: 1, data: {} });
    r.socket().says({ t: 'delta', id: 1, seq: 5, ts: 0, u: [] });
    for (let n = 0; n < 4; n++) {
      r.pass(2_600);
      r.socket().says({ t: 'hb', ts: r.time() });
    }
    expect(r.log).toContainEqual(['reset']);
    expect(r.socket().sent.at(-1)).toEqual({ t: 'sub', id: 1, topic: 'alarms' });
  });

  it('resumes every topic after a lost connection', () => {
    const r = rig();
    r.follow('alarms');
    r.feed.start();
    r.hello();
    r.socket().says({ t: 'snap', id: 1, seq: 40, data: {} });
    r.socket().breaks();
    expect(r.status().state).toBe('stale');
    r.pass(1_000);
    expect(r.sockets.length).toBe(2);
    r.hello();
    expect(r.socket().sent).toEqual([{ t: 'sub', id: 1, topic: 'alarms', from: { epoch: 'e1', seq: 40 } }]);
    r.socket().says({ t: 'delta', id: 1, seq: 41, ts: 0, u: ['x'] });
    expect(r.log.at(-1)).toEqual(['delta', ['x']]);
    expect(r.status().state).toBe('live');
  });

  it('takes a new epoch as a new start and says so to those who keep lists', () => {
    const r = rig();
    r.follow('events');
    r.feed.start();
    r.hello('before');
    r.socket().says({ t: 'ev', id: 1, seq: 90, data: 'old' });
    r.socket().breaks();
    r.pass(1_000);
    r.hello('after');
    expect(r.log.at(-1)).toEqual(['reset']);
    expect(r.socket().sent).toEqual([{ t: 'sub', id: 1, topic: 'events' }]);
    r.socket().says({ t: 'ev', id: 1, seq: 1, data: 'new' });
    expect(r.log.at(-1)).toEqual(['ev', 'new']);
  });

  it('says when the server came back as another build', () => {
    const r = rig();
    r.feed.start();
    r.hello('e1', '0.1.0');
    r.socket().breaks();
    r.pass(1_000);
    r.hello('e2', '0.1.0');
    expect(r.renewed()).toBe(0);
    r.socket().breaks();
    r.pass(1_000);
    r.hello('e3', '0.2.0');
    expect(r.renewed()).toBe(1);
  });

  it('is stale after one missed heartbeat and drops a line that is dead', () => {
    const r = rig();
    r.follow('devices');
    r.feed.start();
    r.hello();
    r.pass(5_000);
    expect(r.status().state).toBe('live');
    r.pass(STALE_MS - 5_000 + 600);
    expect(r.status().state).toBe('stale');
    expect(r.status().silence).toBeGreaterThanOrEqual(STALE_MS);
    r.socket().says({ t: 'hb', ts: r.time() });
    expect(r.status().state).toBe('live');
    const first = r.socket();
    r.pass(DEAD_MS + 1_500);
    expect(first.closed).toBe(true);
    expect(r.sockets.length).toBe(2);
    expect(r.status().state).toBe('stale');
  });

  it('waits longer each time, and hardly at all after an overflow (1013)', () => {
    const r = rig();
    r.feed.start();
    const waits: number[] = [];
    for (let n = 0; n < 4; n++) {
      const at = r.time();
      const count = r.sockets.length;
      r.socket().breaks();
      while (r.sockets.length === count) r.pass(50);
      waits.push(r.time() - at);
    }
    expect(waits).toEqual([250, 500, 1000, 2000]);
    r.hello();
    const count = r.sockets.length;
    r.socket().breaks(1013);
    r.pass(100);
    expect(r.sockets.length).toBe(count + 1);
  });

  it('survives words it cannot read', () => {
    const r = rig();
    r.follow('devices');
    r.feed.start();
    r.hello();
    r.socket().onmessage?.({ data: '{not json' });
    r.socket().onmessage?.({ data: new ArrayBuffer(4) });
    r.socket().says({ t: 'something-new', id: 1 });
    r.socket().says({ t: 'delta', id: 99, seq: 1, ts: 0, u: [] });
    r.socket().says({ t: 'snap', id: 1, seq: 1, data: { devices: [1] } });
    expect(r.log).toEqual([['snap', { devices: [1] }]]);
  });

  it('tells when the session has ended, and stops listening to a topic when asked', () => {
    const r = rig();
    const stop = r.follow('devices');
    r.feed.start();
    r.hello();
    stop();
    expect(r.socket().sent.at(-1)).toEqual({ t: 'unsub', id: 1 });
    r.socket().breaks(4401);
    expect(r.unauthorised()).toBe(1);
  });

  it('measures lag against the least delayed message', () => {
    const r = rig();
    r.feed.start();
    r.hello();
    r.socket().says({ t: 'hb', ts: r.time() + 3_000 - 20 }); // the server's clock is 3 s ahead, 20 ms on the way
    r.socket().says({ t: 'hb', ts: r.time() + 3_000 - 120 });
    r.pass(500);
    expect(r.status().lag).toBe(100);
    expect(r.status().offset).toBe(2_980);
  });

  it('reads both forms of time', () => {
    expect(wireTime('1970-01-01T00:00:01.500Z')).toBe(1500);
    expect(wireTime(1500)).toBe(1500);
    expect(wireTime(undefined)).toBeNaN();
  });
});
