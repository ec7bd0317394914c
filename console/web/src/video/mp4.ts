// Fragmented MP4 in memory, for browsers without WebCodecs (any page that is not a secure context): ISO/IEC 14496-12
// boxes around the access units as they come, one fragment per frame.
const enc = new TextEncoder();

function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}
const u16 = (n: number) => new Uint8Array([n >> 8, n & 255]);
const u32 = (n: number) => new Uint8Array([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
const u64 = (n: number) => concat([u32(Math.floor(n / 2 ** 32)), u32(n >>> 0)]);
const zeros = (n: number) => new Uint8Array(n);

function box(type: string, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = concat(parts);
  return concat([u32(body.length + 8), enc.encode(type), body]);
}
const full = (type: string, version: number, flags: number, ...parts: Uint8Array[]) =>
  box(type, u32(version * 2 ** 24 + flags), ...parts);

const MATRIX = concat([u32(0x10000), zeros(12), u32(0x10000), zeros(12), u32(0x40000000)]);

/** The initialisation segment of one track, H.264 or H.265 by its `codec` (RFC 6381); `record`: the body of avcC or hvcC. */
export function initSegment(codec: string, record: Uint8Array, width: number, height: number, timescale: number): Uint8Array<ArrayBuffer> {
  const [entry, holder] = codec.startsWith('hev1') ? ['hev1', 'hvcC'] as const : codec.startsWith('hvc1') ? ['hvc1', 'hvcC'] as const : ['avc1', 'avcC'] as const;
  const ftyp = box('ftyp', enc.encode('isom'), u32(1), enc.encode(`isom${entry}`));
  const mvhd = full('mvhd', 0, 0, zeros(8), u32(timescale), u32(0), u32(0x10000), u16(0x100), zeros(10), MATRIX, zeros(24), u32(2));
  const tkhd = full('tkhd', 0, 3, zeros(8), u32(1), zeros(4), u32(0), zeros(16), MATRIX, u32(width << 16), u32(height << 16));
  const mdhd = full('mdhd', 0, 0, zeros(8), u32(timescale), u32(0), u16(0x55c4), u16(0));
  const hdlr = full('hdlr', 0, 0, zeros(4), enc.encode('vide'), zeros(12), enc.encode('v\0'));
  const dinf = box('dinf', full('dref', 0, 0, u32(1), full('url ', 0, 1)));
  const sample = box(
    entry, zeros(6), u16(1), zeros(16), u16(width), u16(height), u32(0x480000), u32(0x480000), zeros(4), u16(1),
    zeros(32), u16(0x18), u16(0xffff), box(holder, record),
  );
  const stbl = box(
    'stbl', full('stsd', 0, 0, u32(1), sample), full('stts', 0, 0, u32(0)), full('stsc', 0, 0, u32(0)),
    full('stsz', 0, 0, u32(0), u32(0)), full('stco', 0, 0, u32(0)),
  );
  const minf = box('minf', full('vmhd', 0, 1, zeros(8)), dinf, stbl);
  const trak = box('trak', tkhd, box('mdia', mdhd, hdlr, minf));
  const mvex = box('mvex', full('trex', 0, 0, u32(1), u32(1), u32(0), u32(0), u32(0)));
  return concat([ftyp, box('moov', mvhd, trak, mvex)]);
}

/** One access unit as a fragment; times in the track's timescale. */
export function mediaSegment(seq: number, at: number, duration: number, key: boolean, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const mfhd = full('mfhd', 0, 0, u32(seq));
  const tfhd = full('tfhd', 0, 0x20000, u32(1));
  const tfdt = full('tfdt', 1, 0, u64(at));
  const flags = key ? 0x02000000 : 0x01010000; // depends on nothing | depends on others, not a sync sample
  const trun = (offset: number) => full('trun', 0, 0x701, u32(1), u32(offset), u32(duration), u32(data.length), u32(flags));
  const size = box('moof', mfhd, box('traf', tfhd, tfdt, trun(0))).length;
  return concat([box('moof', mfhd, box('traf', tfhd, tfdt, trun(size + 8))), box('mdat', data)]);
}
