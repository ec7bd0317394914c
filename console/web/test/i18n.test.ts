// Both languages are whole: the same keys, the same parameters, nothing left in the other language.
import { describe, expect, it } from 'vitest';
import { en } from '../src/i18n/en';
import { zh, type Key } from '../src/i18n/zh';

const params = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();
const keys = Object.keys(zh) as Key[];

describe('the dictionaries', () => {
  it('have the same keys', () => expect(Object.keys(en).sort()).toEqual([...keys].sort()));
  it('have the same parameters', () => {
    for (const key of keys) expect([key, params(en[key])]).toEqual([key, params(zh[key])]);
  });
  it('have a word for everything', () => {
    for (const key of keys) expect([key, zh[key].length > 0 && en[key].length > 0]).toEqual([key, true]);
  });
  it('are each in their own language', () => {
    for (const key of keys) if (key !== 'top.lang') expect([key, /[\u4e00-\u9fff]/.test(en[key])]).toEqual([key, false]);
  });
});
