// The pure parts of the rules page: marks in a text, sentences of what is wrong, examples, times of a dry run.
import type { Diagnostic, RuleWords } from '../../../api/types';
import { known, t, word, type Key } from '../../../i18n/index.svelte';

export interface Piece {
  text: string;
  wrong: boolean;
}

/** The text cut where something is wrong; a mark of no length marks the character before it. */
export function pieces(text: string, wrong: readonly Diagnostic[]): Piece[] {
  const marked = new Uint8Array(text.length);
  for (const d of wrong) {
    const end = Math.min(text.length, d.end);
    const start = Math.min(d.start, end);
    marked.fill(1, start === end ? Math.max(0, start - 1) : start, end);
  }
  const out: Piece[] = [];
  for (let from = 0, at = 1; at <= text.length; at++) {
    if (at === text.length || marked[at] !== marked[from]) {
      out.push({ text: text.slice(from, at), wrong: marked[from] === 1 });
      from = at;
    }
  }
  return out;
}

const PHRASED: Record<string, string> = { shape: 'shape', kind: 'kind' };

/** What is wrong, as a sentence in the language of the moment, with what was perhaps meant. */
export function sentence(d: Diagnostic): string {
  if (!known('diag', d.code)) return d.message;
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(d.params)) {
    const group = PHRASED[name];
    params[name] = group && known(group, value) ? word(group, value) : value;
  }
  if (params.wanted) {
    params.wanted = params.wanted.split(', ').map((w) => (known('want', w) ? word('want', w) : w)).join(', ');
  }
  if (params.found === 'the end') params.found = word('want', 'the end');
  const near = d.params.near ? ` ${t('rule.near', { near: d.params.near })}` : '';
  return word('diag', d.code, params) + near;
}

/** Where a span of the dry run lies in a strip, in thousandths. */
export function place(from: string, to: string | null, start: string, end: string): { x: number; width: number } {
  const [a, b] = [Date.parse(start), Date.parse(end)];
  const at = (when: number) => Math.min(1000, Math.max(0, ((when - a) / (b - a || 1)) * 1000));
  const x = at(Date.parse(from));
  return { x, width: Math.max(3, at(to ? Date.parse(to) : b) - x) };
}

/** The outline of a trace: the highest values from left to right, the lowest back. */
export function outline(columns: readonly [string, number, number][], start: string, end: string, low: number, high: number, height: number): string {
  const y = (v: number) => (height - 4 - ((v - low) / (high - low || 1)) * (height - 8)).toFixed(1);
  const x = (at: string) => place(at, at, start, end).x.toFixed(1);
  const top = columns.map(([at, , max]) => `${x(at)},${y(max)}`);
  const bottom = columns.map(([at, min]) => `${x(at)},${(Number(y(min)) + 1).toFixed(1)}`).reverse();
  return [...top, ...bottom].join(' ');
}

/** Examples out of what is here: an example that names a device the site does not have helps nobody. */
export function examples(words: RuleWords | null): { title: Key; text: string }[] {
  const devices = words?.devices ?? [];
  const measured = devices.flatMap((d) => d.points.filter((p) => p.shape === 'number' && p.name !== 'total').map((p) => ({ d, p })));
  const one = measured.find((m) => m.d.kind === 'sensor') ?? measured[0];
  const door = devices.find((d) => d.kind === 'door');
  const meter = devices.find((d) => d.kind === 'meter') ?? one?.d;
  const classed = measured.find((m) => m.d.class !== '');
  const unit = (m: { p: { unit: string } }) => (m.p.unit ? ` ${m.p.unit}` : '');
  const out: { title: Key; text: string }[] = [];
  if (one) {
    out.push({ title: 'rule.ex.limit', text: `when point ${one.p.name} of "${one.d.key}" > 30${unit(one)} deadband 1\nfor 5 min\noff after 1 min\nthen alarm priority 3 title "${one.p.name}"` });
  }
  if (door) out.push({ title: 'rule.ex.count', text: `when count(access.denied at "${door.key}") >= 3 in 60 s\nthen alarm priority 2 title "${door.key}"` });
  if (meter) out.push({ title: 'rule.ex.silent', text: `when no report from "${meter.key}" for 10 min\nthen alarm priority 3 title "${meter.key}"` });
  if (classed) {
    const { d, p } = classed;
    out.push({ title: 'rule.ex.each', text: `for each ${d.kind} where class = "${d.class}"\nwhen point ${p.name} > 30${unit(classed)}\nfor 1 min\nduring 22:00 to 06:00\nthen alarm priority 3 title "${p.name}"` });
  }
  return out;
}
