// The account's saved layouts, kept by the server.
import { api, ApiError } from '../../../api';
import { keep, savedOf, SAVED_MOST, type Saved } from '../../../video/choice';
import { errorText } from '../../../lib/text.svelte';
import type { Preferences } from '../../../api/types';

class PreferenceState {
  saved = $state.raw<Saved[]>([]);
  phase = $state<'unread' | 'reading' | 'ready' | 'failed'>('unread');
  saving = $state(false);
  problem = $state('');
  private known: Preferences = { version: 0, preferences: {} };

  async read(): Promise<void> {
    this.phase = 'reading';
    try {
      this.take(await api.preferences.get());
      this.phase = 'ready';
      this.problem = '';
    } catch (cause) {
      this.phase = 'failed';
      this.problem = errorText(cause);
    }
  }

  save(entry: Saved): Promise<boolean> {
    return this.change((list) => keep(list, entry));
  }
  drop(name: string): Promise<boolean> {
    return this.change((list) => list.filter((x) => x.name !== name));
  }
  get full(): boolean {
    return this.saved.length >= SAVED_MOST;
  }

  private take(known: Preferences): void {
    this.known = known;
    this.saved = savedOf(known.preferences.wall);
  }

  /** Whether it is kept. Another window may have changed them meanwhile: then this change is made to what it wrote. */
  private async change(edit: (list: Saved[]) => Saved[]): Promise<boolean> {
    this.saving = true;
    this.problem = '';
    try {
      for (let attempt = 0; ; attempt++) {
        const preferences = { ...this.known.preferences, wall: { saved: edit(this.saved) } };
        try {
          this.take(await api.preferences.put({ version: this.known.version, preferences }));
          return true;
        } catch (cause) {
          if (attempt > 0 || !(cause instanceof ApiError) || cause.code !== 'preferences_changed') throw cause;
          this.take(await api.preferences.get());
        }
      }
    } catch (cause) {
      this.problem = errorText(cause);
      return false;
    } finally {
      this.saving = false;
    }
  }
}

export const preferences = new PreferenceState();
