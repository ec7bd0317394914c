// Which boxes belong to the picture that is shown, and where that picture lies.
import { describe, expect, it } from 'vitest';
import type { OverlayFrame } from '../src/api/types';
import { AHEAD_MS, BoxTrack, contained, HOLD_MS } from '../src/video/overlay';

const T0 = 1_773_483_300_000;
const frame = (ms: number): OverlayFrame => ({ at_us: (T0 + ms) * 1000, boxes: [{ kind: 'plate', x: 0, y: 0, w: 0.1, h: 0.1, text: String(ms), sure: true }] });
const shown = (track: BoxTrack, ms: number): string | undefined => track.at(T0 + ms)?.boxes[0]?.text;

describe('boxes over a picture', () => {
  it('are those of the picture, or of the last one looked at before it', () => {
    const track = new BoxTrack();
    for (const ms of [0, 180, 360]) track.push(frame(ms));
    expect([0, 100, 180, 250, 360, 700].map((ms) => shown(track, ms))).toEqual(['0', '0', '180', '180', '360', '360']);
  });
  it('of a later picture wait for it, but for the clock’s error', () => {
    const track = new BoxTrack();
    track.push(frame(500));
    expect(shown(track, 500 - AHEAD_MS - 1)).toBeUndefined();
    expect(shown(track, 500 - AHEAD_MS)).toBe('500');
  });
  it('go when they are old, or the picture’s time is not known', () => {
    const track = new BoxTrack();
    track.push(frame(0));
    expect(shown(track, HOLD_MS)).toBe('0');
    expect(shown(track, HOLD_MS + 1)).toBeUndefined();
    expect(track.at(NaN)).toBeNull();
  });
  it('come in any order and are bounded', () => {
    const track = new BoxTrack();
    for (const ms of [400, 200, 300]) track.push(frame(ms));
    expect([230, 330, 450].map((ms) => shown(track, ms))).toEqual(['200', '300', '400']);
    for (let ms = 1_000; ms < 60_000; ms += 100) track.push(frame(ms));
    expect(shown(track, 400)).toBeUndefined();
    expect(shown(track, 59_900)).toBe('59900');
    track.clear();
    expect(shown(track, 59_900)).toBeUndefined();
  });
});

describe('a picture that is shown whole', () => {
  it('has bars beside or above it', () => {
    expect(contained({ width: 640, height: 360 }, { width: 640, height: 480 })).toEqual({ x: 0, y: 60, width: 640, height: 360 });
    expect(contained({ width: 400, height: 400 }, { width: 800, height: 400 })).toEqual({ x: 200, y: 0, width: 400, height: 400 });
    expect(contained({ width: 0, height: 0 }, { width: 800, height: 400 })).toEqual({ x: 0, y: 0, width: 800, height: 400 });
  });
});
