// A wall as its components share it: what is chosen, what of that is on show, and the way back.
import { prefs } from '../../../lib/prefs.svelte';
import { router } from '../../../lib/router.svelte';
import { nameOf, placePath } from '../../../lib/text.svelte';
import { live } from '../../../live/stores.svelte';
import type { Device } from '../../../api/types';
import { fromParams, toParams, type Choice, type Saved } from '../../../video/choice';
import {
  arrange, AUTOMATIC, exchange, isAutomatic, isLayout, LAYOUTS, linkWall, pageCount, pageOf, put, remove,
  type Arrangement, type Cells, type Layout,
} from '../../../video/layout';
import { Cycle, pageGroups, placeGroups, seconds, type By, type Group } from '../../../video/sequence';
import { preferences } from './preferences.svelte';

/** What is being moved: a camera from the list (`from` is null) or from its place on the wall. */
export interface Picked {
  camera: string;
  from: number | null;
}
/** So that a camera can be dragged from one window to another. */
export const DRAG_TYPE = 'application/x-gatehouse-camera';
const STEPS_BACK = 50;
const TICK_MS = 250;

/**
 * Where a wall keeps its choice. `browser`: the wall of this workplace, whose layout an address may name; `address`: a further
 * window, wholly in its address; `phone`: one picture unless the address names more.
 */
export type Keeper = 'browser' | 'address' | 'phone';

export class WallState {
  picked = $state.raw<Picked | null>(null);
  /** The linked alarm's camera and whether its replay stands beside it; told by the desk. */
  linked = $state<string | null>(null);
  replay = $state(false);
  paused = $state(false);
  /** Reasons for which the sequence waits: someone looks closely. */
  private holds = $state(0);
  private past = $state.raw<Arrangement[]>([]);
  private index = $state(0);
  left = $state(0);
  private cycle = new Cycle(10);

  constructor(private readonly keeper: Keeper) {}

  /** On a phone even the only picture is small. */
  get small(): boolean {
    return this.keeper === 'phone';
  }

  // ---- cameras
  readonly cameras = $derived<Device[]>(
    live.devices.listed().filter((d) => d.kind === 'camera').sort((a, b) => (a.key < b.key ? -1 : 1)),
  );
  private readonly byKey = $derived(new Map(this.cameras.map((d) => [d.key, d])));
  readonly keys = $derived([...this.byKey.keys()]);
  device = (key: string): Device | undefined => this.byKey.get(key);
  nameOf = (key: string): string => nameOf(this.byKey.get(key));
  keyOf = (id: string): string | null => this.cameras.find((d) => d.id === id)?.key ?? null;

  // ---- what is chosen
  readonly choice = $derived.by<Choice>(() => {
    const params = router.route.params;
    if (this.keeper === 'address') return fromParams(params);
    const n = Number(params.get('layout'));
    if (isLayout(n)) return { ...prefs.wall, layout: n };
    return this.keeper === 'phone' ? { ...prefs.wall, layout: 1, by: null } : prefs.wall;
  });

  set(changes: Partial<Choice>): void {
    const next = { ...this.choice, ...changes };
    if (this.keeper === 'address') router.set(toParams(next));
    else {
      prefs.setWall(this.keeper === 'phone' ? { ...next, layout: prefs.wall.layout, by: prefs.wall.by } : next);
      if ('layout' in changes) router.set({ layout: String(next.layout) });
    }
  }

  // ---- what of it is on show
  readonly cells = $derived<Cells>(arrange(this.choice.arrangement, this.keys));
  readonly groups = $derived.by<Group[]>(() => {
    const { by, layout } = this.choice;
    if (by === 'pages') return pageGroups(this.cells, layout);
    if (by === 'places') {
      const named = this.cameras.map((d) => ({ key: d.key, place: placePath(d.place) }));
      return placeGroups(named.sort((a, b) => a.place.localeCompare(b.place) || (a.key < b.key ? -1 : 1)), layout);
    }
    if (by === 'saved') {
      return preferences.saved.map((s) => ({ name: s.name, layout: s.layout, cells: pageOf(arrange(s.arrangement, this.keys), s.layout, 0) }));
    }
    return [];
  });
  readonly group = $derived<Group | undefined>(this.groups[Math.min(this.index, this.groups.length - 1)]);
  readonly groupNumber = $derived(Math.min(this.index, this.groups.length - 1) + 1);
  readonly layout = $derived<Layout>(this.group?.layout ?? this.choice.layout);
  readonly pages = $derived(pageCount(this.cells, this.choice.layout));
  readonly page = $derived(Math.min(this.choice.page, this.pages - 1));
  /** The places on show, without what an alarm puts before them. */
  private readonly base = $derived(this.group?.cells ?? pageOf(this.cells, this.layout, this.page));
  readonly shown = $derived(linkWall(this.base, this.linked, this.replay));
  /** Places can be changed: not while a sequence or an alarm decides what they show. */
  readonly arrangeable = $derived(!this.group && !this.linked);

