/**
 * Times and durations as Go writes them in JSON. Time: RFC 3339, whole seconds, UTC. MicroTime: six
 * digits of fraction. Duration: `1h0m0s`. The zero time (year 1) stands for "not set" and is null.
 */

export interface Instant {
  /** Since 1970, negative before. */
  readonly seconds: number;
  readonly nanos: number;
}

/** Go's zero time, 0001-01-01T00:00:00Z. */
export const ZERO_SECONDS = -62_135_596_800;

const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isDate(year: number, month: number, day: number): boolean {
  const days = DAYS[month - 1];
  if (days === undefined || day < 1 || day > days) return false;
  if (month !== 2 || day < 29) return true;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

function digits(text: string, from: number, count: number): number {
  let value = 0;
  for (let i = from; i < from + count; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** Date and clock of the first 19 characters are well formed and exist. */
function hasValidStart(text: string): boolean {
  if (text[4] !== '-' || text[7] !== '-' || text[10] !== 'T') return false;
  if (text[13] !== ':' || text[16] !== ':') return false;
  const year = digits(text, 0, 4);
  if (!(year >= 0) || !isDate(year, digits(text, 5, 2), digits(text, 8, 2))) return false;
  return digits(text, 11, 2) < 24 && digits(text, 14, 2) < 60 && digits(text, 17, 2) < 60;
}

const INSTANT =
  /^(\d{4})-(\d\d)-(\d\d)T(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** RFC 3339 with or without fraction, as lenient as Go; undefined when it is none. */
export function parseInstant(text: string): Instant | undefined {
  const match = INSTANT.exec(text);
  if (match === null) return undefined;
  const part = (i: number): number => Number(match[i] ?? 0);
  if (!isDate(part(1), part(2), part(3))) return undefined;
  if (part(4) > 23 || part(5) > 59 || part(6) > 59 || part(9) > 24 || part(10) > 59) {
    return undefined;
  }
  const date = new Date(0);
  date.setUTCFullYear(part(1), part(2) - 1, part(3));
  const clock = part(4) * 3600 + part(5) * 60 + part(6);
  const offset = (part(9) * 60 + part(10)) * 60 * (match[8] === '-' ? -1 : 1);
  return {
    seconds: date.getTime() / 1000 + clock - offset,
    nanos: Number((match[7] ?? '').slice(0, 9).padEnd(9, '0')),
  };
}

/** `2024-05-01T10:00:00Z`; null for the zero time. */
export function formatTime(seconds: number): string | null {
  if (seconds === ZERO_SECONDS) return null;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

/** `2024-05-01T10:00:00.123456Z`; null for the zero time. */
export function formatMicroTime({ seconds, nanos }: Instant): string | null {
  if (seconds === ZERO_SECONDS && nanos === 0) return null;
  const micros = String(Math.trunc(nanos / 1000)).padStart(6, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${micros}Z`;
}

/** The canonical text, null for the zero time, undefined when `text` is no time. */
export function canonicalTime(text: string): string | null | undefined {
  const isCanonical = text.length === 20 && text.charCodeAt(19) === 90 && hasValidStart(text);
  if (isCanonical && !text.startsWith('0001-01-01T00:00:00')) return text;
  const instant = parseInstant(text);
  return instant === undefined ? undefined : formatTime(instant.seconds);
}

/** As canonicalTime; a micro time must carry exactly six digits of fraction. */
export function canonicalMicroTime(text: string): string | null | undefined {
  if (!/\.\d{6}(?:Z|[+-]\d\d:\d\d)$/.test(text)) return undefined;
  const instant = parseInstant(text);
  return instant === undefined ? undefined : formatMicroTime(instant);
}

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5, micro sign.
  μs: 1_000n, // U+03BC, Greek mu.
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** Nanoseconds of a Go duration (`1h30m`, `-1.5s`, `0`); undefined when it is none. */
export function parseDuration(text: string): bigint | undefined {
  const match = /^([+-]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (match === null) return undefined;
  let nanos = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of (match[2] ?? '').matchAll(
    /(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const size = UNIT_NANOS[unit] ?? 1n;
    nanos += BigInt(whole || 0) * size;
    if (fraction !== '') nanos += (BigInt(fraction) * size) / 10n ** BigInt(fraction.length);
  }
  return match[1] === '-' ? -nanos : nanos;
}

function trimFraction(nanos: bigint, unit: bigint): string {
  const fraction = String(nanos % unit)
    .padStart(String(unit).length - 1, '0')
    .replace(/0+$/, '');
  return `${nanos / unit}${fraction === '' ? '' : `.${fraction}`}`;
}

/** As Go prints a duration: `1h0m0s`, `1.5s`, `100ms`, `0s`. */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return '0s';
  if (nanos < 0n) return `-${formatDuration(-nanos)}`;
  if (nanos < 1_000n) return `${nanos}ns`;
  if (nanos < 1_000_000n) return `${trimFraction(nanos, 1_000n)}µs`;
  if (nanos < 1_000_000_000n) return `${trimFraction(nanos, 1_000_000n)}ms`;
  const seconds = trimFraction(nanos % 60_000_000_000n, 1_000_000_000n);
  const minutes = nanos / 60_000_000_000n;
  if (minutes === 0n) return `${seconds}s`;
  if (minutes < 60n) return `${minutes}m${seconds}s`;
  return `${minutes / 60n}h${minutes % 60n}m${seconds}s`;
}
