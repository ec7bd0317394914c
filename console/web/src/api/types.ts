// Wire types of the console's REST interface and live feed, as the server speaks them.
// Times are RFC 3339 UTC strings; ids are UUID strings; codes are rendered in the browser's language.

export * from './passage-types';
export * from './patrol-types';

export type Priority = 1 | 2 | 3 | 4; // 1 critical … 4 notice
export type Kind = 'door' | 'barrier' | 'camera' | 'elevator' | 'fire_panel' | 'perimeter' | 'meter' | 'sensor';
export type Presence = 'online' | 'stale' | 'offline' | 'unknown' | 'flapping';
export type Value = boolean | number | string;
export type Bilingual = Record<'en' | 'zh', string>;

export interface ApiErrorBody {
  error: { code: string; field?: string; message: string; remedy?: string };
}

// ---- session
export interface Session {
  user: { id: string; name: string; role: string };
  site: {
    name: string;
    name_zh?: string;
    zone: string;
    demo: boolean;
    /** Days for which pictures of reads and faces are kept; 0: for ever. */
    picture_days: number;
  };
  permissions: string[];
  version: string;
  epoch: string;
}

// ---- places and plans (plan units: metres)
export interface Shape {
  kind: 'room' | 'wall' | 'road' | 'green' | 'label' | 'water';
  points: [number, number][];
  label?: string;
  label_zh?: string;
}
export interface Plan {
  width: number;
  height: number;
  shapes: Shape[];
}
export interface Place {
  id: string;
  key: string;
  parent: string | null;
  kind: 'site' | 'building' | 'floor' | 'space';
  name: string;
  name_zh: string;
  plan?: Plan;
}

// ---- devices and commands
export interface Point {
  value: Value;
  unit: string;
  at: string;
}
export interface Device {
  id: string;
  key: string;
  kind: Kind;
  /** What a sensor, meter or camera is for: `smoke`, `water`, `gate`, …; empty where the kind says all. */
  class?: string;
  name: string;
  name_zh: string;
  place: string;
  x?: number;
  y?: number;
  presence: Presence;
  state: string;
  severity: Priority | 0;
  since: string;
  points: Record<string, Point>;
  cameras: string[];
  verbs: string[];
  announced: boolean;
  model: string;
  /** Ways in that a door offers. */
  methods?: EntryMethod[];
  /** Whether a face opens it only after the active challenge. */
  challenge?: boolean;
}
export type EntryMethod = 'face' | 'card' | 'pin' | 'qr' | 'intercom' | 'key';
export type Resolution = 'raw' | '1min' | '1h' | '1d';
/** One bucket of a chart of numbers; all null: a hole begins here. */
export interface ChartBucket {
  at: string;
  min: number | null;
  avg: number | null;
  max: number | null;
  last: number | null;
  count: number;
}
/** A stretch of time in one state; `mixed`: it is the last of several in its row. */
export interface ChartStretch {
  from: string;
  to: string;
  state: boolean | string;
  mixed: boolean;
}
export interface PointChart {
  device: string;
  point: string;
  unit: string;
  from: string;
  to: string;
  resolution: Resolution;
  step_s: number;
  kind: 'numbers' | 'states';
  buckets?: ChartBucket[];
  stretches?: ChartStretch[];
}
export type Verb =
  | 'unlock' | 'lock' | 'release' | 'restore' | 'open' | 'close'
  | 'recall' | 'resume' | 'silence' | 'reset' | 'arm' | 'disarm';
export type CommandState =
  | 'queued' | 'sent' | 'acked' | 'executed' | 'failed' | 'timed_out' | 'expired' | 'cancelled';
export interface Command {
  id: string;
  device: string;
  verb: string;
  state: CommandState;
  reason: string;
  by: string;
  why: string;
  at: string;
  deadline: string;
  changed_at: string;
}

// ---- alarms
export interface Counts {
  p1: number;
  p2: number;
  p3: number;
  p4: number;
  unacked: number;
  shelved: number;
}
export interface Alarm {
  id: string;
  type: string;
  priority: Priority;
  device: string | null;
  place: string | null;
  title: Record<string, string>;
  raised_at: string;
  observed_at: string | null;
  active: boolean;
  acked: boolean;
  acked_by: string | null;
  acked_at: string | null;
  cleared_at: string | null;
  latched: boolean;
  shelved_until: string | null;
  shelve_reason: string;
  suppressed: boolean;
  letter: string;
  occurrences: number;
  cameras: string[];
  work_order: string | null;
  source: string;
  closed_at?: string | null;
}
export interface TimelineRow {
  at: string;
  code: string;
  by: string;
  params: Record<string, Value>;
}
export interface Clip {
  camera: string;
  from: string;
  to: string;
  ready: boolean;
  url: string;
  /** Why there will be none. */
  failed?: string;
}
export interface AlarmDetail {
  alarm: Alarm;
  timeline: TimelineRow[];
  clips: Clip[];
  sop: {
    title: Bilingual;
    cause: Bilingual;
    consequence: Bilingual;
    steps: { id: string; text: Bilingual }[];
  };
  steps_done: { step: string; by: string; at: string }[];
  work_orders: WorkOrder[];
}

