// What a tile and its decoder say to each other.
import type { Stats } from './meter';

export type ToWorker =
  | { t: 'open'; url: string; canvas: OffscreenCanvas; offset: number }
  | { t: 'url'; url: string }
  | { t: 'offset'; offset: number }
  | { t: 'snapshot' }
  | { t: 'close' };

export type FromWorker = { t: 'stats'; stats: Stats } | { t: 'snapshot'; blob: Blob | null };
