// How large a picture is painted.
export interface Size {
  width: number;
  height: number;
}

/** The size of `picture` in a box of device pixels: whole within it, touching two of its edges, and never enlarged. */
export function fitted(picture: Size, box: Size | null): Size {
  const [pw, ph] = [picture.width, picture.height];
  if (!box || box.width < 1 || box.height < 1 || (box.width >= pw && box.height >= ph)) return { width: pw, height: ph };
  if (box.width * ph <= box.height * pw) return { width: box.width, height: Math.max(1, Math.round((box.width * ph) / pw)) };
  return { width: Math.max(1, Math.round((box.height * pw) / ph)), height: box.height };
}
