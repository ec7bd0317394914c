// Reads the moment that a virtual camera draws along the bottom of its pictures: 48 blocks of 8 × 8 pixels, 40 bits of
// milliseconds since 1970 and CRC-8 (polynomial 0x07) of them. Runs in the page: it must not refer to anything outside.
export function sampler() {
  const BLOCK = 8;
  const BITS = 48;
  const surface = document.createElement('canvas');
  surface.width = BITS * BLOCK;
  surface.height = 1;
  const paint = surface.getContext('2d', { willReadFrequently: true });

  /** The moment, milliseconds since 1970; null where the check does not fit. */
  function read(picture) {
    const height = picture.videoHeight ?? picture.height;
    if (!height) return null;
    paint.drawImage(picture, 0, height - BLOCK / 2, BITS * BLOCK, 1, 0, 0, BITS * BLOCK, 1);
    const row = paint.getImageData(0, 0, BITS * BLOCK, 1).data;
    const bytes = [0, 0, 0, 0, 0, 0];
    for (let n = 0; n < BITS; n++) if (row[(n * BLOCK + BLOCK / 2) * 4] > 125) bytes[n >> 3] |= 0x80 >> (n & 7);
    let crc = 0;
    for (const byte of bytes.slice(0, 5)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
    }
    const low = bytes.slice(0, 5).reduce((sum, byte) => sum * 256 + byte, 0);
    if (crc !== bytes[5] || low === 0) return null; // a canvas without a picture is black, and its check would fit
    const window = 2 ** 40;
    const now = Date.now();
    return low + Math.round((now - low) / window) * window;
  }

  const tiles = new Map(); // camera → { first, seen: [moment, when it was seen] …, degraded, looks }
  const state = { began: 0, looks: 0, tiles };
  function look() {
    requestAnimationFrame(look);
    if (!state.began) return;
    state.looks++;
    for (const tile of document.querySelectorAll('[data-camera][data-state]')) {
      const picture = tile.querySelector('canvas, video');
      let of = tiles.get(tile.dataset.camera);
      if (!of) tiles.set(tile.dataset.camera, (of = { first: -1, last: 0, seen: [], degraded: 0, looks: 0, unread: 0 }));
      of.looks++;
      if (tile.dataset.degraded !== 'none') of.degraded++;
      const moment = picture && read(picture);
      const now = Date.now();
      if (!moment) of.unread++;
      else if (moment !== of.last) {
        if (of.first < 0) of.first = now - state.began;
        of.last = moment;
        of.seen.push([moment, now]);
      }
    }
  }
  requestAnimationFrame(look);
  window.strips = state;
}

/** The value that a share `p` of the sorted list does not exceed. */
const quantile = (sorted, p) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] : NaN);
const sortedOf = (list) => [...list].sort((a, b) => a - b);

/** Figures of one run: `tiles` as the sampler kept them. Latencies of the first `settle_ms` are not counted, drift is not theirs. */
export function figures(tiles, settleMs) {
  const all = [];
  let pictures = 0;
  let expected = 0;
  const drifts = [];
  for (const { seen } of tiles) {
    const kept = seen.filter(([, at]) => at - seen[0][1] >= settleMs);
    if (kept.length < 3) continue;
    const latencies = kept.map(([moment, at]) => at - moment);
    all.push(...latencies);
    const gaps = sortedOf(kept.slice(1).map(([moment], n) => moment - kept[n][0]));
    const period = quantile(gaps, 0.5);
    pictures += kept.length;
    expected += Math.round((kept.at(-1)[0] - kept[0][0]) / period) + 1;
    const tenth = Math.max(1, Math.floor(kept.length / 10));
    const middle = (list) => quantile(sortedOf(list), 0.5);
    drifts.push(middle(latencies.slice(-tenth)) - middle(latencies.slice(0, tenth)));
  }
  const sorted = sortedOf(all);
  const firsts = sortedOf(tiles.map((t) => t.first).filter((ms) => ms >= 0));
  return {
    tiles: tiles.length,
    tiles_read: tiles.filter((t) => t.seen.length > 2).length,
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
