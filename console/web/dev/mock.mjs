// A stand-in for the server, for developing and testing the console alone: the whole contract with invented data.
// Development only; never shipped. `node dev/mock.mjs [port]`, then sign in as admin / gatehouse-demo.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { ago, D, devices, face, faceNotice, id, levels, people, places, rnd, sops, stories } from './compound.mjs';
import { clipFile, Stream } from './stream.mjs';

/** Pictures judged: each shows the next pose. */
let checks = 0;

const DIST = process.env.MOCK_DIST ?? join(dirname(fileURLToPath(import.meta.url)), '../../dist');
const EPOCH = id();
const PASSWORD = 'gatehouse-demo';
const now = () => new Date().toISOString();
const name = (d) => ({ device: d.name, device_zh: d.name_zh });

// ---- state
const alarms = new Map();
const details = new Map();
let events = [];
let passages = [];
let access = [];
const commands = new Map();
const orders = new Map();
const sessions = new Set();
const removed = new Map();
const watchLists = [{ id: id(), name: 'VIP', listing: 'welcome', alarm: null, opens: true, version: 1, by: 'admin', at: new Date().toISOString() }];
const watchEntries = [{ id: id(), list: watchLists[0].id, plate: '粤B88888', note: 'the owner', valid_until: null, by: 'admin', at: new Date().toISOString() }];
let audit = [];
let users = [
  { id: id(), name: 'admin', role: 'admin', enabled: true }, { id: id(), name: 'zhao', role: 'operator', enabled: true },
  { id: id(), name: 'sun', role: 'guard', enabled: true }, { id: id(), name: 'old-engineer', role: 'engineer', enabled: false },
];
let orderNumber = 1041;
let preferences = { version: 0, preferences: {} };

// ---- feed
const topics = {};
for (const t of ['devices', 'alarms', 'events', 'passages', 'access', 'commands', 'work_orders', 'health']) topics[t] = { seq: 0, ring: [], subs: new Set() };
function publish(topic, kind, body) {
  const t = topics[topic];
  const message = { t: kind, seq: ++t.seq, ...(kind === 'delta' && { ts: now() }), ...body };
  t.ring.push(message);
  if (t.ring.length > 4096) t.ring.shift();
  for (const { ws, id: sub } of t.subs) ws.send(JSON.stringify({ ...message, id: sub }));
}
const counts = () => {
  const c = { p1: 0, p2: 0, p3: 0, p4: 0, unacked: 0, shelved: 0 };
  for (const a of alarms.values()) {
    if (a.shelved_until) c.shelved++;
    else if (a.active || !a.acked) { c[`p${a.priority}`]++; if (!a.acked) c.unacked++; }
  }
  return c;
};
const changed = {
  device: (d) => publish('devices', 'delta', { u: [d] }),
  alarm: (a) => publish('alarms', 'delta', { u: [a], counts: counts() }),
  order: (o) => publish('work_orders', 'delta', { u: [o] }),
  command: (c) => publish('commands', 'delta', { u: [c] }),
};
function event(code, device, params = {}, by = 'system', at = now()) {
  const row = { id: id(), at, code, device: device?.id ?? null, place: device?.place ?? null, by, params };
  events.unshift(row);
  events = events.slice(0, 2000);
  publish('events', 'ev', { data: row });
}
const letter = (a) => (a.suppressed ? 'G' : a.shelved_until ? 'F' : a.active ? (a.acked ? 'C' : 'B') : a.acked ? 'A' : 'D');
function raise(type, priority, device, extra = {}) {
  const a = {
    id: id(), type, priority, device: device.id, place: device.place, title: { ...name(device) }, raised_at: now(), observed_at: now(), active: true, acked: false,
    acked_by: null, acked_at: null, cleared_at: null, latched: type === 'fire', shelved_until: null, shelve_reason: '', suppressed: false, letter: 'B',
    occurrences: 1, cameras: device.cameras, work_order: null, source: `mqtt/${device.key}`, ...extra,
  };
  alarms.set(a.id, a);
  const t0 = Date.parse(a.raised_at);
  details.set(a.id, {
    timeline: [{ at: a.raised_at, code: 'raised', by: 'system', params: {} }],
    clips: device.cameras.slice(0, 1).map((camera) => ({ camera, from: new Date(t0 - 10_000).toISOString(), to: new Date(t0 + 20_000).toISOString(), ready: Date.now() - t0 > 8000, url: `/api/clips/${a.id}.mp4` })),
    steps_done: [],
  });
  device.severity = device.severity ? Math.min(device.severity, priority) : priority;
  changed.alarm(a);
  changed.device(device);
  event('alarm.moved', device, { kind: type, what: 'raised', priority }, 'system', a.raised_at);
  setTimeout(() => { for (const c of details.get(a.id)?.clips ?? []) c.ready = true; }, 4000).unref();
  return a;
}
function detail(a) {
  a.letter = letter(a);
  const d = details.get(a.id);
  return { alarm: a, ...d, sop: sops[a.type] ?? sops.other, work_orders: a.work_order ? [orders.get(a.work_order)] : [] };
}
const note = (a, code, by, params = {}) => details.get(a.id).timeline.push({ at: now(), code, by, params });
function order(input) {
  const o = { id: id(), number: ++orderNumber, title: {}, type: 'manual', state: 'pending', priority: 3, device: null, place: null, alarm: null, assignee: '', at: now(), due_at: ago(-7200), done_at: null, notes: [], ...input };
  orders.set(o.id, o);
  changed.order(o);
  return o;
}
function passage(plate, colour, known, decision, at = now(), direction = 'in') {
  const p = {
    id: id(), lane: direction === 'in' ? 'gate-in' : 'gate-out', camera: D[direction === 'in' ? 'cam-gate-in' : 'cam-gate-out'].id, direction, at, plate, colour, confidence: 0.9 + rnd() * 0.099,
    latency_ms: Math.round(180 + rnd() * 160), picture: `/api/pictures/${encodeURIComponent(plate || 'unread')}.jpg`, person: known ? people.find((x) => x.name === known)?.id ?? null : null,
    person_name: known ?? '', decision, by: decision === 'opened' ? 'rule' : '', barrier: D[direction === 'in' ? 'gate-in' : 'gate-out'].id,
    note: '', votes: 4, sure: true, reads: 1, last_at: null, correction: null, hits: [],
  };
  passages.unshift(p);
  publish('passages', 'ev', { data: p });
  return p;
}
function record(device, person, via, granted, reason = '', at = now()) {
  const r = { id: id(), at, device: device.id, person: person?.id ?? null, person_name: person?.name ?? '', via, granted, reason, picture: via === 'face' ? `/api/pictures/face.jpg` : null, latency_ms: Math.round(6 + rnd() * 30) };
  access.unshift(r);
  publish('access', 'ev', { data: r });
}
function state(device, next) {
  device.state = next;
  device.since = now();
  changed.device(device);
  event('device.state', device, { kind: device.kind, class: '', from: '', to: next });
}

