// The server's routes as functions, one group per domain word.
import { momentOf, rfc3339 } from '../video/moment';
import { bytes, http, lines, query } from './http';
import type {
  ConsentInput, FaceCheck, FaceNotice, Faces,
  AccessRecord, Alarm, AlarmDetail, AuditRow, BackupHealth, Command, ConsumerHealth, Corrected, Counts, Credential, CredentialInput, Delivery, Device,
  Diagnostic, DiscoverLine, DiscoverQuery, DryRunLine, EventRow, Health, Imported, Level, Passage, PatrolRound, PatrolRoute, PatrolRouteInput, PatrolVerdict, Person, PersonInput, Place, PointChart, Preferences, Priority, PtzHead, PtzMoving, Recording, Rule, RuleVersion, RuleWords, Session,
  Story, Target, User, WatchEntry, WatchEntryInput, WatchList, WatchListInput, WorkOrder, WorkOrderState,
} from './types';

export * from './types';
export { ApiError, whenUnauthorised } from './http';

const part = encodeURIComponent;
/** A piece of recording to play; moments in milliseconds since 1970. */
export interface RecordedPiece {
  data: ArrayBuffer;
  codec: string;
  from: number;
  to: number;
  next: number | null;
  /** RFC 6381 name of what is recorded, where the server made it small; empty where this is the recording itself. */
  was: string;
}
/** An exact cut, with what the server says of it. */
export interface Export {
  data: Blob;
  sha256: string;
  from: number;
  to: number;
  frames: number;
  complete: boolean;
  name: string;
}

type Filter = Record<string, string | number | undefined | null>;

