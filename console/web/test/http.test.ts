// @vitest-environment happy-dom
// What goes to the server and what comes back as an error.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ApiError, http, query, uuid, whenUnauthorised } from '../src/api/http';

const answer = (status: number, body?: unknown) => new Response(body === undefined ? null : JSON.stringify(body), { status });
afterEach(() => vi.unstubAllGlobals());

describe('a request', () => {
  it('carries an idempotency key when it changes something, and none when it reads', async () => {
    const fetched = vi.fn(async (_path: string, _init: RequestInit) => answer(200, { ok: true }));
    vi.stubGlobal('fetch', fetched);
    await http.get('/api/x');
    await http.post('/api/x', { a: 1 });
    await http.post('/api/x', { a: 1 });
    const keys = fetched.mock.calls.map(([, init]) => (init.headers as Record<string, string>)['Idempotency-Key']);
    expect(keys[0]).toBeUndefined();
    expect(keys[1]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(keys[2]).not.toBe(keys[1]);
  });
  it('turns an error body into a code', async () => {
    vi.stubGlobal('fetch', async () => answer(422, { error: { code: 'no_face', field: 'photo', message: 'm', remedy: 'r' } }));
    await expect(http.post('/api/x')).rejects.toMatchObject({ status: 422, code: 'no_face', field: 'photo', remedy: 'r' });
  });
  it('gives a code even to an answer that is no JSON, and to no answer at all', async () => {
    vi.stubGlobal('fetch', async () => new Response('<html>bad gateway', { status: 502 }));
    await expect(http.get('/api/x')).rejects.toMatchObject({ code: 'http_502' });
    vi.stubGlobal('fetch', async () => Promise.reject(new TypeError('refused')));
    await expect(http.get('/api/x')).rejects.toMatchObject({ status: 0, code: 'unreachable' });
  });
  it('says when the session is over, but not when a password was wrong', async () => {
    const lost = vi.fn();
    whenUnauthorised(lost);
    vi.stubGlobal('fetch', async () => answer(401, { error: { code: 'bad_credentials', message: '' } }));
    await expect(http.post('/api/session')).rejects.toBeInstanceOf(ApiError);
    expect(lost).not.toHaveBeenCalled();
    vi.stubGlobal('fetch', async () => answer(401));
    await expect(http.get('/api/devices')).rejects.toBeInstanceOf(ApiError);
    expect(lost).toHaveBeenCalledOnce();
  });
  it('leaves empty parameters out', () => expect(query('/a', { x: 1, y: '', z: undefined, q: '京 A' })).toBe('/a?x=1&q=%E4%BA%AC+A'));
  it('makes its own ids where the browser has none', () => {
    vi.stubGlobal('crypto', { getRandomValues: (b: Uint8Array) => b.fill(255) });
    expect(uuid()).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff');
  });
});
