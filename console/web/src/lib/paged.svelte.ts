// A list that comes in pages from the newest back, with what is happening now put in front.
import { untrack } from 'svelte';
import { errorText } from './text.svelte';

export class Paged<T extends { id: string; at: string }> {
  rows = $state.raw<T[]>([]);
  state = $state<'loading' | 'ready' | 'error'>('loading');
  problem = $state('');
  more = $state(false);
  private turn: AbortController | null = null;
  private busy = false;

  constructor(private readonly fetch: (before: string | undefined, signal: AbortSignal) => Promise<T[]>, private readonly size: number) {}

  async load(): Promise<void> {
    this.turn?.abort();
    const turn = (this.turn = new AbortController());
    // Untracked: an effect that loads must not run again because of what it loaded.
    if (untrack(() => this.rows.length) === 0) this.state = 'loading';
    try {
      const rows = await this.fetch(undefined, turn.signal);
      if (turn.signal.aborted) return;
      this.rows = rows;
      this.more = rows.length >= this.size;
      this.state = 'ready';
    } catch (cause) {
      if (turn.signal.aborted) return;
      this.problem = errorText(cause);
      this.state = 'error';
    }
  }

  async next(): Promise<void> {
    if (!this.more || this.busy || !this.turn) return;
    const turn = this.turn;
    this.busy = true;
    try {
      const rows = await this.fetch(this.rows.at(-1)?.at, turn.signal);
      if (turn.signal.aborted) return;
      const have = new Set(this.rows.map((r) => r.id));
      const fresh = rows.filter((r) => !have.has(r.id));
      this.rows = [...this.rows, ...fresh];
      this.more = fresh.length > 0 && rows.length >= this.size;
    } catch {
      this.more = !turn.signal.aborted && this.more; // scrolling again tries again
    } finally {
      this.busy = false;
    }
  }
}

/** `fresh` before `older`, each id once, the newer word about it kept, newest first. */
export function together<T extends { id: string; at: string }>(fresh: readonly T[], older: readonly T[]): T[] {
  const ids = new Set(fresh.map((r) => r.id));
  return [...fresh, ...older.filter((r) => !ids.has(r.id))].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
}

/** Calls `fn` when nothing has been asked for `ms`. */
export function debounce(fn: () => void, ms: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(fn, ms);
  };
}
