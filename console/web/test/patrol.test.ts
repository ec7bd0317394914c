import { describe, expect, it } from 'vitest';
import type { PatrolRound } from '../src/api/types';
import { abnormal, following, left, moved } from '../src/apps/ops/patrol/round';

const stop = (verdict?: 'in_order' | 'abnormal' | 'unseen') => ({
  camera: 'c',
  preset: '',
  look: '',
  picture: null,
  attest: verdict ? { verdict, note: '', at: '', work_order: null } : null,
});
const round = (...verdicts: Parameters<typeof stop>[0][]): PatrolRound => ({
  id: 'r', route: 'n', name: 'Night', by: 'li', began_at: '', ended_at: null, note: '', stops: verdicts.map(stop),
});

describe('a round', () => {
  it('counts what is left and what is abnormal', () => {
    const walked = round('in_order', 'abnormal', 'unseen', undefined);
    expect([left(walked), abnormal(walked)]).toEqual([1, 1]);
  });

  it('goes on with the next open stop, round and round', () => {
    const walked = round(undefined, 'in_order', undefined, 'in_order');
    expect(following(walked, -1)).toBe(0);
    expect(following(walked, 0)).toBe(2);
    expect(following(walked, 2)).toBe(0);
    expect(following(round('in_order'), 0)).toBe(-1);
  });

  it('moves a stop as far as the list goes', () => {
    expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
    expect(moved(['a', 'b'], 0, -1)).toEqual(['a', 'b']);
    expect(moved(['a', 'b'], 0, 5)).toEqual(['b', 'a']);
  });
});
