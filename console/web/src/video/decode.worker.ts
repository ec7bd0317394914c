// Decodes the pictures of some tiles, off the main thread.
import { Beat } from './beat';
import { TileDecoder } from './decoder';
import type { FromWorker, ToWorker } from './messages';

const scope = self as unknown as DedicatedWorkerGlobalScope;
const tiles = new Map<number, TileDecoder>();
const beat = new Beat();

scope.onmessage = (ev: MessageEvent<ToWorker>) => {
  const { tile, ask } = ev.data;
  if (ask.t === 'open') {
    tiles.set(tile, new TileDecoder(ask.canvas, ask.url, ask.offset, beat, (said) => scope.postMessage({ tile, said } satisfies FromWorker)));
    return;
  }
  const decoder = tiles.get(tile);
  switch (ask.t) {
    case 'url':
      decoder?.turnTo(ask.url);
      break;
    case 'offset':
      if (decoder) decoder.offset = ask.offset;
      break;
    case 'size':
      decoder?.resize(ask.box);
      break;
    case 'snapshot':
      decoder?.snapshot();
      break;
    case 'close':
      decoder?.close();
      tiles.delete(tile);
      break;
  }
};
