// Who is signed in. The cookie is the server's; the page only knows what the server says of it.
import { api, ApiError, whenUnauthorised, type Session } from '../api';
import { live } from '../live/stores.svelte';

class SessionState {
  current = $state.raw<Session | null>(null);
  /** 'asking' until the server has answered the first time. */
  phase = $state<'asking' | 'out' | 'in' | 'unreachable'>('asking');
  expired = $state(false);
  private watch: ReturnType<typeof setInterval> | undefined;

  constructor() {
    whenUnauthorised(() => this.lost());
  }

  async ask(): Promise<void> {
    try {
      this.enter(await api.session.get());
    } catch (cause) {
      if (cause instanceof ApiError && cause.status === 401) this.phase = 'out';
      else this.phase = 'unreachable';
    }
  }

  async signIn(name: string, password: string): Promise<void> {
    this.enter(await api.session.open(name, password));
  }

  async signOut(): Promise<void> {
    try {
      await api.session.close();
    } finally {
      this.leave();
      this.expired = false;
    }
  }

  may(permission: string): boolean {
    const all = this.current?.permissions ?? [];
    return all.includes(permission) || all.includes('*');
  }

  get role(): string {
    return this.current?.user.role ?? '';
  }

  private enter(session: Session): void {
    this.current = session;
    this.phase = 'in';
    this.expired = false;
    live.start(() => this.lost());
    clearInterval(this.watch);
    // A refused WebSocket does not say why: while the feed is down, ask whether the session still stands.
    this.watch = setInterval(() => {
      if (live.status.state !== 'live') void api.session.get().catch(() => {});
    }, 4_000);
  }

  private lost(): void {
    if (this.phase !== 'in') {
      if (this.phase === 'asking') this.phase = 'out';
      return;
    }
    this.leave();
    this.expired = true;
  }

  private leave(): void {
    clearInterval(this.watch);
    live.stop();
    this.current = null;
    this.phase = 'out';
  }
}

export const session = new SessionState();
