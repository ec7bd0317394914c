// Wire types of cars at the gates: passages, corrections, watch lists.
import type { Priority } from './types';

export interface Passage {
  id: string;
  lane: string;
  camera: string;
  direction: 'in' | 'out';
  at: string;
  plate: string;
  colour: string;
  confidence: number;
  latency_ms: number;
  picture: string | null;
  person: string | null;
  person_name: string;
  decision: 'opened' | 'asked' | 'refused' | 'opened_by_guard' | 'unread';
  by: string;
  note?: string;
  barrier: string;
  /** Frames that agreed on the text. */
  votes: number;
  /** By the limit of the reader that read it, or confirmed by a second one. */
  sure: boolean;
  /** Reads of this car that are one passage, and the last of them. */
  reads: number;
  last_at: string | null;
  /** Which way the car was seen to go; absent where it stood or was seen too briefly. */
  travel?: 'towards' | 'away';
  correction: Correction | null;
  /** Watch lists that the plate as read was on. */
  hits: WatchHit[];
  /** Of a search: whether the text is there as typed, or one that readers confuse with it. */
  hit?: 'exact' | 'near';
}
export interface Correction {
  text: string;
  reason: string;
  by: string;
  at: string;
}
/** What a correction leads to: the decision stands; this is what the corrected plate would have met. */
export interface Corrected {
  passage: Passage;
  stands: Passage['decision'];
  known: string;
  allowed: boolean;
  lists: string[];
}
export type Listing = 'wanted' | 'blocked' | 'welcome';
export interface WatchHit {
  list: string;
  name: string;
  listing: Listing;
  pattern: string;
  reason: string;
  near: boolean;
}
export interface WatchList {
  id: string;
  name: string;
  listing: Listing;
  alarm: Priority | null;
  opens: boolean;
  version: number;
  by: string;
  at: string;
  entries: number;
}
export interface WatchListInput {
  name: string;
  listing: Listing;
  alarm: Priority | null;
  opens: boolean;
  version?: number;
}
export interface WatchEntry {
  id: string;
  list: string;
  plate: string;
  note: string;
  valid_until: string | null;
  by: string;
  at: string;
}
export interface WatchEntryInput {
  plate: string;
  note: string;
  valid_until: string | null;
}
export interface Imported {
  added: number;
  changed: number;
  unchanged: number;
  errors: { line: number; column: number; code: string; message: string }[];
}