// ---- stories
const play = {
  fire() {
    state(D['ha-smoke-12'], 'active');
    raise('smoke', 2, D['ha-smoke-12']);
    setTimeout(() => {
      const a = raise('fire', 1, D.fire, { title: { ...name(D.fire), place: 'Floor 12', value: 'zone 12-3' }, place: D['ha-smoke-12'].place });
      state(D.fire, 'alarm');
      for (const k of ['door-b1', 'door-b1-12', 'door-b2']) state(D[k], 'released');
      for (const k of ['lift-1', 'lift-2']) state(D[k], 'recalled');
      event('fire.release', null, { active: true, doors: 3, elevators: 2 });
      const o = order({ type: 'fire', priority: 1, device: D.fire.id, place: a.place, alarm: a.id, title: { ...name(D.fire) }, assignee: 'sun' });
      a.work_order = o.id;
      changed.alarm(a);
    }, 700);
  },
  car_known: () => passage('京A12345', 'blue', '李静', 'opened'),
  car_unknown: () => { passage('苏E90K17', 'blue', null, 'asked'); raise('unknown_plate', 4, D['gate-in']); },
  door_forced: () => { state(D['door-pump'], 'forced_open'); raise('door_forced', 2, D['door-pump']); },
  lift_trapped: () => { state(D['lift-1'], 'trapped'); raise('lift_trapped', 1, D['lift-1']); },
  resident_face: () => { record(D['door-b1'], people[0], 'face', true); state(D['door-b1'], 'unlocked'); setTimeout(() => state(D['door-b1'], 'secured'), 5000); },
  flood() {
    devices.filter((d) => d.key.startsWith('env-')).slice(0, 14).forEach((d, n) => setTimeout(() => raise(n % 5 ? 'device_offline' : 'limit', n % 5 ? 3 : 4, d), n * 60));
  },
};

// ---- history to look at
function history() {
  for (let n = 40; n > 0; n--) {
    const d = devices[Math.floor(rnd() * devices.length)];
    const at = ago(n * 47);
    if (d.kind === 'door') event('access.granted', d, { name: people[n % 5].name, via: n % 3 ? 'card' : 'face' }, 'system', at);
    else if (d.kind === 'barrier') event('plate.read', d, { text: '京A12345', confidence: 0.97, colour: 'blue' }, 'system', at);
    else if (d.kind === 'elevator') event('device.state', d, { to: n % 2 ? 'moving' : 'idle' }, 'system', at);
    else event('device.presence', d, { from: 'stale', to: 'online' }, 'system', at);
  }
  const cars = [['京A12345', 'blue', '李静', 'opened'], ['沪AD12345', 'green', '陈思远', 'opened'], ['粤B6688X', 'blue', '周晓彤', 'opened_by_guard'], ['鲁F3Z881', 'yellow', null, 'refused'], ['', 'unknown', null, 'unread'], ['京N8Q7K2', 'blue', '王建国', 'opened']];
  for (let n = 24; n > 0; n--) { const [p, c, k, d] = cars[n % cars.length]; passage(p, c, k, d, ago(n * 340), n % 3 ? 'in' : 'out'); }
  for (let n = 60; n > 0; n--) {
    const who = n % 7 ? people[n % people.length] : null;
    record(D[n % 3 ? 'door-b1' : 'door-b2'], who, n % 3 ? 'card' : 'face', !!who && n % 11 !== 0, who ? (n % 11 ? '' : 'NotPermittedAtThisTime') : n % 3 ? 'CredentialNotFound' : 'Unauthorized', ago(n * 211));
  }
  const old = raise('door_held', 3, D['door-b2'], { raised_at: ago(1460), acked: true, acked_by: 'zhao', acked_at: ago(1400), letter: 'C' });
  const off = raise('device_offline', 4, D['meter-w2'], { raised_at: ago(5400) });
  off.acked = true; off.acked_by = 'zhao'; off.acked_at = ago(5000);
  const beam = raise('intrusion', 2, D['fence-e'], { raised_at: ago(312), active: false, cleared_at: ago(290), letter: 'D' });
  beam.occurrences = 3;
  const leak = raise('leak', 3, D['ha-leak-pump'], { raised_at: ago(4000) });
  leak.shelved_until = ago(-1500); leak.shelve_reason = '检修中'; leak.acked = true;
  for (const a of [old, off, beam, leak]) for (const c of details.get(a.id).clips) c.ready = true;
  order({ title: { zh: '更换 2 号楼门禁读卡器', en: 'Replace the reader at building 2' }, state: 'in_progress', priority: 3, device: D['door-b2'].id, assignee: 'old-engineer', at: ago(9000), notes: [{ at: ago(8000), by: 'zhao', text: '配件已到' }] });
  order({ type: 'leak', state: 'accepted', priority: 2, device: D['ha-leak-pump'].id, alarm: leak.id, assignee: 'sun', at: ago(3900), due_at: ago(600) });
  order({ title: { zh: '清洁南门摄像机镜头', en: 'Clean the gate camera' }, state: 'done', priority: 4, device: D['cam-gate-in'].id, assignee: 'sun', at: ago(90000), done_at: ago(70000) });
  audit = [['POST /api/session', '', '200'], ['POST /api/alarms/{id}/ack', '', '200'], ['POST /api/devices/{id}/commands', 'door-b1', '202'], ['PUT /api/users/{id}', 'old-engineer', '200'], ['POST /api/session', '', 'bad_credentials']].map(([action, target, outcome], n) => ({ id: id(), at: ago(n * 700 + 30), by: n === 4 ? 'guest' : 'admin', action, target, outcome, address: '127.0.0.1' }));
}
history();

