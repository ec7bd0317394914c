// Which of a camera's two streams is shown: the wished one, unless this browser cannot read it and can read the other; where it
// knows the codec of neither, the server makes one small.
export type Which = 'main' | 'sub';

export interface Failure {
  /** RFC 6381. */
  codec: string;
  /** `unsupported`: the browser does not know the codec; `undecodable`: it gave up on what came. */
  why: 'unsupported' | 'undecodable';
}
export type Failures = Partial<Record<Which, Failure>>;

export const otherOf = (which: Which): Which => (which === 'main' ? 'sub' : 'main');

export const pick = (wish: Which, failed: Failures): Which => (failed[wish] && !failed[otherOf(wish)] ? otherOf(wish) : wish);

/** Whether the server must transcode: the codecs of both are unknown here. */
export const needsTranscode = (failed: Failures): boolean => failed.main?.why === 'unsupported' && failed.sub?.why === 'unsupported';

/** What a stream's state says of it; `failed` itself when nothing new. */
export function learn(failed: Failures, which: Which, state: string, codec: string): Failures {
  if (state === 'live') {
    if (!failed[which]) return failed;
    const { [which]: _, ...rest } = failed;
    return rest;
  }
  if ((state !== 'unsupported' && state !== 'undecodable') || failed[which]?.why === state) return failed;
  return { ...failed, [which]: { codec, why: state } };
}

/** A codec as people call it. */
export function codecName(codec: string): string {
  const names: Record<string, string> = { avc1: 'H.264', avc3: 'H.264', hvc1: 'H.265', hev1: 'H.265', av01: 'AV1', vp09: 'VP9', mjpg: 'MJPEG' };
  return names[codec.slice(0, 4).toLowerCase()] ?? codec;
}