  setLayout(layout: Layout): void {
    // The first picture on show stays on show.
    const first = this.page * this.choice.layout;
    this.set({ layout, page: Math.floor(first / layout) });
  }
  nextLayout(): void {
    this.setLayout(LAYOUTS[(LAYOUTS.indexOf(this.choice.layout) + 1) % LAYOUTS.length]!);
  }
  turn(by: 1 | -1): void {
    if (this.choice.by) {
      this.cycle.step(by, this.groups.length);
      this.follow();
    } else this.set({ page: (this.page + by + this.pages) % this.pages });
  }

  // ---- changes by hand, and back
  private change(next: Arrangement): void {
    const now = this.choice.arrangement;
    if (next === now) return;
    this.past = [...this.past.slice(1 - STEPS_BACK), now];
    this.set({ arrangement: next });
  }
  /** The place on the whole wall of a place on this page. */
  private at(place: number): number {
    return this.page * this.layout + place;
  }
  place(camera: string, place: number): void {
    if (this.arrangeable && this.byKey.has(camera)) this.change(put(this.choice.arrangement, this.keys, camera, this.at(place)));
  }
  swap(a: number, b: number): void {
    if (this.arrangeable && a >= 0 && b >= 0 && a < this.layout && b < this.layout) {
      this.change(exchange(this.choice.arrangement, this.keys, this.at(a), this.at(b)));
    }
  }
  remove(place: number): void {
    if (this.arrangeable) this.change(remove(this.choice.arrangement, this.keys, this.at(place)));
  }
  reset(): void {
    if (!isAutomatic(this.choice.arrangement)) this.change(AUTOMATIC);
  }
  readonly changed = $derived(!isAutomatic(this.choice.arrangement));
  readonly undoable = $derived(this.past.length > 0);
  undo(): boolean {
    const last = this.past.at(-1);
    if (!last) return false;
    this.past = this.past.slice(0, -1);
    this.set({ arrangement: last });
    return true;
  }
  load(saved: Saved): void {
    this.past = [...this.past.slice(1 - STEPS_BACK), this.choice.arrangement];
    this.set({ layout: saved.layout, arrangement: saved.arrangement, page: 0, by: null });
  }

  /** Puts what is picked into a place; from its own place it is set down again. */
  drop(place: number): void {
    const picked = this.picked;
    this.picked = null;
    if (!picked) return;
    if (picked.from !== null) this.swap(picked.from, place);
    else this.place(picked.camera, place);
  }
  /** The first free place on show, else the last. */
  freePlace(): number {
    const free = this.shown.indexOf(null);
    return free < 0 ? this.layout - 1 : free;
  }
  placeOf(camera: string): number {
    return this.cells.indexOf(camera);
  }

  // ---- the sequence
  setBy(by: By | null): void {
    this.cycle = new Cycle(this.choice.every);
    this.paused = false;
    this.picked = null;
    this.follow();
    this.set({ by });
  }
  setEvery(every: number): void {
    this.set({ every: seconds(every) });
  }
  readonly held = $derived(this.paused || this.holds > 0 || this.linked !== null);
  /** Someone looks closely at one picture; returns how to let go. */
  hold(): () => void {
    this.holds++;
    let held = true;
    return () => {
      if (held) this.holds--;
      held = false;
    };
  }
  private follow(): void {
    this.index = this.cycle.index;
    this.left = Math.ceil(this.cycle.left / 1000);
  }
  /** Turns the wall as time passes; returns how to stop. */
  run(): () => void {
    this.cycle = new Cycle(this.choice.every);
    this.follow();
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      this.cycle.seconds = this.choice.every;
      // A page that was hidden must not leap ahead.
      if (this.choice.by) this.cycle.pass(Math.min(now - last, 4 * TICK_MS), this.held, this.groups.length);
      last = now;
      this.follow();
    }, TICK_MS);
    return () => clearInterval(timer);
  }

  /** The address of a further window: this wall's choice, on the page after this one where there is one. */
  windowAddress(): string {
    const page = this.choice.by ? 0 : (this.page + 1) % this.pages;
    const params = new URLSearchParams({ window: Date.now().toString(36) });
    for (const [key, value] of Object.entries(toParams({ ...this.choice, page }))) if (value) params.set(key, value);
    return `#/wall?${params}`;
  }
}