const backup = { dir: '/mnt/backup/gatehouse', same_disk: false, every_hours: 24, keep: 7, last: { at: ago(3600 * 7), path: '/mnt/backup/gatehouse/20261125T030000Z', bytes: 48_200_000, rows: 812_443, seconds: 9.4, secrets: true }, overdue: false, running: null, last_error: '', failures: 0 };
function takeBackup() {
  backup.running = { since: now(), by: 'admin', percent: 0, what: 'event_log' };
  const step = setInterval(() => {
    backup.running.percent += 20;
    if (backup.running.percent < 100) return;
    clearInterval(step);
    backup.running = null;
    backup.last = { ...backup.last, at: now() };
  }, 700);
}
const started = Date.now();
let messages = 180_000;
function health() {
  messages += Math.round(200 + rnd() * 60);
  return {
    since: ago((Date.now() - started) / 1000 + 86400 * 2 + 3600 * 5), version: '0.1.0', database: { version: '15.14', timescale: false, size_mb: 84.2, up: true },
    broker: { listen: '127.0.0.1:1883', clients: 34, messages_in: messages }, memory_mb: 412 + rnd() * 12, cpu_percent: 18 + rnd() * 9, disk: { path: '/var/lib/gatehouse', free_gb: 212.4, used_percent: 37, room: 'enough' },
    journal: { state: 'spilling', depth: 0, spilled: 1284, spilled_bytes: 1_420_000, spill_limit: 256_000_000, oldest_at: ago(95), refused: 0 },
    actors: [...devices.slice(0, 22).map((d) => ({ key: `device/${d.key}`, state: 'running', restarts: d.key === 'lift-1' ? 1 : 0, depth: 0, reason: '' })), { key: 'alarm', state: 'running', restarts: 0, depth: 0, reason: '' }, { key: 'rule', state: 'quarantined', restarts: 5, depth: 0, reason: 'told to fail' }],
    ingress: [
      { source: 'mqtt', depth: 0, limit: 4096, taken: messages, coalesced: 812, refused: 0, undecodable: 3, last_error: 'sensor/ha-temp-pump: expected number at byte 14' },
      { source: 'vision', depth: 1, limit: 64, taken: 48211, coalesced: 1203, refused: 0, undecodable: 0, last_error: '' },
      { source: 'webhook', depth: 0, limit: 256, taken: 12, coalesced: 0, refused: 0, undecodable: 0, last_error: '' },
    ],
    consumers: targets.map((x) => ({ key: `webhook:${x.name}`, seq: messages, events: 0, seconds: 0 })),
    cameras: devices.filter((d) => d.kind === 'camera').map((d) => ({ id: d.id, key: d.key, live: d.state === 'live', reason: d.state === 'live' ? '' : 'timeout', fps: d.state === 'live' ? 15 : 0, kbps: d.state === 'live' ? 1100 + rnd() * 200 : 0, codec: 'H.264', width: 640, height: 360, viewers: 1, recording: true, restarts: 0, last_frame_at: now() })),
    recognition: { plates_ms_p50: 41, faces_ms_p50: 58, frames: 48211, dropped: 1203 },
    memory_budget_mb: 2048,
    history: { store: 'partitions', depth: Math.round(rnd() * 300), limit: 200000, written: messages * 2, dropped: 0, refused: 0, last_batch_ms: 2 + rnd() * 3, last_batch_rows: 40, failed_batches: 0, rolled_s: 20, last_error: '' },
    queues: { journal_depth: Math.round(rnd() * 12), journal_limit: 20000, commits: Math.round(messages / 20), commit_seconds: messages / 5000, dropped: 3, mailboxes: 2, followers: 8, feed_lag: Math.round(rnd() * 3), feed_refreshes: 1 },
    backup,
    traces: { endpoint: 'http://127.0.0.1:4318', exported: 48_120, dropped: 0, depth: 12, limit: 8_704, error: '' },
  };
}

