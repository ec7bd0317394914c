// Marks of what is wrong, and where a firing lies on the strip.
import { describe, expect, it } from 'vitest';
import type { Diagnostic } from '../src/api/types';
import { examples, outline, pieces, place, sentence } from '../src/apps/ops/rules/rules';

const wrong = (start: number, end: number, code = 'unknown_point', params: Record<string, string> = {}): Diagnostic => ({
  code, params, message: 'in English', line: 1, column: start + 1, start, end,
});

describe('a rule’s text', () => {
  it('is cut where something is wrong, and is whole again', () => {
    const cut = pieces('when 温度 x', [wrong(5, 7)]);
    expect(cut).toEqual([{ text: 'when ', wrong: false }, { text: '温度', wrong: true }, { text: ' x', wrong: false }]);
    expect(cut.map((p) => p.text).join('')).toBe('when 温度 x');
  });
  it('marks the last character where something is missing at the end', () => {
    expect(pieces('when', [wrong(4, 4)])).toEqual([{ text: 'whe', wrong: false }, { text: 'n', wrong: true }]);
    expect(pieces('', [wrong(0, 0)])).toEqual([]);
  });
  it('says what is wrong and what was perhaps meant', () => {
    expect(sentence(wrong(0, 1, 'unknown_device', { name: 'tmp-1', near: 'temp-1' }))).toMatch(/tmp-1.*temp-1/);
    expect(sentence(wrong(0, 1, 'never_heard_of'))).toBe('in English');
  });
});

describe('the strip', () => {
  const [start, end] = ['2026-05-04T00:00:00Z', '2026-05-04T10:00:00Z'];
  it('places an interval in thousandths and one that is still on to the end', () => {
    expect(place('2026-05-04T05:00:00Z', '2026-05-04T06:00:00Z', start, end)).toEqual({ x: 500, width: 100 });
    expect(place('2026-05-04T09:00:00Z', null, start, end)).toEqual({ x: 900, width: 100 });
    expect(place('2026-05-03T00:00:00Z', '2026-05-04T01:00:00Z', start, end)).toEqual({ x: 0, width: 100 });
  });
  it('draws the highest values there and the lowest back', () => {
    const points = outline([[start, 0, 10], [end, 5, 5]], start, end, 0, 10, 100).split(' ');
    expect(points).toEqual(['0.0,4.0', '1000.0,50.0', '1000.0,51.0', '0.0,97.0']);
  });
});

describe('examples', () => {
  it('name what the site has', () => {
    const words = {
      devices: [{ id: '1', key: 'temp-1', kind: 'sensor', class: 'temperature', states: [], points: [{ name: 'temperature', shape: 'number', unit: '°C' }] }],
      events: [], schedules: [], places: [],
    };
    const texts = examples(words).map((e) => e.text);
    expect(texts[0]).toContain('point temperature of "temp-1" > 30 °C');
    expect(texts.some((x) => x.includes('door'))).toBe(false);
    expect(examples(null)).toEqual([]);
  });
});
