// The workers that decode: a few for all tiles, and kept, because to start one costs more than to decode a second of pictures.
import type { FromTile, FromWorker, ToTile, ToWorker } from './messages';

/** A worker that broke is replaced after this, so that one that breaks at once does not spin. */
const REPLACE_MS = 1_000;

export interface Heard {
  said(message: FromTile): void;
  /** Its worker broke: the canvas is lost with it. */
  lost(): void;
}

/** One tile's line to its decoder. */
export interface TileLine {
  tell(ask: ToTile, transfer?: Transferable[]): void;
  close(): void;
}

interface Crew {
  worker: Worker;
  tiles: Map<number, Heard>;
}

export class Decoders {
  private readonly crews: Crew[] = [];
  private next = 0;

  /** `most`: workers at once. */
  constructor(private readonly start: () => Worker, private readonly most: number) {}

  /** Starts what will be needed. */
  warm(): void {
    while (this.crews.length < this.most) this.hire();
  }

  /** A line to a decoder of its own, in the worker with the fewest. */
  open(heard: Heard): TileLine {
    this.warm();
    const crew = this.crews.reduce((least, crew) => (crew.tiles.size < least.tiles.size ? crew : least));
    const tile = this.next++;
    crew.tiles.set(tile, heard);
    const tell = (ask: ToTile, transfer: Transferable[] = []) => crew.worker.postMessage({ tile, ask } satisfies ToWorker, transfer);
    return {
      tell,
      close: () => {
        if (crew.tiles.delete(tile)) tell({ t: 'close' });
      },
    };
  }

  private hire(): void {
    const crew: Crew = { worker: this.start(), tiles: new Map() };
    crew.worker.onmessage = (ev: MessageEvent<FromWorker>) => crew.tiles.get(ev.data.tile)?.said(ev.data.said);
    crew.worker.onerror = (broken) => {
      broken.preventDefault();
      console.warn(`a decoder broke and is replaced: ${broken.message}`);
      const at = this.crews.indexOf(crew);
      if (at < 0) return;
      this.crews.splice(at, 1);
      crew.worker.terminate();
      const lost = [...crew.tiles.values()];
      crew.tiles.clear();
      setTimeout(() => lost.forEach((heard) => heard.lost()), REPLACE_MS);
    };
    this.crews.push(crew);
  }
}

/** Those of this page. */
export const decoders = new Decoders(
  () => new Worker(new URL('./decode.worker.ts', import.meta.url), { type: 'module', name: 'video' }),
  4,
);
