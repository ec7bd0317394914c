// Geometry of a plan on a canvas: what fits, what is under the pointer, what belongs to which plan.
import type { Device, Place, Plan } from '../api/types';

export interface View {
  scale: number; // pixels per metre
  x: number; // pixels of the plan's origin
  y: number;
}

export function fit(plan: Plan, width: number, height: number, margin = 16): View {
  const scale = Math.max(0.01, Math.min((width - 2 * margin) / plan.width, (height - 2 * margin) / plan.height));
  return { scale, x: (width - plan.width * scale) / 2, y: (height - plan.height * scale) / 2 };
}

/** The same view `factor` times larger, with the point under (px, py) staying where it is. */
export function zoom(view: View, px: number, py: number, factor: number, least: number): View {
  const scale = Math.min(least * 20, Math.max(least * 0.8, view.scale * factor));
  const k = scale / view.scale;
  return { scale, x: px - (px - view.x) * k, y: py - (py - view.y) * k };
}

/** The nearest place with a plan, upwards from `id`. */
export function planOf(places: readonly Place[], id: string | null): Place | null {
  const seen = new Set<string>();
  for (let at = id; at && !seen.has(at); ) {
    seen.add(at);
    const place = places.find((p) => p.id === at);
    if (!place) return null;
    if (place.plan) return place;
    at = place.parent;
  }
  return null;
}

/** Devices drawn on a place's plan: those whose nearest plan it is and that have a position. */
export function devicesOn(places: readonly Place[], devices: readonly Device[], place: string): Device[] {
  const cache = new Map<string, string | null>();
  const home = (id: string) => {
    if (!cache.has(id)) cache.set(id, planOf(places, id)?.id ?? null);
    return cache.get(id);
  };
  return devices.filter((d) => home(d.place) === place);
}

/** The device within `reach` pixels of the pointer, the nearest first. */
export function hit(devices: readonly Device[], view: View, px: number, py: number, reach: number): Device | null {
  let best: Device | null = null;
  let least = reach;
  for (const d of devices) {
    if (d.x === undefined || d.y === undefined) continue;
    const away = Math.hypot(view.x + d.x * view.scale - px, view.y + d.y * view.scale - py);
    if (away <= least) {
      best = d;
      least = away;
    }
  }
  return best;
}

/** Places as a tree in reading order, with their depth. */
export function tree(places: readonly Place[]): { place: Place; depth: number }[] {
  const out: { place: Place; depth: number }[] = [];
  const ids = new Set(places.map((p) => p.id));
  const walk = (parent: string | null, depth: number) => {
    for (const place of places) {
      const root = place.parent === null || !ids.has(place.parent);
      if (parent === null ? root : place.parent === parent) {
        out.push({ place, depth });
        if (depth < 8) walk(place.id, depth + 1);
      }
    }
  };
  walk(null, 0);
  return out;
}

/** Whether a device's own word says that something is not as it should be. */
export function abnormal(d: Device): boolean {
  if (d.severity > 0 || d.presence === 'offline' || d.presence === 'stale' || d.presence === 'flapping') return true;
  return ['forced_open', 'held_open', 'trapped', 'fault', 'alarm', 'pre_alarm', 'breached', 'tampered', 'stalled', 'refused', 'released', 'recalled'].includes(d.state);
}
