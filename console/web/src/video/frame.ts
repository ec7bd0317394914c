// One binary message of /ws/video: a 24-byte header and an AVCC access unit.
//
//   0      1 byte   flags: bit 0 key frame, bit 1 frames were skipped before this one
//   1..8   7 bytes  zero
//   8..16  i64 BE   capture time, Unix microseconds on the server's clock
//   16..24 i64 BE   presentation time, 90 kHz
//   24..            NAL units, each after its 4-byte length
export const HEADER = 24;

export interface Frame {
  key: boolean;
  skipped: boolean;
  captureUs: number;
  pts: number;
  data: Uint8Array;
}

/** Reads a message; `null` when it is too short to be one. */
export function readFrame(buffer: ArrayBuffer): Frame | null {
  if (buffer.byteLength <= HEADER) return null;
  const view = new DataView(buffer);
  const flags = view.getUint8(0);
  return {
    key: (flags & 1) !== 0,
    skipped: (flags & 2) !== 0,
    captureUs: Number(view.getBigInt64(8)),
    pts: Number(view.getBigInt64(16)),
    data: new Uint8Array(buffer, HEADER),
  };
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}