const rules = [
  { id: id(), name: 'Pump pressure at night', text: 'when point powr of "meter-1" > 3 kW deadband 1\nfor 5 min\nthen alarm priority 2 title "Pump"', enabled: true, version: 3, by: 'chen', at: ago(8000), deleted: false, stopped: '', on: 1, waiting: false, fired_24h: 4, last_fired: ago(300) },
  { id: id(), name: '走廊温度', text: 'when no report from "meter-1" for 10 min\nthen alarm priority 3 title "仪表"', enabled: false, version: 1, by: 'admin', at: ago(90000), deleted: false, stopped: '', on: 0, waiting: false, fired_24h: 0, last_fired: null },
];
const target = (name, more) => ({ name, address: `https://${name}.example`, min_priority: 4, kinds: [], allow_private: false, enabled: true, health: 'working', delivered_at: ago(40), failed_at: null, failure: '', waiting: 0, oldest_at: null, dead: 0, ...more });
const targets = [
  target('property-system', { min_priority: 2 }),
  target('fire-brigade', { health: 'failing', kinds: ['fire', 'smoke'], delivered_at: ago(86400 * 4), failed_at: ago(30), failure: 'the receiver answered 500 Internal Server Error', waiting: 3, oldest_at: ago(900), dead: 2 }),
];
const delivery = (of, kind, state, more) => ({ id: id(), target: of, kind, alarm: kind === 'test' ? null : id(), at: ago(60), state, attempts: 0, next_at: state === 'waiting' ? ago(-20) : null, reason: '', changed_at: ago(60), ...more });
const deliveries = [
  delivery('property-system', 'test', 'done'), delivery('property-system', 'alarm.raised', 'done'),
  delivery('fire-brigade', 'alarm.acknowledged', 'waiting'), delivery('fire-brigade', 'alarm.raised', 'dead', { attempts: 87, reason: 'the receiver answered 500 Internal Server Error' }),
];

// ---- HTTP
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const session = () => ({ user: { id: users[0].id, name: 'admin', role: 'admin' }, site: { name: 'Cedar Court', name_zh: '雪松苑', zone: 'Asia/Shanghai', demo: true, picture_days: 90 }, permissions: ['device.read', 'device.command', 'video.read', 'alarm.read', 'alarm.handle', 'access.read', 'access.decide', 'access.correct', 'watch.write', 'people.read', 'people.write', 'work_order.read', 'work_order.write', 'rule.read', 'rule.write', 'health.read', 'system.operate', 'backup.run', 'demo.play', 'user.manage', 'audit.read'], version: '0.1.0', epoch: EPOCH });
const fail = (status, code, message = code) => ({ status, body: { error: { code, message } } });
const picture = (text, sub = '') => `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360"><defs><linearGradient id="g" x2="0" y2="1"><stop stop-color="#48525c"/><stop offset="1" stop-color="#1d2329"/></linearGradient></defs><rect width="640" height="360" fill="url(#g)"/><path d="M0 300L220 150h200l220 150z" fill="#2d343b"/><rect x="200" y="150" width="240" height="110" rx="22" fill="#11161b"/><rect x="255" y="210" width="130" height="36" rx="4" fill="#1d4fa3" stroke="#fff"/><text x="320" y="235" fill="#fff" font-family="sans-serif" font-size="20" text-anchor="middle">${text}</text><text x="14" y="26" fill="#dfe5ea" font-family="monospace" font-size="15">${sub || now().slice(0, 19)}</text></svg>`;
/** A day's curve with a silence in it, or a state that comes and goes. */
function pointChart(d, q) {
  const [point, from, to, points] = [q.get('point'), Date.parse(q.get('from')), Date.parse(q.get('to')), Number(q.get('points') ?? 600)];
  const step = Math.max(60, Math.ceil((to - from) / points / 60_000) * 60);
  const about = { device: d.id, point, unit: d.points[point]?.unit ?? '', from: q.get('from'), to: q.get('to'), resolution: '1min', step_s: step };
  const value = d.points[point]?.value;
  const at = (ms) => new Date(ms).toISOString();
  if (typeof value !== 'number') {
    const cuts = [0, 0.2, 0.25, 0.6, 0.7, 1].map((share) => from + share * (to - from));
    return { ...about, kind: 'states', stretches: cuts.slice(1).map((end, n) => ({ from: at(cuts[n]), to: at(end), state: typeof value === 'boolean' ? (n % 2 ? !value : value) : n % 2 ? 'open' : value ?? '', mixed: n === 3 })) };
  }
  const buckets = [];
  for (let t = from; t < to; t += step * 1000) {
    const share = (t - from) / (to - from);
    if (share > 0.55 && share < 0.68) {
      if (buckets.at(-1)?.count) buckets.push({ at: at(t), min: null, avg: null, max: null, last: null, count: 0 });
      continue;
    }
    const avg = value * (1 + 0.15 * Math.sin(t / 7e6) + 0.02 * Math.sin(t / 3e5));
    buckets.push({ at: at(t), min: avg - 0.04 * value, avg, max: avg + 0.05 * value, last: avg, count: 6 });
  }
  return { ...about, kind: 'numbers', buckets };
}
const csv = (rows) => rows.map((r) => Object.values(r).map((v) => JSON.stringify(v ?? '')).join(',')).join('\n');

