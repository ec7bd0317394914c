// Plans: what fits, what is under the pointer, which devices belong where.
import { describe, expect, it } from 'vitest';
import type { Device, Place } from '../src/api/types';
import { devicesOn, fit, hit, planOf, tree, zoom } from '../src/map/plan';

const plan = { width: 100, height: 50, shapes: [] };
const place = (id: string, parent: string | null, own = false): Place => ({ id, key: id, parent, kind: 'space', name: id, name_zh: id, ...(own && { plan }) });
const device = (id: string, at: string, x?: number, y?: number) => ({ id, key: id, place: at, x, y, severity: 0 }) as Device;
const places = [place('site', null, true), place('b1', 'site'), place('f1', 'b1', true), place('room', 'f1')];

describe('a plan', () => {
  it('is centred and whole', () => {
    const v = fit(plan, 232, 232);
    expect(v.scale).toBe(2);
    expect([v.x, v.y]).toEqual([16, 66]);
  });
  it('zooms about the pointer and has bounds', () => {
    const v = zoom({ scale: 2, x: 10, y: 10 }, 110, 60, 2, 2);
    expect(v.scale).toBe(4);
    expect((110 - v.x) / v.scale).toBeCloseTo((110 - 10) / 2);
    expect(zoom(v, 0, 0, 1e9, 2).scale).toBe(40);
    expect(zoom(v, 0, 0, 1e-9, 2).scale).toBe(1.6);
  });
  it('belongs to the nearest place above that has one', () => {
    expect(planOf(places, 'room')?.id).toBe('f1');
    expect(planOf(places, 'b1')?.id).toBe('site');
    expect(planOf(places, 'nowhere')).toBeNull();
    const loop = [place('x', 'y'), place('y', 'x')];
    expect(planOf(loop, 'x')).toBeNull();
  });
  it('shows the devices whose nearest plan it is', () => {
    const devices = [device('a', 'room'), device('b', 'b1'), device('c', 'site')];
    expect(devicesOn(places, devices, 'f1').map((d) => d.id)).toEqual(['a']);
    expect(devicesOn(places, devices, 'site').map((d) => d.id)).toEqual(['b', 'c']);
  });
  it('finds the nearest device under the pointer', () => {
    const view = { scale: 2, x: 0, y: 0 };
    const devices = [device('a', 'site', 10, 10), device('b', 'site', 14, 10), device('none', 'site')];
    expect(hit(devices, view, 22, 20, 12)?.id).toBe('a');
    expect(hit(devices, view, 27, 20, 12)?.id).toBe('b');
    expect(hit(devices, view, 90, 90, 12)).toBeNull();
  });
  it('lists places as a tree', () => {
    expect(tree(places).map((x) => `${x.depth}${x.place.id}`)).toEqual(['0site', '1b1', '2f1', '3room']);
    expect(tree([place('orphan', 'gone')]).map((x) => x.place.id)).toEqual(['orphan']);
  });
});
