// Digital zoom: the picture is moved and enlarged under a fixed window. Places are fractions of the window.
export interface Zoom {
  readonly scale: number;
  /** Where the picture's corner is: 0 at the window's, negative to the left and above. */
  readonly x: number;
  readonly y: number;
}
export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
export const MOST = 8;

const within = (scale: number, at: number): number => Math.min(0, Math.max(1 - scale, at));

/** Enlarges around a point that stays where it is. */
export function zoomAt(z: Zoom, fx: number, fy: number, factor: number): Zoom {
  const scale = Math.min(MOST, Math.max(1, z.scale * factor));
  if (scale < 1.01) return WHOLE;
  return { scale, x: within(scale, fx - ((fx - z.x) * scale) / z.scale), y: within(scale, fy - ((fy - z.y) * scale) / z.scale) };
}

/** Moves the picture, never beyond its edge. */
export const panBy = (z: Zoom, dx: number, dy: number): Zoom => ({ ...z, x: within(z.scale, z.x + dx), y: within(z.scale, z.y + dy) });
