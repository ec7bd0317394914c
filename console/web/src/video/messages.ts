// What a tile and its decoder say to each other, through the worker that both share with other tiles.
import type { Size } from './fitted';
import type { Stats } from './meter';

export type ToTile =
  | { t: 'open'; url: string; canvas: OffscreenCanvas; offset: number }
  | { t: 'url'; url: string }
  | { t: 'offset'; offset: number }
  /** Room for the picture in device pixels; none: as large as it was sent. */
  | { t: 'size'; box: Size | null }
  | { t: 'snapshot' }
  | { t: 'close' };

/** `at`: when the picture was taken, milliseconds on the server's clock; 0 where the camera did not say. */
export type FromTile = { t: 'stats'; url: string; stats: Stats } | { t: 'snapshot'; blob: Blob | null; at: number };

export interface ToWorker {
  tile: number;
  ask: ToTile;
}

export interface FromWorker {
  tile: number;
  said: FromTile;
}
