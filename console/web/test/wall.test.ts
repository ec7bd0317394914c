// The wall: which camera is where, what it shows next, how that is kept, which stream, how far it is enlarged.
import { describe, expect, it } from 'vitest';
import { choiceOf, DEFAULT, fromParams, keep, savedOf, toParams, type Choice } from '../src/video/choice';
import { arrange, AUTOMATIC, EMPTY, exchange, linkWall, pageCount, pageOf, put, remove, REPLAY } from '../src/video/layout';
import { Cycle, pageGroups, placeGroups, seconds } from '../src/video/sequence';
import { codecName, learn, needsTranscode, pick } from '../src/video/streams';
import { MOST, panBy, WHOLE, zoomAt } from '../src/video/zoom';

const cams = ['a', 'b', 'c', 'd', 'e'];
const places = (...list: (string | null)[]) => ({ places: list, hidden: [] });

describe('the arrangement', () => {
  it('keeps chosen places, fills the rest, leaves emptied ones empty', () => {
    expect(arrange(AUTOMATIC, cams)).toEqual(cams);
    expect(arrange(places(null, 'a', 'gone', 'a'), cams)).toEqual(['b', 'a', 'c', 'd', 'e']);
    expect(arrange(places(EMPTY, 'e'), cams)).toEqual([null, 'e', 'a', 'b', 'c', 'd']);
    expect(arrange({ places: [], hidden: ['b'] }, cams)).toEqual(['a', 'c', 'd', 'e']);
    expect(arrange(AUTOMATIC, [])).toEqual([]);
  });
  it('is cut into pages, the last filled up with empty places', () => {
    const cells = arrange(AUTOMATIC, cams);
    expect([pageCount(cells, 4), pageCount([], 4), pageCount(cells, 1)]).toEqual([2, 1, 5]);
    expect(pageOf(cells, 4, 1)).toEqual(['e', null, null, null]);
    expect(pageOf(cells, 4, 99)).toEqual(pageOf(cells, 4, 1));
    expect(pageOf([], 4, 0)).toEqual([null, null, null, null]);
  });
  it('changes places when a camera is put where another is, on whatever page', () => {
    const next = put(AUTOMATIC, cams, 'e', 0);
    expect(arrange(next, cams)).toEqual(['e', 'b', 'c', 'd', 'a']);
    expect(put(next, cams, 'e', 0)).toBe(next);
  });
  it('keeps a removed camera off, and its place empty, until it is put back', () => {
    const without = remove(AUTOMATIC, cams, 1);
    expect(arrange(without, cams)).toEqual(['a', null, 'c', 'd', 'e']);
    expect(without.hidden).toEqual(['b']);
    expect(remove(without, cams, 1)).toBe(without);
    const back = put(without, cams, 'b', 3);
    expect(arrange(back, cams)).toEqual(['a', 'd', 'c', 'b', 'e']);
    expect(back.hidden).toEqual([]);
  });
  it('takes in a camera that is new, behind those that have their places', () => {
    expect(arrange(put(AUTOMATIC, cams, 'e', 0), [...cams, 'f'])).toEqual(['e', 'b', 'c', 'd', 'a', 'f']);
  });
  it('exchanges a picture with an empty place, also beyond the last', () => {
    expect(arrange(exchange(AUTOMATIC, cams, 0, 6), cams)).toEqual([null, 'b', 'c', 'd', 'e', null, 'a']);
    expect(exchange(AUTOMATIC, cams, 2, 2)).toBe(AUTOMATIC);
    expect(exchange(AUTOMATIC, cams, -1, 2)).toBe(AUTOMATIC);
  });
  it('holds every camera once, whatever is done to it', () => {
    let a = AUTOMATIC;
    let random = 7;
    const next = (n: number) => (random = (random * 48_271) % 2_147_483_647) % n;
    for (let n = 0; n < 2_000; n++) {
      const what = next(3);
      if (what === 0) a = put(a, cams, cams[next(5)]!, next(9));
      else if (what === 1) a = exchange(a, cams, next(9), next(9));
      else a = remove(a, cams, next(9));
      const shown = arrange(a, cams).filter((key) => key !== null);
      expect([...shown, ...a.hidden].sort()).toEqual(cams);
    }
  });
  it('brings the linked camera first and the replay beside it', () => {
    expect(linkWall(['a', 'b', 'c', 'd'], 'c', true)).toEqual(['c', REPLAY, 'a', 'b']);
    expect(linkWall(['a', 'b', 'c', 'd'], 'z', false)).toEqual(['z', 'a', 'b', 'c']);
    expect(linkWall(['a'], 'z', true)).toEqual(['z']);
    expect(linkWall(['a', 'b'], null, true)).toEqual(['a', 'b']);
  });
});