function route(method, path, q, body) {
  const part = path.split('/').slice(2);
  const [word, key, verb, sub] = part;
  const limit = Number(q.get('limit') ?? 100);
  const before = q.get('before');
  const newest = (rows) => rows.filter((r) => !before || r.at < before).slice(0, limit);
  switch (`${method} ${word}`) {
    case 'GET session': return session();
    case 'DELETE session': return { status: 204 };
    case 'POST session': return body.old === PASSWORD ? { status: 204 } : fail(403, 'bad_credentials');
    case 'GET rules': {
      if (key === 'words') return { devices: devices.map((d) => ({ id: d.id, key: d.key, kind: d.kind, class: d.class, states: ['normal'], points: Object.entries(d.points).map(([name, p]) => ({ name, shape: typeof p.value === 'number' ? 'number' : 'word', unit: p.unit })) })), events: [{ code: 'access.denied', fields: ['reason', 'via'] }], schedules: ['night'], places: places.map((p) => p.key) };
      if (verb === 'versions') return { versions: rules.filter((r) => r.id === key).map((r) => ({ ...r, what: 'created' })) };
      return { rules };
    }
    case 'POST rules': {
      if (key === 'check') {
        const at = (body.text ?? '').indexOf('powr');
        return { diagnostics: at < 0 ? [] : [{ code: 'unknown_point', params: { name: 'powr', near: 'power', known: 'power, total' }, message: 'no point "powr" there', line: 1, column: at + 1, start: at, end: at + 4 }] };
      }
      return fail(404, 'not_found');
    }
    case 'GET me': return preferences;
    case 'PUT me':
      if (body.version !== preferences.version) return fail(409, 'preferences_changed');
      preferences = { version: preferences.version + 1, preferences: body.preferences };
      return preferences;
    case 'GET places': return { places };
    case 'GET devices': {
      if (!key) return { seq: topics.devices.seq, devices };
      const d = devices.find((x) => x.id === key);
      if (!d) return fail(404, 'not_found');
      const chart = pointChart(d, q);
      return verb === 'telemetry.csv' ? { type: 'text/csv', text: csv(chart.buckets ?? chart.stretches) } : chart;
    }
    case 'POST devices': {
      const d = devices.find((x) => x.id === key);
      if (!d) return fail(404, 'not_found');
      const c = { id: id(), device: d.id, verb: body.verb, state: 'queued', reason: '', by: 'admin', why: body.why ?? '', at: now(), deadline: ago(-10), changed_at: now() };
      commands.set(c.id, c);
      const to = (s, reason = '') => { Object.assign(c, { state: s, reason, changed_at: now() }); changed.command({ ...c }); };
      changed.command({ ...c });
      setTimeout(() => to('sent'), 250);
      const after = { unlock: 'unlocked', lock: 'secured', release: 'released', restore: 'secured', open: 'up', close: 'down', recall: 'recalled', resume: 'idle', silence: 'normal', reset: 'normal', arm: 'armed', disarm: 'disarmed' }[body.verb];
      setTimeout(() => { if (d.key === 'door-pump') to('timed_out', 'no_answer'); else { to('executed'); state(d, after); event('command.state', d, { verb: body.verb, state: 'executed', reason: '' }, 'admin'); if (body.verb === 'unlock') setTimeout(() => state(d, 'secured'), 5000); } }, 900);
      return { status: 202, body: { ...c } };
    }
    case 'GET commands': return key ? commands.get(key) ?? fail(404, 'not_found') : { commands: [...commands.values()].filter((c) => !q.get('device') || c.device === q.get('device')).reverse().slice(0, limit) };
    case 'GET alarms': {
      if (key) return alarms.has(key) ? detail(alarms.get(key)) : fail(404, 'not_found');
      const list = [...alarms.values()].filter((a) => q.get('state') === 'all' || a.active || !a.acked).sort((a, b) => (a.raised_at < b.raised_at ? 1 : -1));
      return { alarms: list.filter((a) => !before || a.raised_at < before).slice(0, limit), counts: counts() };
    }
    case 'POST alarms': {
      const a = alarms.get(key);
      if (!a) return fail(404, 'not_found');
      if (verb === 'ack') {
        if (a.acked) return fail(409, 'already_acknowledged');
        Object.assign(a, { acked: true, acked_by: 'admin', acked_at: now() });
        note(a, 'acknowledged', 'admin', { comment: body.comment ?? '' });
        event('alarm.moved', devices.find((d) => d.id === a.device), { kind: a.type, what: 'acknowledged' }, 'admin');
      } else if (verb === 'shelve') {
        Object.assign(a, { shelved_until: ago(-60 * body.minutes), shelve_reason: body.reason });
        note(a, 'shelved', 'admin', { minutes: body.minutes, reason: body.reason });
      } else if (verb === 'unshelve') { a.shelved_until = null; note(a, 'unshelved', 'admin'); }
      else if (verb === 'comment') note(a, 'commented', 'admin', { comment: body.text });
      else if (verb === 'work-order') {
        const d = devices.find((x) => x.id === a.device);
        const o = order({ type: a.type, priority: a.priority, device: a.device, place: a.place, alarm: a.id, title: d ? name(d) : {} });
        a.work_order = o.id;
        event('work_order.moved', d, { state: 'pending' }, 'admin');
      } else if (verb === 'steps') {
        const done = details.get(a.id).steps_done.filter((s) => s.step !== sub);
        if (body.done) done.push({ step: sub, by: 'admin', at: now() });
        details.get(a.id).steps_done = done;
      }
      a.letter = letter(a);
      changed.alarm(a);
      return detail(a);
    }
    case 'GET events': case 'GET events.csv': {
      const rows = newest(events.filter((e) => (!q.get('device') || e.device === q.get('device')) && (!q.get('code') || e.code === q.get('code')) && (!q.get('q') || JSON.stringify(e).includes(q.get('q')))));
      return word === 'events' ? { events: rows } : { type: 'text/csv', text: csv(rows) };
    }
    case 'GET watch-lists': {
      if (!key) return { lists: watchLists.map((l) => ({ ...l, entries: watchEntries.filter((e) => e.list === l.id).length })) };
      const rows = watchEntries.filter((e) => e.list === key && `${e.plate} ${e.note}`.includes((q.get('q') ?? '').toUpperCase()));
      return verb === 'entries' ? { entries: rows } : { type: 'text/csv', text: csv(rows) };
    }
    case 'POST watch-lists': {
      const stamped = { by: 'admin', at: now() };
      if (!key) { const l = { id: id(), ...body, version: 1, ...stamped }; watchLists.push(l); return { status: 201, body: { ...l, entries: 0 } }; }
      if (verb === 'undo') { const l = removed.get(key); watchLists.push(l); return l; }
      if (verb === 'import') return { added: 0, changed: 0, unchanged: 0, errors: [{ line: 2, column: 1, code: 'plate', message: 'not a plate' }] };
      const e = { id: id(), list: key, plate: body.plate.toUpperCase().replace(/[\s·.-]/g, ''), note: body.note ?? '', valid_until: body.valid_until ?? null, ...stamped };
      if (watchEntries.some((x) => x.list === key && x.plate === e.plate)) return fail(409, 'watch_listed');
      watchEntries.push(e);
      return { status: 201, body: e };
    }
    case 'PUT watch-lists': { const l = watchLists.find((x) => x.id === key); Object.assign(l, body, { version: l.version + 1 }); return { ...l, entries: 0 }; }
    case 'DELETE watch-lists': { const n = watchLists.findIndex((x) => x.id === key); removed.set(key, watchLists.splice(n, 1)[0]); return { status: 204 }; }
    case 'PUT watch-entries': return Object.assign(watchEntries.find((x) => x.id === key), body);
    case 'DELETE watch-entries': { const n = watchEntries.findIndex((x) => x.id === key); removed.set(key, watchEntries.splice(n, 1)[0]); return { status: 204 }; }
    case 'POST watch-entries': { const e = removed.get(key); watchEntries.push(e); return e; }
    case 'PUT passages': {
      const p = passages.find((x) => x.id === key);
      p.correction = { text: body.text.toUpperCase(), reason: body.reason, by: 'admin', at: now() };
      publish('passages', 'ev', { data: p });
      return { passage: p, stands: p.decision, known: '', allowed: false, lists: [] };
    }
    case 'DELETE passages': { const p = passages.find((x) => x.id === key); p.correction = null; publish('passages', 'ev', { data: p }); return p; }
    case 'GET passages': case 'GET passages.csv': {
      if (key) return passages.find((x) => x.id === key) ?? fail(404, 'not_found');
      const rows = newest(passages.filter((p) => (q.get('state') !== 'open' || p.decision === 'asked') && (!q.get('q') || p.plate.includes(q.get('q').toUpperCase()))));
      return word === 'passages' ? { passages: rows } : { type: 'text/csv', text: csv(rows) };
    }
    case 'POST passages': {
      const p = passages.find((x) => x.id === key);
      if (!p) return fail(404, 'not_found');
      if (body.form) return p;
      Object.assign(p, { decision: body.open ? 'opened_by_guard' : 'refused', by: 'admin' });
      publish('passages', 'ev', { data: p });
      return p;
    }
    case 'GET access': return { records: newest(access.filter((r) => (!q.get('device') || r.device === q.get('device')) && (!q.get('person') || r.person === q.get('person')))) };
    case 'GET face-notice': return faceNotice;
    case 'GET faces': {
      const kept = people.filter((p) => p.face.enrolled).length;
      return { people: kept, templates: 3 * kept, filing: 'below', warn_at: 80_000, filing_at: 100_000, model: 'fr_feature/0.0.1', consent_version: faceNotice.version, renew_days: 365, enrol_again: [], consent_again: [], removing: [] };
    }
    case 'GET people': {
      if (key) return people.find((p) => p.id === key) ?? fail(404, 'not_found');
      const text = (q.get('q') ?? '').toUpperCase();
      return { people: people.filter((p) => !text || `${p.name} ${p.unit} ${p.phone_tail} ${p.credentials.map((c) => c.value)}`.toUpperCase().includes(text)) };
    }
    case 'POST people': {
      if (!key) {
        const p = { id: id(), name: body.name, phone_tail: (body.phone ?? '').slice(-4), unit: body.unit ?? '', kind: body.kind, note: body.note ?? '', levels: body.levels ?? [], credentials: [], face: face() };
        people.unshift(p);
        return { status: 201, body: p };
      }
      const p = people.find((x) => x.id === key);
      if (verb === 'consent') {
        p.face = { ...p.face, consent_at: now(), consent_version: body.version, guardian: body.guardian ?? null, ask_again: null };
        return { status: 201, body: p };
      }
      if (verb === 'face' && sub === 'check') {
        if (p.face.consent_version !== faceNotice.version) fail(409, 'consent_missing');
        const pose = ['straight', 'left', 'right'][checks++ % 3];
        return { accepted: true, pose, problem: null, message: null, face: [0.38, 0.2, 0.24, 0.56] };
      }
      if (verb === 'face') {
        p.face = { ...p.face, enrolled: true, photos: 3, model: 'fr_feature/0.0.1', dimension: 512 };
        return { status: 201, body: { templates: 3 } };
      }
      const c = { id: id(), kind: body.kind, value: body.kind === 'card' ? `••••••${body.value.slice(-4)}` : body.value, valid_from: null, valid_until: body.valid_until ?? null, enabled: true };
      p.credentials.push(c);
      return { status: 201, body: c };
    }
    case 'PUT people': { const p = people.find((x) => x.id === key); Object.assign(p, { name: body.name, unit: body.unit, kind: body.kind, note: body.note, levels: body.levels }); return p; }
    case 'DELETE people': {
      const p = people.find((x) => x.id === key);
      if (verb === 'face') p.face = face();
      else people.splice(people.indexOf(p), 1);
      return { status: 204 };
    }
    case 'DELETE credentials':
      for (const p of people) { const c = p.credentials.find((x) => x.id === key); if (c) { p.credentials.splice(p.credentials.indexOf(c), 1); removed.set(key, [p, c]); } }
      return { status: 204 };
    case 'POST credentials': { const [p, c] = removed.get(key); p.credentials.push(c); return c; }
    case 'GET levels': return { levels };
    case 'GET work-orders': return { work_orders: [...orders.values()].filter((o) => q.get('state') !== 'open' || !['done', 'cancelled'].includes(o.state)).reverse() };
    case 'POST work-orders': {
      if (!key) return { status: 201, body: order({ title: { text: body.title }, device: body.device ?? null, priority: body.priority }) };
      const o = orders.get(key);
      o.state = body.to;
      if (body.to === 'done') o.done_at = now();
      if (body.note) o.notes.push({ at: now(), by: 'admin', text: body.note });
      changed.order(o);
      return o;
    }
    case 'GET health': return health();
    case 'GET backup': return backup;
    case 'POST backup': if (backup.running) return fail(409, 'backup_running'); takeBackup(); return { status: 202, body: backup };
    case 'GET webhooks':
      if (verb === 'deliveries') return { deliveries: deliveries.filter((d) => d.target === key && (!q.get('state') || d.state === q.get('state'))) };
      return { targets, consumers: health().consumers };
    case 'PUT webhooks': targets.find((x) => x.name === key).enabled = body.enabled; return { status: 204 };
    case 'POST webhooks': {
      if (verb === 'test') { const d = delivery(key, 'test', 'done'); deliveries.unshift(d); return { status: 202, body: d }; }
      for (const d of deliveries) if (d.target === key && d.state === 'dead') d.state = 'waiting';
      targets.find((x) => x.name === key).dead = 0;
      return { status: 202, body: { deliveries: 1 } };
    }
    case 'POST deliveries': { const d = deliveries.find((x) => x.id === key); d.state = 'waiting'; targets.find((x) => x.name === d.target).dead--; return { status: 202, body: d }; }
    case 'GET demo': return { stories, auto: false };
    case 'POST actors': return { status: 202, body: null };
    case 'POST demo': if (!play[body.story]) return fail(404, 'not_found'); play[body.story](); return { status: 202, body: { run: id() } };
    case 'GET users': return { users };
    case 'POST users': { const u = { id: id(), name: body.name, role: body.role, enabled: true }; users.push(u); return { status: 201, body: u }; }
    case 'PUT users': { const u = users.find((x) => x.id === key); Object.assign(u, body); delete u.password; return u; }
    case 'GET audit': return { rows: newest(audit) };
    case 'GET pictures': return { type: 'image/svg+xml', text: picture(decodeURIComponent(key).replace(/\.jpg$/, '')) };
    case 'GET cameras':
      if (verb === 'recording') return recording(key, q);
      if (verb === 'ptz') return head(key);
      if (verb.endsWith('.mp4')) return fail(404, 'not_recorded');
      return { type: 'image/svg+xml', text: picture('', devices.find((d) => d.id === key)?.key) };
    case 'GET clips': return { file: clipFile() };
    default: return fail(404, 'not_found');
  }
}

