// One door to the server: JSON over fetch, the idempotency key on every change, errors as values with a code.
import type { ApiErrorBody } from './types';

/** What the server (or the way to it) refused, with the code the interface translates. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field = '',
    readonly remedy = '',
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** A random UUID v4. `crypto.randomUUID` needs a secure context; a console on a plain-HTTP LAN has none. */
export function uuid(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6]! & 0x0f) | 0x40;
  b[8] = (b[8]! & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

let onUnauthorised: () => void = () => {};
/** Registers what happens when the session has ended. */
export function whenUnauthorised(fn: () => void): void {
  onUnauthorised = fn;
}

/** `path?a=b` without the parameters that are empty. */
export function query(path: string, params: Record<string, string | number | undefined | null>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '') search.set(key, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

async function request<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (method !== 'GET') headers['Idempotency-Key'] = uuid();
  let payload: BodyInit | undefined;
  if (body instanceof FormData) payload = body;
  else if (body instanceof Blob) {
    headers['Content-Type'] = body.type.startsWith('image/') ? body.type : 'text/csv';
    payload = body;
  }
  else if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
    payload = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body: payload, signal, credentials: 'same-origin', cache: 'no-store', keepalive: method === 'DELETE' });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, 'unreachable', String(cause));
  }
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = text ? JSON.parse(text) : undefined;
  } catch {
    parsed = undefined;
  }
  if (!response.ok) {
    const error = (parsed as ApiErrorBody | undefined)?.error;
    const code = error?.code ?? `http_${response.status}`;
    if (response.status === 401 && code !== 'bad_credentials') onUnauthorised();
    throw new ApiError(response.status, code, error?.message ?? '', error?.field ?? '', error?.remedy ?? '');
  }
  return parsed as T;
}

/** An answer that comes line by line, each a JSON value. */
export async function* lines<T>(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<T> {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': uuid() };
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal, credentials: 'same-origin' });
  if (!response.ok || !response.body) {
    if (response.status === 401) onUnauthorised();
    const body = (await response.json().catch(() => undefined)) as ApiErrorBody | undefined;
    throw new ApiError(response.status, body?.error?.code ?? `http_${response.status}`, body?.error?.message ?? '', body?.error?.field ?? '', body?.error?.remedy ?? '');
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += value ?? '';
    const whole = rest.split('\n');
    rest = done ? '' : (whole.pop() ?? '');
    for (const line of whole) if (line.trim()) yield JSON.parse(line) as T;
    if (done) return;
  }
}

/** An answer that is bytes with headers; `progress` hears of them as they come. */
export async function bytes(path: string, signal?: AbortSignal, progress?: (got: number, of: number) => void): Promise<{ data: Blob; headers: Headers }> {
  let response: Response;
  try {
    response = await fetch(path, { signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, 'unreachable', String(cause));
  }
  if (!response.ok || !response.body) {
    if (response.status === 401) onUnauthorised();
    const body = (await response.json().catch(() => undefined)) as ApiErrorBody | undefined;
    throw new ApiError(response.status, body?.error?.code ?? `http_${response.status}`, body?.error?.message ?? '', body?.error?.field ?? '', body?.error?.remedy ?? '');
  }
  const type = response.headers.get('content-type') ?? '';
  const parts: BlobPart[] = [];
  const reader = response.body.getReader();
  const of = Number(response.headers.get('content-length') ?? 0);
  for (let got = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return { data: new Blob(parts, { type }), headers: response.headers };
    parts.push(value);
    got += value.byteLength;
    progress?.(got, of);
  }
}

export const http = {
  get: <T>(path: string, signal?: AbortSignal) => request<T>('GET', path, undefined, signal),
  post: <T>(path: string, body: unknown = {}) => request<T>('POST', path, body),
  put: <T>(path: string, body: unknown) => request<T>('PUT', path, body),
  del: <T = void>(path: string) => request<T>('DELETE', path),
};