export const api = {
  session: {
    get: () => http.get<Session>('/api/session'),
    open: (name: string, password: string) => http.post<Session>('/api/session', { name, password }),
    close: () => http.del('/api/session'),
    password: (old: string, next: string) => http.post<void>('/api/session/password', { old, new: next }),
  },
  preferences: {
    get: () => http.get<Preferences>('/api/me/preferences'),
    put: (input: Preferences) => http.put<Preferences>('/api/me/preferences', input),
  },
  places: () => http.get<{ places: Place[] }>('/api/places').then((r) => r.places),
  devices: () => http.get<{ seq: number; devices: Device[] }>('/api/devices'),
  telemetry: {
    chart: (device: string, filter: Filter, signal?: AbortSignal) =>
      http.get<PointChart>(query(`/api/devices/${part(device)}/telemetry`, filter), signal),
    csv: (device: string, filter: Filter) => query(`/api/devices/${part(device)}/telemetry.csv`, filter),
  },
  commands: {
    list: (device: string, limit = 10) =>
      http.get<{ commands: Command[] }>(query('/api/commands', { device, limit })).then((r) => r.commands),
    get: (id: string) => http.get<Command>(`/api/commands/${part(id)}`),
    cancel: (id: string) => http.post<Command>(`/api/commands/${part(id)}/cancel`),
    send: (device: string, verb: string, args?: Record<string, unknown>, why?: string) =>
      http.post<Command>(`/api/devices/${part(device)}/commands`, { verb, ...(args && { args }), ...(why && { why }) }),
  },
  ptz: {
    get: (camera: string) => http.get<PtzHead>(`/api/cameras/${part(camera)}/ptz`),
    move: (camera: string, way: { pan: number; tilt: number; zoom: number; hold?: number }) =>
      http.post<PtzMoving>(`/api/cameras/${part(camera)}/ptz/move`, way),
    stop: (camera: string) => http.post<void>(`/api/cameras/${part(camera)}/ptz/stop`),
    store: (camera: string, name: string) => http.post<{ token: string }>(`/api/cameras/${part(camera)}/ptz/presets`, { name }),
    remove: (camera: string, token: string) => http.del(`/api/cameras/${part(camera)}/ptz/presets/${part(token)}`),
  },
  alarms: {
    list: (filter: Filter) => http.get<{ alarms: Alarm[]; counts: Counts }>(query('/api/alarms', filter)),
    get: (id: string) => http.get<AlarmDetail>(`/api/alarms/${part(id)}`),
    ack: (id: string, comment?: string) => http.post<AlarmDetail>(`/api/alarms/${part(id)}/ack`, comment ? { comment } : {}),
    shelve: (id: string, minutes: number, reason: string) =>
      http.post<AlarmDetail>(`/api/alarms/${part(id)}/shelve`, { minutes, reason }),
    unshelve: (id: string) => http.post<AlarmDetail>(`/api/alarms/${part(id)}/unshelve`),
    comment: (id: string, text: string) => http.post<AlarmDetail>(`/api/alarms/${part(id)}/comment`, { text }),
    workOrder: (id: string, title?: string) =>
      http.post<AlarmDetail>(`/api/alarms/${part(id)}/work-order`, title ? { title } : {}),
    step: (id: string, step: string, done: boolean) =>
      http.post<AlarmDetail>(`/api/alarms/${part(id)}/steps/${part(step)}`, { done }),
  },
  events: {
    list: (filter: Filter, signal?: AbortSignal) =>
      http.get<{ events: EventRow[] }>(query('/api/events', filter), signal).then((r) => r.events),
    csv: (filter: Filter) => query('/api/events.csv', filter),
  },
  passages: {
    list: (filter: Filter, signal?: AbortSignal) =>
      http.get<{ passages: Passage[] }>(query('/api/passages', filter), signal).then((r) => r.passages),
    csv: (filter: Filter) => query('/api/passages.csv', filter),
    get: (id: string) => http.get<Passage>(`/api/passages/${part(id)}`),
    /** The passage to be saved or printed; who does that is in the audit log when it answers. */
    export: (id: string, form: 'file' | 'print', pictures: boolean) => http.post<Passage>(`/api/passages/${part(id)}/export`, { form, pictures }),
    correct: (id: string, text: string, reason: string) =>
      http.put<Corrected>(`/api/passages/${part(id)}/correction`, { text, reason }),
    uncorrect: (id: string) => http.del<Passage>(`/api/passages/${part(id)}/correction`),
    decide: (id: string, open: boolean, note?: string) =>
      http.post<Passage>(`/api/passages/${part(id)}/decision`, note ? { open, note } : { open }),
  },
  watch: {
    lists: () => http.get<{ lists: WatchList[] }>('/api/watch-lists').then((r) => r.lists),
    create: (input: WatchListInput) => http.post<WatchList>('/api/watch-lists', input),
    update: (id: string, input: WatchListInput) => http.put<WatchList>(`/api/watch-lists/${part(id)}`, input),
    remove: (id: string) => http.del(`/api/watch-lists/${part(id)}`),
    undo: (id: string) => http.post<WatchList>(`/api/watch-lists/${part(id)}/undo`),
    entries: (id: string, q = '', limit = 1000, signal?: AbortSignal) =>
      http.get<{ entries: WatchEntry[] }>(query(`/api/watch-lists/${part(id)}/entries`, { q, limit }), signal).then((r) => r.entries),
    csv: (id: string) => `/api/watch-lists/${part(id)}/entries.csv`,
    add: (id: string, input: WatchEntryInput) => http.post<WatchEntry>(`/api/watch-lists/${part(id)}/entries`, input),
    change: (id: string, input: WatchEntryInput) => http.put<WatchEntry>(`/api/watch-entries/${part(id)}`, input),
    drop: (id: string) => http.del(`/api/watch-entries/${part(id)}`),
    restore: (id: string) => http.post<WatchEntry>(`/api/watch-entries/${part(id)}/undo`),
    import: (id: string, file: Blob) => http.post<Imported>(`/api/watch-lists/${part(id)}/import`, file),
  },
  access: (filter: Filter, signal?: AbortSignal) =>
    http.get<{ records: AccessRecord[] }>(query('/api/access', filter), signal).then((r) => r.records),
  people: {
    list: (q: string, limit = 500, signal?: AbortSignal) =>
      http.get<{ people: Person[] }>(query('/api/people', { q, limit }), signal).then((r) => r.people),
    get: (id: string) => http.get<Person>(`/api/people/${part(id)}`),
    create: (input: PersonInput) => http.post<Person>('/api/people', input),
    update: (id: string, input: PersonInput) => http.put<Person>(`/api/people/${part(id)}`, input),
    remove: (id: string) => http.del(`/api/people/${part(id)}`),
    addCredential: (id: string, input: CredentialInput) =>
      http.post<Credential>(`/api/people/${part(id)}/credentials`, input),
    removeCredential: (id: string) => http.del(`/api/credentials/${part(id)}`),
    undoCredential: (id: string) => http.post<unknown>(`/api/credentials/${part(id)}/undo`),
  },
  faces: {
    notice: () => http.get<FaceNotice>('/api/face-notice'),
    overview: () => http.get<Faces>('/api/faces'),
    consent: (id: string, input: ConsentInput) => http.post<Person>(`/api/people/${part(id)}/consent`, input),
    check: (id: string, picture: Blob) => http.post<FaceCheck>(`/api/people/${part(id)}/face/check`, picture),
    enrol: (id: string, photos: Blob[]) => {
      const form = new FormData();
      photos.forEach((photo, n) => form.append('photo', photo, `photo-${n + 1}.jpg`));
      return http.post<{ templates: number }>(`/api/people/${part(id)}/face`, form);
    },
    remove: (id: string) => http.del(`/api/people/${part(id)}/face`),
  },
  levels: () => http.get<{ levels: Level[] }>('/api/levels').then((r) => r.levels),
  orders: {
    list: (filter: Filter) =>
      http.get<{ work_orders: WorkOrder[] }>(query('/api/work-orders', filter)).then((r) => r.work_orders),
    create: (input: { title: string; device?: string; place?: string; priority: Priority }) =>
      http.post<WorkOrder>('/api/work-orders', input),
    move: (id: string, to: WorkOrderState, note?: string) =>
      http.post<WorkOrder>(`/api/work-orders/${part(id)}/state`, note ? { to, note } : { to }),
  },
  patrol: {
    routes: () => http.get<{ routes: PatrolRoute[] }>('/api/patrol/routes').then((r) => r.routes),
    createRoute: (input: PatrolRouteInput) => http.post<PatrolRoute>('/api/patrol/routes', input),
    updateRoute: (id: string, input: PatrolRouteInput) => http.put<PatrolRoute>(`/api/patrol/routes/${part(id)}`, input),
    removeRoute: (id: string) => http.del(`/api/patrol/routes/${part(id)}`),
    undoRoute: (id: string) => http.post<PatrolRoute>(`/api/patrol/routes/${part(id)}/undo`),
    rounds: (filter: Filter) => http.get<{ rounds: PatrolRound[] }>(query('/api/patrol/rounds', filter)).then((r) => r.rounds),
    csv: (filter: Filter) => query('/api/patrol/rounds.csv', filter),
    begin: (route: string) => http.post<PatrolRound>('/api/patrol/rounds', { route }),
    round: (id: string) => http.get<PatrolRound>(`/api/patrol/rounds/${part(id)}`),
    look: (id: string, stop: number) => http.post<PatrolRound>(`/api/patrol/rounds/${part(id)}/stops/${stop}/picture`),
    attest: (id: string, stop: number, said: { verdict: PatrolVerdict; note: string; work_order: boolean }) =>
      http.post<PatrolRound>(`/api/patrol/rounds/${part(id)}/stops/${stop}`, said),
    end: (id: string, note: string) => http.post<PatrolRound>(`/api/patrol/rounds/${part(id)}/end`, { note }),
    picture: (id: string) => `/api/patrol/pictures/${part(id)}.jpg`,
  },
  rules: {
    list: () => http.get<{ rules: Rule[] }>('/api/rules').then((r) => r.rules),
    words: () => http.get<RuleWords>('/api/rules/words'),
    check: (text: string) => http.post<{ diagnostics: Diagnostic[] }>('/api/rules/check', { text }).then((r) => r.diagnostics),
    dryRun: (text: string, from: string, to: string, signal: AbortSignal) => lines<DryRunLine>('/api/rules/dry-run', { text, from, to }, signal),
    create: (input: { name: string; text: string; enabled: boolean }) => http.post<Rule>('/api/rules', input),
    update: (id: string, input: { name: string; text: string; enabled: boolean; version: number }) =>
      http.put<Rule>(`/api/rules/${part(id)}`, input),
    enable: (rule: Rule, enabled: boolean) =>
      http.post<Rule>(`/api/rules/${part(rule.id)}/enabled`, { enabled, version: rule.version }),
    remove: (id: string) => http.del(`/api/rules/${part(id)}`),
    undo: (id: string) => http.post<Rule>(`/api/rules/${part(id)}/undo`),
    versions: (id: string) => http.get<{ versions: RuleVersion[] }>(`/api/rules/${part(id)}/versions`).then((r) => r.versions),
    restore: (id: string, version: number) => http.post<Rule>(`/api/rules/${part(id)}/restore`, { version }),
  },
  health: () => http.get<Health>('/api/health'),
  restartActor: (key: string) => http.post<null>(`/api/actors/${part(key)}/restart`, {}),
  backup: {
    get: () => http.get<BackupHealth>('/api/backup'),
    begin: () => http.post<BackupHealth>('/api/backup'),
  },
  webhooks: {
    list: () => http.get<{ targets: Target[]; consumers: ConsumerHealth[] }>('/api/webhooks'),
    deliveries: (target: string, state: string, limit = 100) =>
      http.get<{ deliveries: Delivery[] }>(query(`/api/webhooks/${part(target)}/deliveries`, { state, limit })).then((r) => r.deliveries),
    test: (target: string) => http.post<Delivery>(`/api/webhooks/${part(target)}/test`),
    enable: (target: string, enabled: boolean) => http.put<void>(`/api/webhooks/${part(target)}`, { enabled }),
    sendAgain: (id: string) => http.post<Delivery>(`/api/deliveries/${part(id)}/send-again`),
    sendAllAgain: (target: string) => http.post<{ deliveries: number }>(`/api/webhooks/${part(target)}/send-again`),
  },
  demo: {
    stories: () => http.get<{ stories: Story[]; auto: boolean }>('/api/demo/stories'),
    play: (story: string) => http.post<{ run: string }>('/api/demo/play', { story }),
  },
  users: {
    list: () => http.get<{ users: User[] }>('/api/users').then((r) => r.users),
    create: (input: { name: string; password: string; role: string }) => http.post<User>('/api/users', input),
    update: (id: string, input: Partial<{ role: string; enabled: boolean; password: string; name: string }>) =>
      http.put<User>(`/api/users/${part(id)}`, input),
  },
  audit: (filter: Filter) => http.get<{ rows: AuditRow[] }>(query('/api/audit', filter)).then((r) => r.rows),
  cameras: {
    discover: (wanted: DiscoverQuery, signal: AbortSignal) => lines<DiscoverLine>('/api/cameras/discover', wanted, signal),
  },
  recording: {
    get: (camera: string, from: number, to: number, signal?: AbortSignal) =>
      http.get<Recording>(query(`/api/cameras/${part(camera)}/recording`, { from: rfc3339(from), to: rfc3339(to) }), signal),
    /** `small`: whatever is no H.264 comes small and as H.264. */
    piece: async (camera: string, from: number, to: number, signal: AbortSignal, small = false): Promise<RecordedPiece> => {
      const asked = { from: rfc3339(from), to: rfc3339(to), transcode: small ? 'true' : '' };
      const { data, headers } = await bytes(query(`/api/cameras/${part(camera)}/playback.mp4`, asked), signal);
      const at = (name: string) => momentOf(headers.get(name) ?? '');
      const next = at('gatehouse-next');
      const codec = /codecs="([^"]+)"/.exec(headers.get('content-type') ?? '')?.[1] ?? '';
      const was = headers.get('gatehouse-transcoded') ?? '';
      return { data: await data.arrayBuffer(), codec, from: at('gatehouse-from'), to: at('gatehouse-to'), next: Number.isNaN(next) ? null : next, was };
    },
    export: async (camera: string, from: number, to: number, signal: AbortSignal, progress: (got: number, of: number) => void): Promise<Export> => {
      const { data, headers } = await bytes(query(`/api/cameras/${part(camera)}/export.mp4`, { from: rfc3339(from), to: rfc3339(to) }), signal, progress);
      const text = (name: string) => headers.get(name) ?? '';
      return {
        data,
        sha256: text('gatehouse-sha256'),
        from: momentOf(text('gatehouse-from')),
        to: momentOf(text('gatehouse-to')),
        frames: Number(text('gatehouse-frames')),
        complete: text('gatehouse-complete') === 'true',
        name: /filename="([^"]+)"/.exec(text('content-disposition'))?.[1] ?? 'recording.mp4',
      };
    },
  },
  snapshot: (camera: string) => `/api/cameras/${part(camera)}/snapshot.jpg`,
  /** The plate of an observation by itself. */
  plate: (picture: string) => (picture.startsWith('/') ? picture : `/api/pictures/${part(picture)}-plate.jpg`),
  /** The newest picture with the moment it was taken, milliseconds since 1970. */
  still: async (camera: string, signal?: AbortSignal): Promise<{ data: Blob; at: number }> => {
    const { data, headers } = await bytes(`/api/cameras/${part(camera)}/snapshot.jpg`, signal);
    return { data, at: momentOf(headers.get('gatehouse-at') ?? '') };
  },
  picture: (path: string) => (path.startsWith('/') ? path : `/api/pictures/${part(path)}.jpg`),
};