describe('the sequence', () => {
  it('goes page by page, leaving out what shows nothing', () => {
    expect(pageGroups(['a', null, null, 'b'], 1).map((g) => g.cells)).toEqual([['a'], ['b']]);
    expect(pageGroups([], 4)).toEqual([]);
  });
  it('goes place by place, a place with many cameras in several groups', () => {
    const groups = placeGroups([{ key: 'a', place: 'gate' }, { key: 'b', place: 'hall' }, { key: 'c', place: 'gate' }], 1);
    expect(groups.map((g) => [g.name, g.cells[0]])).toEqual([['gate', 'a'], ['gate', 'c'], ['hall', 'b']]);
  });
  it('turns after its seconds, begins again at the end, and waits while held', () => {
    const c = new Cycle(10);
    expect([c.pass(9_999, false, 3), c.pass(5_000, true, 3), c.index]).toEqual([false, false, 0]);
    expect([c.pass(1, false, 3), c.index, c.left]).toEqual([true, 1, 10_000]);
    c.pass(10_000, false, 3);
    c.pass(10_000, false, 3);
    expect(c.index).toBe(0);
  });
  it('has nothing to turn with one group', () => {
    const c = new Cycle(3);
    expect([c.pass(60_000, false, 1), c.pass(60_000, false, 0), c.left]).toEqual([false, false, 3_000]);
  });
  it('is turned by hand both ways and then has its full time; groups may have gone', () => {
    const c = new Cycle(10);
    c.pass(4_000, false, 3);
    c.step(-1, 3);
    expect([c.index, c.left]).toEqual([2, 10_000]);
    c.step(1, 2);
    expect(c.index).toBe(0);
    c.step(1, 0);
    expect(c.index).toBe(0);
  });
  it('waits no longer than a shorter time allows', () => {
    const c = new Cycle(60);
    c.seconds = 5;
    expect(c.left).toBe(5_000);
    expect([seconds(1), seconds(7.4), seconds(9_999), seconds(NaN)]).toEqual([3, 7, 600, 10]);
  });
});

describe('what is kept', () => {
  const choice: Choice = {
    layout: 9, arrangement: { places: ['gate/in', EMPTY, null, 'b'], hidden: ['c'] }, page: 2, by: 'places', every: 15,
  };
  it('is wholly in the address of a further window', () => {
    const params = new URLSearchParams(Object.entries(toParams(choice)).filter((e): e is [string, string] => e[1] !== null));
    expect(fromParams(new URLSearchParams(params.toString()))).toEqual(choice);
    const plain = new URLSearchParams(Object.entries(toParams(DEFAULT)).filter((e): e is [string, string] => e[1] !== null));
    expect(plain.toString()).toBe('layout=4');
    expect(fromParams(plain, choice).by).toBeNull();
  });
  it('is the usual where an address makes no sense', () => {
    expect(fromParams(new URLSearchParams('layout=7&page=x&by=moon&every='))).toEqual({ ...DEFAULT, every: 3 });
  });
  it('comes back from this browser, or is the usual', () => {
    expect(choiceOf(JSON.parse(JSON.stringify(choice)))).toEqual(choice);
    for (const odd of [null, undefined, 7, 'x', [], { layout: 5, arrangement: 3, page: -1, by: 1, every: 'x' }]) expect(choiceOf(odd)).toEqual(DEFAULT);
  });
  it('has layouts by name: saved, replaced, whatever else was stored', () => {
    const entry = { name: 'Night', layout: 4 as const, arrangement: choice.arrangement };
    const list = keep(keep([], entry), { ...entry, layout: 1 });
    expect(list).toEqual([{ ...entry, layout: 1 }]);
    expect(savedOf({ saved: [entry, null, { name: '' }, { name: 'x', layout: 5 }] })).toEqual([entry]);
    for (const odd of [null, {}, { saved: 3 }]) expect(savedOf(odd)).toEqual([]);
  });
});

describe('the stream', () => {
  it('is the wished one, unless only the other can be read', () => {
    expect(pick('main', {})).toBe('main');
    const failed = learn({}, 'main', 'unsupported', 'hvc1.1.6.L93.90');
    expect([pick('main', failed), pick('sub', failed)]).toEqual(['sub', 'sub']);
    const both = learn(failed, 'sub', 'undecodable', 'avc1.64001f');
    expect([pick('main', both), pick('sub', both)]).toEqual(['main', 'sub']);
    expect(learn(both, 'main', 'live', 'avc1.64001f')).toEqual({ sub: both.sub });
  });
  it('is made small by the server where the browser knows neither codec, and only there', () => {
    const one = learn({}, 'main', 'unsupported', 'hvc1');
    const both = learn(one, 'sub', 'unsupported', 'hvc1');
    expect([{}, one, learn(one, 'sub', 'undecodable', 'avc1'), both].map(needsTranscode)).toEqual([false, false, false, true]);
  });
  it('teaches nothing while it only waits or repeats itself', () => {
    const failed = learn({}, 'main', 'unsupported', 'hvc1');
    expect(learn(failed, 'main', 'unsupported', 'hvc1')).toBe(failed);
    for (const state of ['connecting', 'closed', 'stalled']) expect(learn(failed, 'sub', state, '')).toBe(failed);
  });
  it('has its codec by the name people use', () => expect(['avc1.64001f', 'hvc1.1.6', 'av01.0', 'xyz'].map(codecName)).toEqual(['H.264', 'H.265', 'AV1', 'xyz']));
});

describe('the zoom', () => {
  it('keeps the point under the pointer where it is', () => {
    const z = zoomAt(WHOLE, 0.25, 0.75, 2);
    expect(z).toEqual({ scale: 2, x: -0.25, y: -0.75 });
    expect((0.25 - z.x) / z.scale).toBeCloseTo(0.25);
  });
  it('never shows what is beyond the edge, nor more than the most', () => {
    let z = WHOLE;
    for (let n = 0; n < 30; n++) z = zoomAt(z, 1, 1, 1.25);
    expect(z.scale).toBe(MOST);
    expect(panBy(z, -99, 99)).toEqual({ scale: MOST, x: 1 - MOST, y: 0 });
    for (let n = 0; n < 30; n++) z = zoomAt(z, 0, 0.5, 0.8);
    expect(z).toBe(WHOLE);
  });
});