/** Recorded since three hours ago, with one hole, and an alarm's mark in it. */
function recording(camera, q) {
  const [from, to, at] = [Date.parse(q.get('from')), Date.parse(q.get('to')), Date.now()];
  const span = (a, b) => ({ from: new Date(Math.max(a, from)).toISOString(), to: new Date(Math.min(b, to)).toISOString() });
  const whole = (list) => list.filter(([a, b]) => Math.min(b, to) > Math.max(a, from)).map(([a, b]) => span(a, b));
  const [begin, hole, again] = [at - 3 * 3_600_000, at - 1_500_000, at - 1_200_000];
  const marks = [
    { kind: 'motion', at: new Date(at - 700_000).toISOString(), to: new Date(at - 640_000).toISOString(), id: `${camera}-m`, word: '', text: '', priority: 0 },
    { kind: 'plate', at: new Date(at - 650_000).toISOString(), id: `${camera}-p`, word: 'opened', text: '粤B12345', priority: 0 },
    { kind: 'alarm', at: new Date(at - 300_000).toISOString(), id: `${camera}-a`, word: 'perimeter', text: '', priority: 2 },
  ].filter((m) => Date.parse(m.at) >= from && Date.parse(m.at) < to);
  return {
    camera, from: q.get('from'), to: q.get('to'), first: new Date(begin).toISOString(), last: new Date(at).toISOString(),
    stretches: whole([[begin, hole], [again, at]]), gaps: whole([[0, begin], [hole, again]]), marks, more: false,
  };
}

