// What a read is worth, in words; and one passage as a page of its own, with its pictures in it.
import { api } from '../../../api';
import type { Passage } from '../../../api/types';
import { t, word } from '../../../i18n/index.svelte';
import { session } from '../../../lib/session.svelte';
import { byText, day, deviceName, stamp } from '../../../lib/text.svelte';

export const isSure = (p: Passage): boolean => p.plate !== '' && p.sure;

export function sureness(p: Passage): string {
  const n = Math.round(p.confidence * 100);
  if (!p.plate) return t('pass.unsure.none');
  return isSure(p) ? t('pass.sure', { n }) : t('pass.unsure', { votes: p.votes, n });
}

/** The plate as people should read it. */
export const plateOf = (p: Passage): string => p.correction?.text ?? p.plate;

const keptDays = (): number => session.current?.site.picture_days ?? 0;

/** For how long pictures of reads and faces are kept, in words. */
export const keeping = (): string => (keptDays() ? t('pic.kept.days', { n: keptDays() }) : t('pic.kept.ever'));

const keptUntil = (p: Passage): number => Date.parse(p.at) + keptDays() * 86_400_000;

/** Until when the picture of a passage is kept, in words. */
export const kept = (p: Passage): string => (keptDays() ? t('pic.kept.until', { date: day(keptUntil(p)) }) : t('pic.kept.ever'));

/** Why the picture of a passage is not there. */
export function without(p: Passage): string {
  if (!p.picture) return t('pass.nopicture');
  return keptDays() && keptUntil(p) < Date.now() ? t('pic.removed', { date: day(keptUntil(p)), n: keptDays() }) : t('pic.missing');
}

/** Label and value of everything that is known of a passage. */
export function facts(p: Passage): [string, string][] {
  const rows: [string, string][] = [
    [t('watch.plate'), plateOf(p) || t('pass.unread')],
    [t('pass.at'), stamp(p.at)],
    [t('pass.lane'), `${p.lane} · ${t(`pass.${p.direction}`)}`],
    [t('pass.camera'), deviceName(p.camera)],
    [t('pass.travel'), p.travel ? t(`pass.travel.${p.travel}`) : ''],
    [t('pass.colour'), word('plate', p.colour || 'unknown')],
    [t('pass.read'), sureness(p)],
    [t('pass.decision'), word('pass.d', p.decision)],
    [t('pass.by'), p.by === 'watch_list' ? t('pass.list') : p.by === 'rule' ? '' : byText(p.by)],
    [t('pass.person'), p.person_name || t('pass.unknown')],
    [t('watch.entry.note'), p.note ? word('reason', p.note) : ''],
    [t('pass.list'), p.hits.map((hit) => (hit.near ? t('watch.hit.near', { ...hit }) : hit.name)).join('；')],
  ];
  if (p.reads > 1) rows.splice(2, 0, [t('pass.last'), `${stamp(p.last_at)} · ${t('pass.reads', { n: p.reads })}`]);
  if (p.correction) {
    const { by, at, reason } = p.correction;
    rows.splice(1, 0, [t('pass.corrected'), `${t('pass.asread', { plate: p.plate || t('pass.unread') })} · ${t('pass.correct.by', { by, at: stamp(at), reason })}`]);
  }
  return rows.filter(([, value]) => value !== '');
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

async function embedded(path: string): Promise<string> {
  const response = await fetch(path, { credentials: 'same-origin' });
  if (!response.ok) return '';
  const data = await response.blob();
  return new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.onerror = () => done('');
    reader.readAsDataURL(data);
  });
}

/** The passage as one HTML file that needs nothing else. */
export async function sheet(p: Passage, lang: string): Promise<Blob> {
  const paths = p.picture ? [api.picture(p.picture), api.plate(p.picture)] : [];
  const pictures = (await Promise.all(paths.map(embedded))).filter(Boolean);
  const title = `${t('pass.sheet')} ${plateOf(p) || t('pass.unread')}`;
  const missing = pictures.length ? '' : `<p>${escaped(without(p))}</p>`;
  const rows = facts(p).map(([label, value]) => `<tr><th>${escaped(label)}</th><td>${escaped(value)}</td></tr>`);
  const html = `<!doctype html><html lang="${lang}"><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:24px;max-width:900px;color:#14181c;background:#fff}th{text-align:left;vertical-align:top;padding:3px 18px 3px 0;font-weight:400;color:#4b5560;white-space:nowrap}img{max-width:100%;display:block;margin:0 0 12px}small{color:#4b5560}</style>
<h1>${escaped(title)}</h1>${pictures.map((src) => `<img src="${src}" alt="">`).join('')}${missing}<table>${rows.join('')}</table><p><small>${escaped(p.id)} · ${escaped(p.at)}</small></p></html>`;
  return new Blob([html], { type: 'text/html' });
}