// ---- recordings
export interface Span {
  from: string;
  to: string;
}
export interface Mark {
  kind: 'alarm' | 'plate' | 'face' | 'motion';
  at: string;
  to?: string;
  id: string;
  /** The alarm's type, the passage's decision, `accepted` or `unknown` for a face. */
  word: string;
  /** A plate's text. */
  text: string;
  priority: 0 | Priority;
}
export interface Recording {
  camera: string;
  from: string;
  to: string;
  first: string | null;
  last: string | null;
  stretches: Span[];
  gaps: Span[];
  marks: Mark[];
  more: boolean;
}

// ---- the journal
export interface EventRow {
  id: string;
  at: string;
  code: string;
  device: string | null;
  place: string | null;
  by: string;
  params: Record<string, Value>;
}
/** What recognition found in one picture, in shares of it. */
export interface OverlayFrame {
  /** When the picture was taken, Unix microseconds, as its message on the video socket says. */
  at_us: number;
  boxes: OverlayBox[];
}
export interface OverlayBox {
  kind: 'plate' | 'face';
  x: number;
  y: number;
  w: number;
  h: number;
  text: string;
  sure: boolean;
}
export interface AccessRecord {
  id: string;
  at: string;
  device: string;
  person: string | null;
  person_name: string;
  via: 'card' | 'face' | 'plate' | 'operator' | 'fire' | 'request_to_exit';
  granted: boolean;
  reason: string;
  picture: string | null;
  latency_ms: number | null;
}

// ---- people
export interface Credential {
  id: string;
  kind: 'card' | 'plate';
  value: string;
  valid_from: string | null;
  valid_until: string | null;
  enabled: boolean;
}
export interface Person {
  id: string;
  name: string;
  phone_tail: string;
  unit: string;
  kind: 'resident' | 'tenant' | 'staff' | 'visitor';
  note: string;
  levels: string[];
  credentials: Credential[];
  face: PersonFace;
}
export type AskAgain = 'new_text' | 'of_age' | 'long_ago';
/** How the removal of a face at one device fares; `executed`: the device confirmed it. */
export interface FaceRemoval {
  device: string;
  command: string;
  state: CommandState;
  asked_at: string;
  changed_at: string;
}
export interface PersonFace {
  enrolled: boolean;
  photos: number;
  model: string;
  dimension: number;
  consent_at: string | null;
  consent_version: string;
  guardian: { name: string; relation: string } | null;
  ask_again: AskAgain | null;
  /** Another model made the templates: they match no face. */
  enrol_again: boolean;
  /** Devices that have not said yet that they removed it. */
  still_at: string[];
  removals: FaceRemoval[];
}
/** What everyone reads before they consent. */
export interface FaceNotice {
  version: string;
  zh: string;
  en: string;
  renew_days: number;
}
export interface ConsentInput {
  version: string;
  lang: string;
  channel: string;
  under_14?: boolean;
  born?: string;
  guardian?: { name: string; relation: string };
}
export type FacePose = 'straight' | 'left' | 'right';
/** What the server's gate says of one picture. */
export interface FaceCheck {
  accepted: boolean;
  pose: FacePose | null;
  problem: string | null;
  message: string | null;
  /** x, y, width, height as shares of the picture. */
  face: [number, number, number, number] | null;
}
export interface FaceCase {
  person: string;
  name: string;
  unit: string;
  model: string;
  dimension: number;
  ask_again: AskAgain | null;
}
export interface Faces {
  people: number;
  templates: number;
  filing: 'below' | 'near' | 'due';
  warn_at: number;
  filing_at: number;
  model: string;
  consent_version: string;
  renew_days: number;
  enrol_again: FaceCase[];
  consent_again: FaceCase[];
  removing: { device: string; people: number; since: string }[];
}
export interface PersonInput {
  name: string;
  phone?: string;
  unit?: string;
  kind: string;
  note?: string;
  levels?: string[];
}
export interface CredentialInput {
  kind: 'card' | 'plate';
  value: string;
  valid_from?: string;
  valid_until?: string;
}
export interface Level {
  key: string;
  name: string;
  name_zh: string;
  doors: string[];
  schedule: string;
}

