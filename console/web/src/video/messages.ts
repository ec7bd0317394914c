// What a tile and its decoder say to each other.
import type { Stats } from './meter';

export type ToWorker =
  | { t: 'open'; url: string; canvas: OffscreenCanvas; offset: number }
  | { t: 'url'; url: string }
  | { t: 'offset'; offset: number }
  | { t: 'snapshot' }
  | { t: 'close' };

/** `at`: when the picture was taken, milliseconds on the server's clock; 0 where the camera did not say. */
export type FromWorker = { t: 'stats'; url: string; stats: Stats } | { t: 'snapshot'; blob: Blob | null; at: number };
