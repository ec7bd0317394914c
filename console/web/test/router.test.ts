// @vitest-environment happy-dom
// Addresses in and out.
import { describe, expect, it } from 'vitest';
import { href, parse, router } from '../src/lib/router.svelte';

describe('an address', () => {
  it('is read whole', () => {
    const r = parse('#/devices?kind=door&q=%E9%97%A8');
    expect([r.page, r.params.get('kind'), r.params.get('q')]).toEqual(['devices', 'door', '门']);
    expect(parse('').page).toBe('desk');
    expect(parse('#/').page).toBe('desk');
  });
  it('is written without what is empty', () => {
    expect(href('orders', { order: 'x y', state: '' })).toBe('#/orders?order=x+y');
    expect(href('desk')).toBe('#/desk');
  });
  it('is the state of the page', () => {
    location.hash = '#/devices?kind=door';
    router.set({ q: '门', kind: null });
    expect(location.hash).toBe('#/devices?q=%E9%97%A8');
    expect(router.get('q')).toBe('门');
    expect(router.get('kind')).toBe('');
  });
});
