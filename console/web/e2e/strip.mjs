// Reads the moment that a virtual camera draws along the bottom of its pictures: 48 blocks of 8 × 8 pixels, 40 bits of
// milliseconds since 1970 and CRC-8 (polynomial 0x07) of them. Runs in the page: it must not refer to anything outside.
export function sampler() {
  const BLOCK = 8;
  const BITS = 48;
  /** Widths of the virtual cameras' streams, pixels. */
  const WIDTHS = [640, 1280, 960, 1920];
  /** Further from now it is no moment: of what is no strip, one in 256 has a check that fits. */
  const FAR_MS = 600_000;
  const surface = document.createElement('canvas');
  surface.width = BITS * BLOCK;
  surface.height = 1;
  const paint = surface.getContext('2d', { willReadFrequently: true });

  /** The moment, milliseconds since 1970; null where the check does not fit. A tile paints as large as it is seen: which width
   * was sent is kept in `of`, and looked for again when it does not fit. */
  function read(picture, of) {
    const width = picture.videoWidth ?? picture.width;
    const height = picture.videoHeight ?? picture.height;
    if (!height) return null;
    for (const sent of of.sent ? [of.sent, ...WIDTHS] : WIDTHS) {
      const moment = readAs(picture, height, width / sent);
      if (moment) of.sent = sent;
      if (moment) return moment;
    }
    return null;
  }
  function readAs(picture, height, shown) {
    const strip = Math.ceil(BITS * BLOCK * shown);
    paint.drawImage(picture, 0, Math.floor(height - (BLOCK / 2) * shown), strip, 1, 0, 0, strip, 1);
    const row = paint.getImageData(0, 0, strip, 1).data;
    const bytes = [0, 0, 0, 0, 0, 0];
    for (let n = 0; n < BITS; n++) if (row[Math.floor((n + 0.5) * BLOCK * shown) * 4] > 125) bytes[n >> 3] |= 0x80 >> (n & 7);
    let crc = 0;
    for (const byte of bytes.slice(0, 5)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
    }
    const low = bytes.slice(0, 5).reduce((sum, byte) => sum * 256 + byte, 0);
    if (crc !== bytes[5] || low === 0) return null; // a canvas without a picture is black, and its check would fit
    const window = 2 ** 40;
    const now = Date.now();
    const moment = low + Math.round((now - low) / window) * window;
    return Math.abs(now - moment) < FAR_MS ? moment : null;
  }

  // Reading a tile copies its whole picture: sixteen at every frame would take a third of a core from the wall itself. Until
  // its first picture a tile is looked at at every frame; then they take turns of a second each.
  const TURN_MS = 1_000;
  const READ_MS = 5;
  const tiles = new Map(); // camera → { first, turns: [{ at, seen: [[moment, when it was seen] …] } …], degraded, looks }
  const state = { began: 0, looks: 0, reads: 0, tiles };
  let turn = -1;
  let turned = 0;
  const shown = () => [...document.querySelectorAll('[data-camera][data-state]')];
  const pictureOf = (tile) => tile.querySelector('canvas, video');
  function look() {
    requestAnimationFrame(look);
    if (!state.began) return;
    state.looks++;
    for (const tile of shown()) {
      if (!tiles.has(tile.dataset.camera)) tiles.set(tile.dataset.camera, { first: -1, last: 0, turns: [], degraded: 0, looks: 0 });
      const of = tiles.get(tile.dataset.camera);
      of.looks++;
      if (tile.dataset.degraded !== 'none') of.degraded++;
      if (of.first >= 0) continue;
      if (tile.dataset.state === 'live' && read(pictureOf(tile), of)) of.first = Date.now() - state.began;
    }
  }
  // Every few milliseconds: looking once a frame would add half a frame to each latency. No more than a tenth of the time.
  function take() {
    const start = performance.now();
    readTurn();
    setTimeout(take, Math.max(READ_MS, 9 * (performance.now() - start)));
  }
  function readTurn() {
    const all = shown().filter((tile) => tiles.get(tile.dataset.camera)?.first >= 0);
    if (!all.length) return;
    state.reads++;
    if (Date.now() - turned >= TURN_MS) {
      turned = Date.now();
      turn++;
      const of = tiles.get(all[turn % all.length].dataset.camera);
      of.turns.push({ at: turned, seen: [] });
      of.last = 0;
    }
    const tile = all[turn % all.length];
    const of = tiles.get(tile.dataset.camera);
    const moment = tile.dataset.state === 'live' ? read(pictureOf(tile), of) : null;
    // When the picture that was there already came is not known: it only begins the turn.
    if (moment && of.last && moment !== of.last) of.turns.at(-1)?.seen.push([moment, Date.now()]);
    if (moment) of.last = moment;
  }
  requestAnimationFrame(look);
  take();
  window.strips = state;
}

/** The value that a share `p` of the sorted list does not exceed. */
const quantile = (sorted, p) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] : NaN);
const sortedOf = (list) => [...list].sort((a, b) => a - b);

/** Figures of one run: `tiles` as the sampler kept them, in turns of `turnMs`. Turns of the first `settleMs` are not counted, nor
 * the last, which was cut off; drift is not theirs. */
export function figures(tiles, settleMs, turnMs = 1_000) {
  const all = [];
  let pictures = 0;
  let expected = 0;
  const drifts = [];
  const starts = tiles.flatMap((tile) => tile.turns.map((turn) => turn.at));
  const [begun, cut] = [Math.min(...starts), Math.max(...starts)];
  const counted = (tile) => tile.turns.filter((turn) => turn.at - begun >= settleMs && turn.at < cut);
  const steps = ({ seen }) => seen.slice(1).map(([moment], n) => moment - seen[n][0]);
  const period = quantile(sortedOf(tiles.flatMap(counted).flatMap(steps)), 0.5);
  for (const tile of tiles) {
    for (const { seen } of counted(tile)) {
      pictures += seen.length;
      const span = seen.length ? Math.round((seen.at(-1)[0] - seen[0][0]) / period) + 1 : 0;
      // Of a tile that stood still the turn itself says how many there should have been.
      expected += Math.max(span, Math.floor(turnMs / period) - 1);
    }
    const latencies = counted(tile).flatMap(({ seen }) => seen.map(([moment, at]) => at - moment));
    if (!latencies.length) continue;
    all.push(...latencies);
    const tenth = Math.max(1, Math.floor(latencies.length / 10));
    const middle = (list) => quantile(sortedOf(list), 0.5);
    drifts.push(middle(latencies.slice(-tenth)) - middle(latencies.slice(0, tenth)));
  }
  const sorted = sortedOf(all);
  const firsts = sortedOf(tiles.map((t) => t.first).filter((ms) => ms >= 0));
  return {
    tiles: tiles.length,
    tiles_read: tiles.filter((t) => t.turns.some((turn) => turn.seen.length > 2)).length,
    p50_ms: quantile(sorted, 0.5),
    p99_ms: quantile(sorted, 0.99),
    max_ms: sorted.at(-1) ?? NaN,
    first_picture_p50_ms: quantile(firsts, 0.5),
    first_picture_max_ms: firsts.at(-1) ?? NaN,
    pictures,
    dropped: Math.max(0, expected - pictures),
    dropped_percent: expected ? (Math.max(0, expected - pictures) / expected) * 100 : NaN,
    drift_ms: drifts.length ? drifts.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) : NaN,
    degraded_percent: (tiles.reduce((n, t) => n + t.degraded, 0) / Math.max(1, tiles.reduce((n, t) => n + t.looks, 0))) * 100,
  };
}
