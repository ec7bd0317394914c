// What an operator does to an alarm or a device: one call, the result put in place at once, a word about it.
import { api, ApiError } from '../api';
import type { Alarm, AlarmDetail, Command, Device } from '../api/types';
import { t } from '../i18n/index.svelte';
import { live } from '../live/stores.svelte';
import { alarmTitle, errorText } from './text.svelte';
import { toasts } from './toast.svelte';

async function change(call: Promise<AlarmDetail>): Promise<AlarmDetail | null> {
  try {
    const detail = await call;
    live.mergeAlarms([detail.alarm]);
    return detail;
  } catch (cause) {
    // Someone else was faster: what the operator wanted is so.
    if (cause instanceof ApiError && cause.code === 'already_acknowledged') toasts.done(errorText(cause));
    else toasts.error(errorText(cause));
    return null;
  }
}

export async function acknowledge(alarm: Alarm): Promise<AlarmDetail | null> {
  const detail = await change(api.alarms.ack(alarm.id));
  if (detail) toasts.done(t('alarm.ack.done', { title: alarmTitle(alarm) }));
  return detail;
}

export async function shelve(alarm: Alarm, minutes: number, reason: string): Promise<AlarmDetail | null> {
  const detail = await change(api.alarms.shelve(alarm.id, minutes, reason));
  if (detail) {
    toasts.done(t('alarm.shelve.done', { n: minutes, title: alarmTitle(alarm) }), {
      label: t('app.undo'),
      run: () => void unshelve(alarm),
    });
  }
  return detail;
}

export async function unshelve(alarm: Alarm): Promise<AlarmDetail | null> {
  const detail = await change(api.alarms.unshelve(alarm.id));
  if (detail) toasts.done(t('alarm.unshelve.done'));
  return detail;
}

export async function openWorkOrder(alarm: Alarm): Promise<AlarmDetail | null> {
  const detail = await change(api.alarms.workOrder(alarm.id));
  const order = detail?.work_orders[0];
  if (order) toasts.done(t('alarm.order.done', { n: order.number }));
  return detail;
}

export async function cancelCommand(command: Command): Promise<void> {
  try {
    live.commands.merge([await api.commands.cancel(command.id)]);
    toasts.done(t('cmd.cancel.done'));
  } catch (cause) {
    toasts.error(errorText(cause));
  }
}

/** Verbs that touch people's safety or silence a system: asked twice, with a reason. */
const GRAVE = new Set(['release', 'restore', 'close', 'recall', 'resume', 'silence', 'reset', 'disarm']);
export const isGrave = (verb: string): boolean => GRAVE.has(verb);

export async function command(device: Device, verb: string, why = ''): Promise<Command | null> {
  try {
    const sent = await api.commands.send(device.id, verb, undefined, why);
    // The feed may already have told more than this answer.
    const known = live.commands.rows.get(sent.id);
    if (!known || known.changed_at < sent.changed_at) live.commands.merge([sent]);
    return sent;
  } catch (cause) {
    toasts.error(errorText(cause));
    return null;
  }
}