const server = createServer((req, res) => {
  const url = new URL(req.url, 'http://mock');
  let raw = [];
  req.on('data', (c) => raw.push(c));
  req.on('end', () => {
    const headers = { 'Content-Security-Policy': CSP, 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-cache' };
    const send = (status, type, content, more = {}) => res.writeHead(status, { ...headers, 'Content-Type': type, ...more }).end(content);
    if (!url.pathname.startsWith('/api/')) {
      const file = normalize(join(DIST, url.pathname === '/' ? 'index.html' : url.pathname));
      if (!file.startsWith(DIST) || !existsSync(file)) return send(404, 'text/plain', 'not found');
      return send(200, TYPES[extname(file)] ?? 'application/octet-stream', readFileSync(file));
    }
    const text = Buffer.concat(raw);
    let body = {};
    if (req.headers['content-type'] === 'application/json') body = JSON.parse(text.toString() || '{}');
    const json = (status, value, more) => send(status, 'application/json', value === undefined ? '' : JSON.stringify(value), more);
    const cookie = /gh=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1];
    if (req.method === 'POST' && url.pathname === '/api/session') {
      if (body.password !== PASSWORD) return json(401, fail(401, 'bad_credentials').body);
      const s = id();
      sessions.add(s);
      return json(200, session(), { 'Set-Cookie': `gh=${s}; HttpOnly; SameSite=Strict; Path=/` });
    }
    if (url.pathname === '/api/mock/expire') { sessions.clear(); for (const c of wss.clients) c.close(1008); return json(204); }
    if (!sessions.has(cookie)) return json(401, fail(401, 'signed_out').body);
    if (req.method === 'DELETE' && url.pathname === '/api/session') {
      sessions.delete(cookie);
      for (const c of wss.clients) if (c.cookie === cookie) c.close(1008);
    }
    if (req.method !== 'GET' && !req.headers['idempotency-key']) return json(400, fail(400, 'bad_request', 'Idempotency-Key missing').body);
    let out;
    try {
      out = route(req.method, url.pathname, url.searchParams, body);
    } catch (e) {
      console.error(e);
      out = fail(500, 'internal', String(e));
    }
    if (out.text !== undefined) return send(200, out.type, out.text);
    if (out.file !== undefined) {
      if (!out.file) return json(404, fail(404, 'not_found').body);
      const data = readFileSync(out.file);
      const range = /bytes=(\d+)-(\d*)/.exec(req.headers.range ?? '');
      if (!range) return send(200, 'video/mp4', data, { 'Accept-Ranges': 'bytes' });
      const from = Number(range[1]);
      const to = range[2] ? Number(range[2]) : data.length - 1;
      return send(206, 'video/mp4', data.subarray(from, to + 1), { 'Content-Range': `bytes ${from}-${to}/${data.length}` });
    }
    if (typeof out.status === 'number' && (out.body !== undefined || out.status === 204)) return json(out.status, out.body);
    return json(200, out);
  });
});

