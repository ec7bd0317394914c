// Moments as numbers: milliseconds since 1970, with the microseconds behind the point.

/** RFC 3339 with microseconds; what the server reads back as the same moment. */
export function rfc3339(ms: number): string {
  const us = Math.round(ms * 1000);
  const second = Math.floor(us / 1e6);
  return `${new Date(second * 1000).toISOString().slice(0, 19)}.${String(us - second * 1e6).padStart(6, '0')}Z`;
}

/** The moment of an RFC 3339 text in UTC, its microseconds kept; NaN when it is none. */
export function momentOf(text: string): number {
  const found = /^(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  return found ? Date.parse(`${found[1]}${found[3]}`) + Number(`0${found[2] ?? ''}`) * 1000 : NaN;
}

function parts(ms: number, zone: string | undefined): Record<string, string> {
  const options: Intl.DateTimeFormatOptions = {
    year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
  };
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone });
  } catch {
    format = new Intl.DateTimeFormat('en-GB', options); // a zone this browser does not know
  }
  return Object.fromEntries(format.formatToParts(ms).map((p) => [p.type, p.value]));
}

/** What a field for a date and time shows of a moment, on the clocks of a zone. */
export function civil(ms: number, zone?: string): string {
  const p = parts(ms, zone);
  return `${p.year}-${p.month}-${p.day}T${p.hour}:${p.minute}:${p.second}`;
}

/** The moment that a field's date and time is on the clocks of a zone; NaN when it is none. */
export function fromCivil(text: string, zone?: string): number {
  const wanted = Date.parse(`${text}Z`);
  if (Number.isNaN(wanted)) return NaN;
  const offset = (ms: number) => Date.parse(`${civil(ms, zone)}Z`) - Math.floor(ms / 1000) * 1000;
  // Twice: the offset may be another one on the other side of a change to summer time.
  const once = wanted - offset(wanted);
  return wanted - offset(once);
}

/** Minutes that a zone's clocks are ahead of UTC. */
export const zoneMinutes = (ms: number, zone?: string): number =>
  Math.round((Date.parse(`${civil(ms, zone)}Z`) - ms) / 60_000);
