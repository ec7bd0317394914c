// What a player has of a recording: pieces with their pictures, gaps that are known, and where to ask on.
import { pictureTimes } from './fragments';

export interface Piece {
  /** Milliseconds since 1970, like all times here. */
  from: number;
  to: number;
  /** Where what follows begins; null at the live edge. */
  next: number | null;
  /** When each picture is shown. */
  pictures: number[];
}

/** Pieces nearer than this follow each other, ms. */
const JOIN_MS = 60;
/** Further than this behind, the live edge is asked again, ms. */
const EDGE_MS = 200;
/** A gap shorter than this is none: a picture stands still for so long. */
const GAP_MS = 1_000;

export const pieceOf = (data: ArrayBuffer, from: number, to: number, next: number | null): Piece => ({
  from, to, next, pictures: pictureTimes(data).map((s) => from + s * 1000),
});

export class Coverage {
  pieces: Piece[] = [];
  private gaps: { from: number; to: number; until: number }[] = [];

  clear(): void {
    this.pieces = [];
    this.gaps = [];
  }

  add(piece: Piece): void {
    // The live edge gives its last group of pictures again, longer.
    this.pieces = this.pieces.filter((p) => !(p.from >= piece.from - 1 && p.to <= piece.to + 1));
    this.pieces.push(piece);
    this.pieces.sort((a, b) => a.from - b.from);
    if (piece.next !== null && piece.next - piece.to > GAP_MS) this.gap(piece.to, piece.next);
  }

  /** Notes that nothing is recorded in between; `until`: when to look again, for what may still come. */
  gap(from: number, to: number, until = Infinity): void {
    this.gaps = [...this.gaps.filter((g) => g.to < from || g.from > to), { from, to, until }].slice(-50);
  }

  /** Where the gap around a moment ends; null when there is none known. */
  gapEnd(at: number, now: number): number | null {
    return this.gaps.find((g) => g.from <= at && at < g.to && now < g.until)?.to ?? null;
  }

  /** The last piece that follows without a hole on the one at this moment; undefined when there is none there. */
  chain(at: number): Piece | undefined {
    let last = this.pieces.findLast((p) => p.from <= at + 0.5 && at < p.to);
    if (!last) return undefined;
    for (const piece of this.pieces) if (piece.from <= last.to + JOIN_MS && piece.to > last.to) last = piece;
    return last;
  }

  /** Where to ask on after a piece; null when a gap comes, or at the edge. */
  onward(piece: Piece): { from: number; edge: boolean } | null {
    if (piece.next === null) return { from: Math.max(piece.from, piece.to - EDGE_MS), edge: true };
    return piece.next - piece.to > GAP_MS ? null : { from: piece.next, edge: false };
  }

  /** When the picture after or before the shown one is shown; null when it is not here. */
  step(at: number, direction: 1 | -1): number | null {
    // Pieces of the live edge hold pictures twice, their times a rounding apart.
    const all = this.pieces.flatMap((p) => p.pictures).sort((a, b) => a - b);
    const shown = all.findLast((t) => t <= at + 0.5);
    if (direction > 0) return all.find((t) => t > (shown ?? at) + 1) ?? null;
    return shown === undefined ? null : (all.findLast((t) => t < shown - 1) ?? null);
  }

  /** Forgets pieces that end before a moment; where the first that stays begins. */
  drop(before: number): number {
    this.pieces = this.pieces.filter((p) => p.to > before);
    return this.pieces[0]?.from ?? before;
  }
}