// ---- work orders
export type WorkOrderState = 'pending' | 'accepted' | 'in_progress' | 'done' | 'cancelled';
export interface WorkOrder {
  id: string;
  number: number;
  title: Record<string, string>;
  type: string;
  state: WorkOrderState;
  priority: Priority;
  device: string | null;
  place: string | null;
  alarm: string | null;
  assignee: string;
  at: string;
  /** When someone should have taken it up, and when nobody had. */
  respond_by?: string | null;
  late_response_at?: string | null;
  due_at: string | null;
  /** When it was not done in time; its priority rose then. */
  overdue_at?: string | null;
  done_at: string | null;
  notes: { at: string; by: string; text: string }[];
}

// ---- cameras on the network
export interface DiscoverQuery {
  addresses: string;
  ports: number[];
  user: string;
  password: string;
}
export interface FoundProfile {
  token: string;
  name: string;
  codec: string;
  width: number;
  height: number;
  fps: number;
  uri: string;
  /** What it would be used as: `main`, `sub`, else empty. */
  role: string;
}
export interface FoundCamera {
  address: string;
  onvif: string;
  name: string;
  identity: { maker: string; model: string; firmware: string; serial: string };
  profiles: FoundProfile[];
  ptz: boolean;
  /** Why more is not known; empty when all is. */
  problem: string;
}
/** One line of the answer, of either kind. */
export interface DiscoverLine {
  asked?: { asked: number; of: number };
  found?: { camera: FoundCamera; toml: string };
}

// ---- health
export interface StreamHealth {
  live: boolean;
  reason: string;
  fps: number;
  kbps: number;
  codec: string;
  width: number;
  height: number;
  viewers: number;
  restarts: number;
  last_frame_at: string | null;
  key_interval_ms: number | null;
  clock_off_ms: number | null;
  remarks: string[];
}
/** What is said of a stream is the main one's. */
export interface CameraHealth extends StreamHealth {
  id: string;
  key: string;
  /** RFC 6381 name of what is heard; empty where nothing is. */
  audio: string;
  recording: boolean;
  sub: StreamHealth | null;
  /** Cars not read out because they went the wrong way. */
  wrong_way: number;
  onvif?: OnvifHealth | null;
}
export interface OnvifHealth {
  state: 'connecting' | 'connected' | 'without_events' | 'away' | 'unauthorised';
  since: string;
  error: string;
  identity: { maker: string; model: string; firmware: string; serial: string };
  clock_off_ms: number | null;
  ptz: boolean;
  subscriptions: number;
  notifications: number;
}
/** A camera's head. `reason` is empty while it can be moved. */
export interface PtzHead {
  available: boolean;
  reason: string;
  error: string;
  pan_tilt: boolean;
  zoom: boolean;
  absolute: boolean;
  position: { pan: number; tilt: number; zoom: number } | null;
  presets: { token: string; name: string }[];
  /** Names of presets that alarms call. */
  called: string[];
  /** An empty name: a command or an alarm. */
  holder: { name: string; moving: boolean } | null;
  renew_ms: number;
}
export interface PtzMoving {
  hold: number;
  taken_from: string | null;
}
export interface RecordingHealth {
  dir: string;
  reason: string;
  error: string;
  held: boolean;
}
// ---- rules that operators write
export interface Rule {
  id: string;
  name: string;
  text: string;
  enabled: boolean;
  version: number;
  by: string;
  at: string;
  deleted: boolean;
  stopped: string;
  on: number;
  waiting: boolean;
  fired_24h: number;
  last_fired: string | null;
}
export interface RuleVersion {
  version: number;
  name: string;
  text: string;
  enabled: boolean;
  what: string;
  by: string;
  at: string;
}
/** What is wrong with a rule's text; `start` and `end` count UTF-16 units, as a textarea does. */
export interface Diagnostic {
  code: string;
  params: Record<string, string>;
  message: string;
  line: number;
  column: number;
  start: number;
  end: number;
}
export interface RuleWords {
  devices: { id: string; key: string; kind: string; class: string; states: string[]; points: { name: string; shape: string; unit: string }[] }[];
  events: { code: string; fields: string[] }[];
  schedules: string[];
  places: string[];
}
export interface DryRun {
  from: string;
  to: string;
  count: number;
  intervals: { device: string | null; from: string; to: string | null; value: number | null }[];
  traces: { device: string; point: string; unit: string; limit: number; columns: [string, number, number][] }[];
  rows: number;
  cut_at: string | null;
  cut_by: string;
}
export interface DryRunLine {
  progress?: number;
  found?: DryRun;
  diagnostics?: Diagnostic[];
  error?: ApiErrorBody['error'];
}

