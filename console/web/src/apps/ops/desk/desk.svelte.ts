// The desk's shared state: which alarm is chosen, its detail, and what can be done to it.
import { api } from '../../../api';
import type { Alarm, AlarmDetail, Device } from '../../../api/types';
import { acknowledge, command, openWorkOrder, shelve, unshelve } from '../../../lib/actions';
import { router } from '../../../lib/router.svelte';
import { errorText } from '../../../lib/text.svelte';
import { toasts } from '../../../lib/toast.svelte';
import { live } from '../../../live/stores.svelte';

class Desk {
  detail = $state.raw<AlarmDetail | null>(null);
  problem = $state('');
  /** Set while the shelving question is open. */
  shelving = $state.raw<Alarm | null>(null);
  /** One pane at a time, on a phone. */
  narrow = false;
  /** A camera pinned to the first tile by hand. */
  pinned = $state<string | null>(null);
  private asked = 0;

  get selected(): string | null {
    return router.get('alarm') || null;
  }

  /** The chosen alarm as the feed knows it, else as the detail told. */
  get alarm(): Alarm | null {
    const id = this.selected;
    if (!id) return null;
    return live.alarms.get(id) ?? (this.detail?.alarm.id === id ? this.detail.alarm : null);
  }

  select(id: string | null): void {
    if (router.route.page === 'desk') router.set({ alarm: id, ...(this.narrow && id && { pane: 'detail' }) });
    else if (id) router.go('desk', { alarm: id });
  }

  async load(id: string): Promise<void> {
    const turn = ++this.asked;
    try {
      const detail = await api.alarms.get(id);
      if (turn !== this.asked) return;
      this.detail = detail;
      this.problem = '';
    } catch (cause) {
      if (turn === this.asked) this.problem = errorText(cause);
    }
  }

  forget(): void {
    this.asked++;
    this.detail = null;
    this.problem = '';
  }

  private keep(detail: AlarmDetail | null): void {
    if (detail && detail.alarm.id === this.selected) {
      this.asked++;
      this.detail = detail;
    }
  }

  async ack(alarm: Alarm): Promise<void> {
    if (!alarm.acked) this.keep(await acknowledge(alarm));
  }
  async shelve(alarm: Alarm, minutes: number, reason: string): Promise<void> {
    this.keep(await shelve(alarm, minutes, reason));
  }
  async unshelve(alarm: Alarm): Promise<void> {
    this.keep(await unshelve(alarm));
  }
  async order(alarm: Alarm): Promise<void> {
    if (!alarm.work_order) this.keep(await openWorkOrder(alarm));
  }
  async step(alarm: Alarm, step: string, done: boolean): Promise<void> {
    await this.tell(api.alarms.step(alarm.id, step, done));
  }
  async comment(alarm: Alarm, text: string): Promise<void> {
    await this.tell(api.alarms.comment(alarm.id, text));
  }

  private async tell(call: Promise<AlarmDetail>): Promise<void> {
    try {
      this.keep(await call);
    } catch (cause) {
      toasts.error(errorText(cause));
    }
  }

  /** Doors and barriers that belong to the alarm: its own device, or those in the same place. */
  doors(alarm: Alarm): Device[] {
    const own = live.devices.get(alarm.device);
    const opens = (d: Device) => d.verbs.includes('unlock') || (d.kind === 'barrier' && d.verbs.includes('open'));
    if (own && opens(own)) return [own];
    return live.devices
      .all()
      .filter((d) => opens(d) && (d.place === alarm.place || d.cameras.some((c) => alarm.cameras.includes(c))))
      .slice(0, 3);
  }

  async open(door: Device): Promise<void> {
    await command(door, door.verbs.includes('unlock') ? 'unlock' : 'open', '');
  }
}

export const desk = new Desk();
