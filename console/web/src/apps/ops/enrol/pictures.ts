// What an enrolment still wants, and pictures as the server is sent them: JPEG, upright, no larger than is of use.
import type { FaceCheck, FacePose } from '../../../api/types';

/** Fewest and most photographs of one person, as the server takes them. */
export const FEWEST = 3;
export const MOST = 5;
const POSES: readonly FacePose[] = ['straight', 'left', 'right'];
/** The long side a picture is sent with. */
const LONG_SIDE = 1280;
/** How far the face's middle may be from the picture's, as a share of it. */
const OFF_MIDDLE = 0.16;

export interface Shot {
  blob: Blob;
  url: string;
  pose: FacePose;
}

/** The pose that is wanted next, or null when there are enough of each. */
export function wanted(shots: readonly Pick<Shot, 'pose'>[]): FacePose | null {
  return POSES.find((pose) => !shots.some((shot) => shot.pose === pose)) ?? null;
}

/** What to tell who stands before the camera: a reason of the server, or what to do next; `held` when the picture is the one wanted. */
export function advice(check: FaceCheck | null, want: FacePose | null): { held: boolean; code: string } {
  if (want === null) return { held: false, code: 'want.enough' };
  if (!check) return { held: false, code: `want.${want}` };
  if (!check.accepted) return { held: false, code: `problem.${check.problem ?? ''}` };
  if (!inMiddle(check.face)) return { held: false, code: 'want.middle' };
  return { held: check.pose === want, code: `want.${want}` };
}

export function inMiddle(face: FaceCheck['face']): boolean {
  if (!face) return false;
  const [x, y, w, h] = face;
  return Math.abs(x + w / 2 - 0.5) <= OFF_MIDDLE && Math.abs(y + h / 2 - 0.5) <= 2 * OFF_MIDDLE;
}

/** A picture of what a video or bitmap shows. */
export function jpeg(source: CanvasImageSource, width: number, height: number): Promise<Blob | null> {
  const scale = Math.min(1, LONG_SIDE / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext('2d')?.drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.92));
}

/** A file turned upright by what its camera noted; null when the browser cannot read it. */
export async function fromFile(file: Blob): Promise<Blob | null> {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
    const blob = await jpeg(bitmap, bitmap.width, bitmap.height);
    bitmap.close();
    return blob;
  } catch {
    return null;
  }
}
