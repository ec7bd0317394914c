// The interface's language: a typed dictionary per language, switched at once, remembered in this browser.
import { en } from './en';
import { zh, type Dictionary, type Key } from './zh';

export type { Key } from './zh';
export type Lang = 'zh' | 'en';
export type Params = Record<string, string | number | boolean | null | undefined>;

const dictionaries: Record<Lang, Dictionary> = { zh, en };
const STORED = 'gatehouse.lang';

/** Puts `{name}` parameters in; one that is missing leaves nothing behind. */
export function fill(text: string, params: Params = {}): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(params[name] ?? '')).trim();
}

/** A word nobody translated, made readable: `stream_stalled` → `stream stalled`. */
export function humanise(code: string): string {
  return code.replace(/[_.-]+/g, ' ');
}

function stored(): Lang {
  try {
    const value = localStorage.getItem(STORED);
    if (value === 'zh' || value === 'en') return value;
  } catch {
    // Storage may be forbidden; the default serves.
  }
  return 'zh';
}

class I18n {
  lang = $state<Lang>(stored());

  set(lang: Lang): void {
    this.lang = lang;
    try {
      localStorage.setItem(STORED, lang);
    } catch {
      // Only this page remembers then.
    }
  }
}

export const i18n = new I18n();

export function t(key: Key, params?: Params): string {
  return fill(dictionaries[i18n.lang][key], params);
}

/** The same in a given language, where both are shown at once. */
export function tIn(lang: Lang, key: Key, params?: Params): string {
  return fill(dictionaries[lang][key], params);
}

/** Translates a code that came from the server, `group.code`; an unknown one is made readable. */
export function word(group: string, code: string, params?: Params): string {
  const text = dictionaries[i18n.lang][`${group}.${code}` as Key];
  return text === undefined ? humanise(code) : fill(text, params);
}

export function known(group: string, code: string): boolean {
  return `${group}.${code}` in zh;
}

/** The language's own name among a bilingual pair. */
export function pick(pair: { en?: string; zh?: string } | undefined): string {
  return pair?.[i18n.lang] || pair?.zh || pair?.en || '';
}