export interface Health {
  since: string;
  version: string;
  database: { version: string; timescale: boolean; size_mb: number; up: boolean };
  broker: { listen: string; clients: number; messages_in: number };
  memory_mb: number;
  cpu_percent: number;
  disk: { path: string; free_gb: number; used_percent: number; room: 'enough' | 'low' | 'scarce' };
  journal: {
    state: 'running' | 'spilling' | 'draining' | 'waiting';
    depth: number;
    spilled: number;
    spilled_bytes: number;
    spill_limit: number;
    oldest_at: string | null;
    refused: number;
  };
  history: {
    store: 'partitions' | 'timescale' | 'timescale, in part';
    depth: number;
    limit: number;
    written: number;
    dropped: number;
    refused: number;
    last_batch_ms: number;
    last_batch_rows: number;
    failed_batches: number;
    rolled_s: number | null;
    last_error: string;
  };
  actors: { key: string; state: string; restarts: number; depth: number; reason: string }[];
  ingress: {
    source: string;
    depth: number;
    limit: number;
    taken: number;
    coalesced: number;
    refused: number;
    undecodable: number;
    last_error: string;
  }[];
  consumers: ConsumerHealth[];
  cameras: CameraHealth[];
  recording: RecordingHealth[];
  recognition: { plates_ms_p50: number; faces_ms_p50: number; frames: number; dropped: number };
  memory_budget_mb: number;
  queues: {
    journal_depth: number;
    journal_limit: number;
    commits: number;
    commit_seconds: number;
    dropped: number;
    mailboxes: number;
    followers: number;
    feed_lag: number;
    feed_refreshes: number;
  };
  backup: BackupHealth;
  traces: TraceHealth | null;
}
export interface TraceHealth {
  endpoint: string;
  exported: number;
  dropped: number;
  depth: number;
  limit: number;
  error: string;
}
export interface BackupHealth {
  dir: string;
  same_disk: boolean;
  every_hours: number;
  keep: number;
  last: { at: string; path: string; bytes: number; rows: number; seconds: number; secrets: boolean } | null;
  overdue: boolean;
  running: { since: string; by: string; percent: number; what: string } | null;
  last_error: string;
  failures: number;
}

export interface ConsumerHealth {
  key: string;
  seq: number;
  events: number;
  seconds: number;
}

// ---- systems outside
export interface Target {
  name: string;
  address: string;
  min_priority: Priority;
  kinds: string[];
  allow_private: boolean;
  enabled: boolean;
  health: 'working' | 'failing' | 'gone';
  delivered_at: string | null;
  failed_at: string | null;
  failure: string;
  waiting: number;
  oldest_at: string | null;
  dead: number;
}
export interface Delivery {
  id: string;
  target: string;
  kind: string;
  alarm: string | null;
  at: string;
  state: 'waiting' | 'done' | 'dead';
  attempts: number;
  next_at: string | null;
  reason: string;
  changed_at: string;
}

// ---- demo, users, audit
export interface Story {
  key: string;
  name: string;
  name_zh: string;
  about: string;
  about_zh: string;
  seconds: number;
}
export interface User {
  id: string;
  name: string;
  role: string;
  enabled: boolean;
}
export interface AuditRow {
  id: string;
  at: string;
  by: string;
  action: string;
  target: string;
  outcome: string;
  address: string;
}

// ---- live feed
/** The boxes of one camera. */
export type OverlayTopic = `overlay/${string}`;
export type ScreenTopic = `screen/${string}`;
/** What the screen beside a door says. */
export interface ScreenFrame {
  say: 'idle' | 'ask' | 'straight' | 'passed' | 'failed' | 'paused';
  action?: 'turn_left' | 'turn_right' | 'close_eyes';
  step_of?: [number, number];
  why?: string;
  /** Milliseconds for which it holds. */
  left_ms?: number;
}
export type Topic =
  | 'devices' | 'alarms' | 'events' | 'passages' | 'access' | 'commands' | 'work_orders' | 'health';
export interface Resume {
  epoch: string;
  seq: number;
}
export type ClientMessage =
  | { t: 'sub'; id: number; topic: Topic | OverlayTopic | ScreenTopic; from?: Resume }
  | { t: 'unsub'; id: number };
export type ServerMessage =
  | { t: 'hello'; proto: number; build: string; epoch: string; user: unknown; hb: number }
  | { t: 'snap'; id: number; seq: number; data: unknown }
  | { t: 'delta'; id: number; seq: number; ts: string | number; u: unknown[]; counts?: Counts }
  | { t: 'ev'; id: number; seq: number; ts?: string | number; data: unknown }
  | { t: 'hb'; ts: string | number }
  | { t: 'err'; id?: number; code: string };

// ---- live video
export type VideoText =
  | { t: 'config'; codec: string; description: string; width: number; height: number; timescale: number }
  | { t: 'error'; code: string };

/** What an account keeps for its pages, one part each; `version` counts its changes. */
export interface Preferences {
  version: number;
  preferences: Record<string, unknown>;
}