// ---- WebSockets
const wss = new WebSocketServer({ noServer: true });
const stream = new Stream();
server.on('upgrade', (req, socket, head) => {
  const cookie = /gh=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1];
  if (!sessions.has(cookie)) return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
  wss.handleUpgrade(req, socket, head, (ws) => {
    ws.cookie = cookie;
    if (req.url.startsWith('/ws/video/')) stream.serve(ws, req.url.slice(10));
    else feed(ws);
  });
});
/** The first camera is on a head, the others are fixed. */
function head(camera) {
  const none = { available: false, reason: 'no_onvif', error: '', pan_tilt: false, zoom: false, absolute: false, position: null, presets: [], called: [], holder: null, renew_ms: 400 };
  if (devices.find((d) => d.kind === 'camera')?.id !== camera) return none;
  const presets = ['Overview', 'Wall', 'Close-up'].map((name, n) => ({ token: `preset-00${n + 1}`, name }));
  return { ...none, available: true, reason: '', pan_tilt: true, zoom: true, absolute: true, position: { pan: 0, tilt: 0, zoom: 0 }, presets, called: ['Wall'], holder: { name: 'li', moving: false } };
}

function snapshot(topic) {
  if (topic === 'devices') return { devices };
  if (topic === 'alarms') return { alarms: [...alarms.values()].filter((a) => a.active || !a.acked || a.shelved_until), counts: counts() };
  if (topic === 'health') return health();
  if (topic === 'work_orders') return { work_orders: [...orders.values()] };
  if (topic === 'commands') return { commands: [...commands.values()] };
  return null;
}
function feed(ws) {
  const mine = [];
  ws.send(JSON.stringify({ t: 'hello', proto: 1, build: 'mock', epoch: EPOCH, user: 'admin', hb: 5 }));
  const beat = setInterval(() => ws.send(JSON.stringify({ t: 'hb', ts: now() })), 5000);
  ws.on('message', (raw) => {
    const m = JSON.parse(raw);
    const t = topics[m.topic];
    if (m.t === 'sub' && t) {
      const entry = { ws, id: m.id };
      for (const s of [...t.subs]) if (s.ws === ws && s.id === m.id) t.subs.delete(s);
      const missed = m.from?.epoch === EPOCH ? t.ring.filter((x) => x.seq > m.from.seq) : null;
      if (missed && (missed.length === 0 || missed[0].seq === m.from.seq + 1)) for (const x of missed) ws.send(JSON.stringify({ ...x, id: m.id }));
      else ws.send(JSON.stringify({ t: 'snap', id: m.id, seq: t.seq, data: snapshot(m.topic) }));
      t.subs.add(entry);
      mine.push([t, entry]);
    }
    if (m.t === 'unsub') for (const [tt, e] of mine) if (e.id === m.id) tt.subs.delete(e);
  });
  ws.on('close', () => { clearInterval(beat); for (const [t, e] of mine) t.subs.delete(e); });
}
// Life goes on: readings move, lifts travel, health every five seconds.
const rate = Number(process.env.MOCK_RATE ?? 8); // changes of devices a second
const life = setInterval(() => {
  const moved = [];
  for (let n = 0; n < rate / 20; n++) {
    if (rate < 20 && rnd() > rate / 20) continue;
    const d = devices[Math.floor(rnd() * devices.length)];
    if (d.presence !== 'online') continue;
    for (const p of Object.values(d.points)) if (typeof p.value === 'number' && p.unit && p.unit !== '%') Object.assign(p, { value: Math.max(0, p.value * (1 + (rnd() - 0.5) * 0.02)), at: now() });
    if (d.kind === 'elevator' && ['idle', 'moving'].includes(d.state)) { d.points.floor.value = 1 + Math.floor(rnd() * 18); d.state = rnd() > 0.5 ? 'moving' : 'idle'; }
    moved.push(d);
  }
  if (moved.length) publish('devices', 'delta', { u: moved });
}, 50);
const vitals = setInterval(() => { const t = topics.health; t.seq++; for (const { ws, id: sub } of t.subs) ws.send(JSON.stringify({ t: 'snap', id: sub, seq: t.seq, data: health() })); }, 5000);

const port = Number(process.argv[2] ?? 0);
server.listen(port, '127.0.0.1', () => {
  console.log(`first-run admin password: ${PASSWORD}`);
  console.log(`console at http://127.0.0.1:${server.address().port}`);
});
process.on('SIGTERM', () => { clearInterval(life); clearInterval(vitals); process.exit(0); });
