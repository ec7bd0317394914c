// What an enrolment asks of who stands before the camera.
import { describe, expect, it } from 'vitest';
import type { FaceCheck } from '../src/api/types';
import { advice, inMiddle, wanted } from '../src/apps/ops/enrol/pictures';

const check = (more: Partial<FaceCheck>): FaceCheck => ({ accepted: true, pose: 'straight', problem: null, message: null, face: [0.38, 0.25, 0.24, 0.5], ...more });

describe('enrolment', () => {
  it('wants straight, left, right, in whatever order they came', () => {
    expect(wanted([])).toBe('straight');
    expect(wanted([{ pose: 'right' }, { pose: 'straight' }])).toBe('left');
    expect(wanted([{ pose: 'right' }, { pose: 'straight' }, { pose: 'left' }])).toBe(null);
  });
  it('takes only the pose that is wanted, in the middle, and says the reason of the gate otherwise', () => {
    expect(advice(null, 'straight')).toEqual({ held: false, code: 'want.straight' });
    expect(advice(check({}), 'straight')).toEqual({ held: true, code: 'want.straight' });
    expect(advice(check({}), 'left')).toEqual({ held: false, code: 'want.left' });
    expect(advice(check({ face: [0, 0.25, 0.24, 0.5] }), 'straight')).toEqual({ held: false, code: 'want.middle' });
    expect(advice(check({ accepted: false, pose: null, problem: 'face_too_dark' }), 'straight')).toEqual({ held: false, code: 'problem.face_too_dark' });
    expect(advice(check({}), null).code).toBe('want.enough');
  });
  it('has the face in the middle of the oval', () => {
    expect(inMiddle([0.38, 0.25, 0.24, 0.5])).toBe(true);
    expect(inMiddle([0.6, 0.25, 0.24, 0.5])).toBe(false);
    expect(inMiddle(null)).toBe(false);
  });
});
