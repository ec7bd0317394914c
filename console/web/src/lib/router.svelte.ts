// Where we are: `#/page/rest?key=value`. What can be linked to is in the address; nothing else decides.
export interface Route {
  page: string;
  rest: string[];
  params: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#?\/?/, '').split('?', 2);
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  return { page: parts[0] ?? 'desk', rest: parts.slice(1), params: new URLSearchParams(search) };
}

export function href(page: string, params: Record<string, string | null | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) if (value) search.set(key, value);
  const text = search.toString();
  return `#/${page}${text ? `?${text}` : ''}`;
}

class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.route = parse(location.hash)));
  }

  go(page: string, params: Record<string, string | null | undefined> = {}): void {
    location.hash = href(page, params);
  }

  get(key: string): string {
    return this.route.params.get(key) ?? '';
  }

  /** Changes parameters of this page without a new entry in the history. */
  set(changes: Record<string, string | null | undefined>): void {
    const here = parse(location.hash); // the event that renews `route` comes later than the address changes
    const params = here.params;
    for (const [key, value] of Object.entries(changes)) {
      if (value) params.set(key, value);
      else params.delete(key);
    }
    const text = params.toString();
    const path = [here.page, ...here.rest].map(encodeURIComponent).join('/');
    history.replaceState(null, '', `#/${path}${text ? `?${text}` : ''}`);
    this.route = parse(location.hash);
  }
}

export const router = new Router();
