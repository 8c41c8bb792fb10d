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

/** Days since 1970-01-01 of a date of the Gregorian calendar, years counted from March. */
function daysOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

const pad2 = (n: number): string => (n < 10 ? `0${n}` : `${n}`);

/** `2024-05-01T10:00:00`, the inverse of daysOf and a clock. */
function formatSeconds(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const clock = seconds - days * 86_400;
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const date = `${String(year).padStart(4, '0')}-${pad2(month)}-${pad2(day)}`;
  const minutes = Math.floor(clock / 60);
  return `${date}T${pad2(Math.floor(minutes / 60))}:${pad2(minutes % 60)}:${pad2(clock % 60)}`;
}

/** Of the first 19 characters, which hasValidStart accepts. */
function secondsOf(text: string): number {
  const days = daysOf(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2));
  const clock = digits(text, 11, 2) * 3600 + digits(text, 14, 2) * 60 + digits(text, 17, 2);
  return days * 86_400 + clock;
}

const isCanonical = (text: string): boolean =>
  text.length === 20 && text.charCodeAt(19) === 90 && hasValidStart(text);

const TAIL = /^(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** RFC 3339 with or without fraction, as lenient as Go; undefined when it is none. */
export function parseInstant(text: string): Instant | undefined {
  if (isCanonical(text)) return { seconds: secondsOf(text), nanos: 0 };
  // Go takes an hour of one digit.
  const padded = /^.{11}\d:/.test(text) ? `${text.slice(0, 11)}0${text.slice(11)}` : text;
  const tail = hasValidStart(padded) ? TAIL.exec(padded.slice(19)) : null;
  if (tail === null) return undefined;
  const [, fraction = '', sign, hours = '0', minutes = '0'] = tail;
  if (Number(hours) > 24 || Number(minutes) > 59) return undefined;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60 * (sign === '-' ? -1 : 1);
  return {
    seconds: secondsOf(padded) - offset,
    nanos: Number(fraction.slice(0, 9).padEnd(9, '0')),
  };
}

/** `2024-05-01T10:00:00Z`; null for the zero time. */
export function formatTime(seconds: number): string | null {
  return seconds === ZERO_SECONDS ? null : `${formatSeconds(seconds)}Z`;
}

/** `2024-05-01T10:00:00.123456Z`; null for the zero time. */
export function formatMicroTime({ seconds, nanos }: Instant): string | null {
  if (seconds === ZERO_SECONDS && nanos === 0) return null;
  return `${formatSeconds(seconds)}.${String(Math.trunc(nanos / 1000)).padStart(6, '0')}Z`;
}

/** The canonical text, null for the zero time, undefined when `text` is no time. */
export function canonicalTime(text: string): string | null | undefined {
  if (isCanonical(text) && !text.startsWith('0001-01-01T00:00:00')) return text;
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
