// From ids, codes and times to what a person reads, in the language of the moment.
import { ApiError } from '../api';
import type { Alarm, Device, EventRow, Place, TimelineRow, Value, WorkOrder } from '../api/types';
import { humanise, i18n, known, pick, t, word, type Params } from '../i18n/index.svelte';
import { live } from '../live/stores.svelte';
import { session } from './session.svelte';

// ---- time
const formats = new Map<string, Intl.DateTimeFormat>();
function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const zone = session.current?.site.zone;
  const key = i18n.lang + zone + JSON.stringify(options);
  let made = formats.get(key);
  if (!made) {
    const locale = i18n.lang === 'zh' ? 'zh-CN' : 'en-GB';
    try {
      made = new Intl.DateTimeFormat(locale, { ...options, hour12: false, timeZone: zone });
    } catch {
      made = new Intl.DateTimeFormat(locale, { ...options, hour12: false }); // a zone this browser does not know
    }
    formats.set(key, made);
  }
  return made;
}
type When = string | number | null | undefined;
const shown = (at: When, options: Intl.DateTimeFormatOptions): string => {
  const ms = typeof at === 'number' ? at : Date.parse(at ?? '');
  return Number.isFinite(ms) ? format(options).format(ms) : '—';
};
/** 12:29:05 */
export const clock = (at: When): string => shown(at, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
/** 2026-03-01 */
export const day = (at: When): string => shown(at, { year: 'numeric', month: '2-digit', day: '2-digit' });
/** 03-01 12:29:05 */
export const stamp = (at: When): string =>
  shown(at, { month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** 2026-03-01_12-29-05, in the site's time: for the name of a file, the same in every language. */
export function fileStamp(at: number): string {
  const options: Intl.DateTimeFormatOptions = {
    year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
  };
  const part = Object.fromEntries(format(options).formatToParts(at).map(({ type, value }) => [type, value]));
  return `${part.year}-${part.month}-${part.day}_${part.hour}-${part.minute}-${part.second}`;
}

export function duration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return t('time.s', { n: s });
  const m = Math.floor(s / 60);
  if (m < 60) return t('time.m', { n: m });
  const h = Math.floor(m / 60);
  if (h < 24) return t('time.h', { h, m: m % 60 });
  return t('time.d', { d: Math.floor(h / 24), h: h % 24 });
}

/** 0:14, 12:05, 3:04:12: a running age that does not jump in width. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  return h > 0 ? `${h}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

export function num(value: number, digits = 1): string {
  return new Intl.NumberFormat(i18n.lang === 'zh' ? 'zh-CN' : 'en-GB', { maximumFractionDigits: digits }).format(value);
}

// ---- names
export const nameOf = (x: { name: string; name_zh: string } | undefined | null): string =>
  !x ? '' : i18n.lang === 'zh' ? x.name_zh || x.name : x.name || x.name_zh;

/** The site's own name. */
export function siteName(): string {
  const site = session.current?.site;
  return site ? nameOf({ name: site.name, name_zh: site.name_zh ?? '' }) : '';
}

export const placeById = (id: string | null | undefined): Place | undefined => live.places.find((p) => p.id === id);
export const placeName = (id: string | null | undefined): string => nameOf(placeById(id));

/** Building › floor › space, without the site itself. */
export function placePath(id: string | null | undefined): string {
  const names: string[] = [];
  const seen = new Set<string>();
  for (let p = placeById(id); p && !seen.has(p.id); p = placeById(p.parent)) {
    seen.add(p.id);
    if (p.kind !== 'site' || names.length === 0) names.unshift(nameOf(p));
  }
  return names.join(' › ');
}

export function deviceName(id: string | null | undefined): string {
  const device = live.devices.get(id);
  return device ? nameOf(device) : '';
}

export const stateWord = (device: Device): string =>
  device.presence === 'offline' ? word('presence', 'offline') : word('state', device.state);

export const alarmType = (alarm: { type: string }): string => word('type', alarm.type);

/** Where and on what the alarm is: the device's name, or what the server knew of it. */
export function alarmWhere(alarm: Alarm): string {
  const title = alarm.title;
  const device = deviceName(alarm.device) || (i18n.lang === 'zh' && title.device_zh) || title.device || '';
  const place = placePath(alarm.place) || (i18n.lang === 'zh' && title.place_zh) || title.place || '';
  return [device, place].filter(Boolean).join(' · ');
}

export function alarmTitle(alarm: Alarm): string {
  // A rule that operators wrote has a title of its own.
  const own = alarm.type === 'rule' ? alarm.title.title : alarm.type === 'rule_stopped' ? `${alarmType(alarm)}：${alarm.title.rule ?? ''}` : '';
  const device = deviceName(alarm.device) || alarm.title.device || placeName(alarm.place);
  if (alarm.type === 'watched_plate') {
    const { plate = '', list = '', listed = '', hit = '' } = alarm.title;
    return [alarmType(alarm), t(hit === 'near' ? 'watch.alarm.near' : 'watch.alarm.exact', { plate, list, listed }), device].filter(Boolean).join(' · ');
  }
  if (alarm.type === 'camera_view') return [alarmType(alarm), word('view', alarm.title.problem ?? ''), device].filter(Boolean).join(' · ');
  return [own || alarmType(alarm), device].filter(Boolean).join(' · ');
}

export function orderTitle(order: WorkOrder): string {
  const own = pick(order.title as { en?: string; zh?: string }) || order.title.text || order.title.title;
  if (own) return own;
  const what = known('type', order.type) ? word('type', order.type) : word('wo.type', order.type);
  return [what, deviceName(order.device) || order.title.device || placeName(order.place)].filter(Boolean).join(' · ');
}

// ---- values and codes
export function valueText(value: Value, unit = ''): string {
  if (typeof value === 'boolean') return value ? t('app.yes') : t('app.no');
  if (typeof value === 'number') return `${num(value, 2)}${unit ? ` ${unit}` : ''}`;
  return known('state', value) ? word('state', value) : `${value}${unit ? ` ${unit}` : ''}`;
}

const TRANSLATED: Record<string, string[]> = {
  type: ['type'], kind: ['type', 'kind'], state: ['state', 'wo', 'cmd'], to: ['state', 'presence', 'wo', 'view'], from: ['state', 'presence', 'wo', 'view'],
  verb: ['verb'], reason: ['reason'], decision: ['pass.d'], what: ['moved'], problem: ['view'], point: ['point'], part: ['point'], class: ['point'], via: ['via'],
};

function paramText(name: string, value: Value): string {
  if (typeof value !== 'string') return valueText(value);
  for (const group of TRANSLATED[name] ?? []) if (known(group, value)) return word(group, value);
  return value;
}

/** An event or a timeline row as a sentence. A code with a yes-or-no among its parameters has a sentence for each. */
export function eventText(row: EventRow | TimelineRow): string {
  const params: Params = {};
  const raw: Record<string, Value> = row.params ?? {};
  // A name may come in both languages: `camera` and `camera_zh`.
  const own = (name: string, value: Value) => (i18n.lang === 'zh' && raw[`${name}_zh`]) || value;
  for (const [name, value] of Object.entries(raw)) params[name] = paramText(name, own(name, value));
  const turn = raw.active ?? raw.beyond ?? raw.accepted;
  const code = typeof turn === 'boolean' && known('event', `${row.code}.on`) ? `${row.code}.${turn ? 'on' : 'off'}` : row.code;
  if (known('event', code)) return word('event', code, params).replace(/\s+/g, ' ').replace(/[:：\s]+$/, '');
  const rest = Object.values(params).filter((x) => x !== '' && !/^[0-9a-f]{8}-[0-9a-f]{4}-/.test(String(x)));
  return [humanise(row.code), ...rest].join(' · ');
}

export const byText = (by: string): string => (!by || by === 'system' ? t('app.system') : by);

export const commandReason = (reason: string): string => (reason ? word('reason', reason) : '');

export function errorText(cause: unknown): string {
  if (cause instanceof ApiError) {
    if (known('err', cause.code)) return word('err', cause.code);
    if (cause.message && i18n.lang === 'en') return cause.remedy ? `${cause.message} ${cause.remedy}` : cause.message;
    return cause.message ? `${t('err.other', { code: humanise(cause.code) })}：${cause.message}` : t('err.other', { code: humanise(cause.code) });
  }
  return t('err.other', { code: cause instanceof Error ? cause.message : String(cause) });
}
