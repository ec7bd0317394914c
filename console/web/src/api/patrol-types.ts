// Wire types of video patrols: routes, rounds, their stops.

export interface PatrolStop {
  camera: string;
  /** The preset that its head is turned to first; may be empty. */
  preset: string;
  /** What to look at; may be empty. */
  look: string;
}
export interface PatrolRouteInput {
  name: string;
  stops: PatrolStop[];
}
export interface PatrolRoute extends PatrolRouteInput {
  id: string;
  by: string;
  at: string;
  walked_at: string | null;
}
export type PatrolVerdict = 'in_order' | 'abnormal' | 'unseen';
export interface PatrolRoundStop extends PatrolStop {
  picture: { id: string; sha256: string; at: string } | null;
  attest: { verdict: PatrolVerdict; note: string; at: string; work_order: string | null } | null;
}
export interface PatrolRound {
  id: string;
  route: string;
  name: string;
  by: string;
  began_at: string;
  ended_at: string | null;
  /** Why it ended before its last stop. */
  note: string;
  stops: PatrolRoundStop[];
}
