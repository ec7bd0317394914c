// When the pictures of a fragmented MP4 are shown: its `moof` boxes, read as far as they are whole.
interface Cursor {
  view: DataView;
  at: number;
  end: number;
}

function* boxes({ view, at, end }: Cursor): Generator<{ type: string; body: Cursor }> {
  while (end - at >= 8) {
    const size = view.getUint32(at);
    if (size < 8 || size > end - at) return;
    const type = String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5), view.getUint8(at + 6), view.getUint8(at + 7));
    yield { type, body: { view, at: at + 8, end: at + size } };
    at += size;
  }
}

/** Seconds from the file's zero at which each picture is shown, in the order of showing. */
export function pictureTimes(data: ArrayBuffer, timescale = 90_000): number[] {
  const out: number[] = [];
  for (const top of boxes({ view: new DataView(data), at: 0, end: data.byteLength })) {
    if (top.type !== 'moof') continue;
    for (const traf of boxes(top.body)) {
      if (traf.type !== 'traf') continue;
      let base = 0;
      for (const { type, body } of boxes(traf.body)) {
        const { view, at, end } = body;
        if (type === 'tfdt' && end - at >= 12) base = Number(view.getBigUint64(at + 4));
        // Durations, sizes, flags and compositions of each, as the server writes them.
        if (type !== 'trun' || end - at < 12 || view.getUint32(at) !== 0x0100_0f01) continue;
        const count = Math.min(view.getUint32(at + 4), Math.floor((end - at - 12) / 16));
        for (let n = 0, dts = base; n < count; n++) {
          const entry = at + 12 + n * 16;
          out.push((dts + view.getInt32(entry + 12)) / timescale);
          dts += view.getUint32(entry);
        }
      }
    }
  }
  return out.sort((a, b) => a - b);
}
