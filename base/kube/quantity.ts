/**
 * Kubernetes resource quantities: exact numbers with a suffix (`500m`, `1Gi`, `12e6`), parsed,
 * printed and computed as upstream v1.36 does (apimachinery/pkg/api/resource). Pure; used by the
 * API server's codecs, scheduler, controllers and kubelet.
 *
 * Value = mantissa * 10^exponent, exponent >= -9 (smaller parts are rounded away from zero). Binary
 * suffixes only choose how the number is printed.
 *
 * | suffix                  | factor           | format          |
 * |-------------------------|------------------|-----------------|
 * | n u m (none) k M G T P E| 10^-9 .. 10^18   | DecimalSI       |
 * | Ki Mi Gi Ti Pi Ei       | 2^10 .. 2^60     | BinarySI        |
 * | e3, E-2                 | 10^N             | DecimalExponent |
 */

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

export interface Quantity {
  readonly mantissa: bigint;
  /** Power of ten, at least -9. */
  readonly exponent: number;
  readonly format: QuantityFormat;
  /** Set when upstream prints the text as it was written, although not in canonical form. */
  readonly text?: string | undefined;
}

export type QuantityErrorCode = 'FORMAT' | 'NUMERIC' | 'SUFFIX';

const MESSAGES: Readonly<Record<QuantityErrorCode, string>> = {
  FORMAT:
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  NUMERIC: 'unable to parse numeric part of quantity',
  SUFFIX: "unable to parse quantity's suffix",
};

/** The text is no quantity; the message is upstream's. */
export class QuantityError extends Error {
  override readonly name = 'QuantityError';
  readonly code: QuantityErrorCode;

  constructor(code: QuantityErrorCode) {
    super(MESSAGES[code]);
    this.code = code;
  }
}

const NANO = -9;
const INT64_MAX = 2n ** 63n - 1n;
/** Bounds the work of aligning two numbers; upstream has no bound and can be made to hang. */
const EXPONENT_MAX = 1000;

const DECIMAL_SUFFIXES = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const DECIMAL = new Map(DECIMAL_SUFFIXES.map((suffix, i) => [suffix, (i - 3) * 3]));
const BINARY_SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const BINARY = new Map(BINARY_SUFFIXES.slice(1).map((suffix, i) => [suffix, (i + 1) * 10]));

interface Suffix {
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly format: QuantityFormat;
}

function parseSuffix(text: string): Suffix {
  const decimal = DECIMAL.get(text);
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: 'DecimalSI' };
  const binary = BINARY.get(text);
  if (binary !== undefined) return { base: 2, exponent: binary, format: 'BinarySI' };
  if (!/^[eE][+-]?\d+$/.test(text)) throw new QuantityError('SUFFIX');
  const exponent = Number(text.slice(1));
  if (Math.abs(exponent) > EXPONENT_MAX) throw new QuantityError('SUFFIX');
  return { base: 10, exponent, format: 'DecimalExponent' };
}

function abs(n: bigint): bigint {
  return n < 0n ? -n : n;
}

/** `mantissa` * 10^(from - to), rounded away from zero. */
function rescale(mantissa: bigint, from: number, to: number): bigint {
  if (from >= to) return mantissa * 10n ** BigInt(from - to);
  const divisor = 10n ** BigInt(to - from);
  const quotient = mantissa / divisor;
  if (quotient * divisor === mantissa) return quotient;
  return mantissa < 0n ? quotient - 1n : quotient + 1n;
}

/** Whether upstream's fast path takes the number; only there is the text kept as written. */
function isShort(suffix: Suffix, digits: string, fraction: string): boolean {
  if (suffix.base === 10) {
    return digits.length + fraction.length <= 18 && suffix.exponent - fraction.length >= NANO;
  }
  if (fraction !== '') return false;
  const precision = 15 - digits.length - Math.trunc((suffix.exponent * 3) / 10) - 1;
  return precision >= 0 && BigInt(digits) * 2n ** BigInt(suffix.exponent) <= INT64_MAX;
}

function keepsText(suffix: Suffix, digits: string, fraction: string): boolean {
  if (suffix.base === 2) return (BigInt(digits) & 7n) !== 0n;
  const shifted = digits + fraction;
  const scale = suffix.exponent - fraction.length;
  return scale % 3 === 0 && !shifted.endsWith('000') && !shifted.startsWith('0');
}

/** Throws QuantityError with upstream's text. */
export function parseQuantity(text: string): Quantity {
  if (text === '') throw new QuantityError('FORMAT');
  const match = /^([+-]?)0*(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)$/.exec(text);
  if (match === null) throw new QuantityError('FORMAT');
  const [, sign, wholeDigits, fraction = '', suffixText = ''] = match;
  const suffix = parseSuffix(suffixText);
  const digits = wholeDigits === '' || wholeDigits === undefined ? '0' : wholeDigits;
  const negative = sign === '-';
  let mantissa = BigInt(digits + fraction);
  let exponent = -fraction.length;
  if (suffix.base === 10) exponent += suffix.exponent;
  else mantissa *= 2n ** BigInt(suffix.exponent);
  let format = suffix.format;
  if (isShort(suffix, digits, fraction)) {
    if (negative) mantissa = -mantissa;
    if (keepsText(suffix, digits, fraction)) return { mantissa, exponent, format, text };
    return { mantissa, exponent, format };
  }
  if (!/^[+-]?\.?\d/.test(text)) throw new QuantityError('NUMERIC');
  if (exponent < NANO) {
    mantissa = rescale(mantissa, exponent, NANO);
    exponent = NANO;
  }
  if (format === 'BinarySI') {
    if (mantissa > rescale(INT64_MAX, 0, exponent)) [mantissa, exponent] = [INT64_MAX, 0];
    else if (mantissa > 0n && mantissa < rescale(1n, 0, exponent)) format = 'DecimalSI';
  }
  return { mantissa: negative ? -mantissa : mantissa, exponent, format };
}

function formatDecimal(q: Quantity, format: QuantityFormat): string {
  let { mantissa, exponent } = q;
  while (mantissa % 10n === 0n) {
    mantissa /= 10n;
    exponent += 1;
  }
  while (exponent % 3 !== 0) {
    mantissa *= 10n;
    exponent -= 1;
  }
  const suffix = DECIMAL_SUFFIXES[exponent / 3 + 3];
  if (format === 'DecimalSI' && suffix !== undefined) return `${mantissa}${suffix}`;
  return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
}

/** The text that upstream prints; canonical unless the quantity keeps its own text. */
export function formatQuantity(q: Quantity): string {
  if (q.text !== undefined) return q.text;
  if (q.mantissa === 0n) return '0';
  if (q.format !== 'BinarySI') return formatDecimal(q, q.format);
  const value = rescale(q.mantissa, q.exponent, 0);
  const isExact =
    rescale(value, 0, Math.min(q.exponent, 0)) ===
    rescale(q.mantissa, q.exponent, Math.min(q.exponent, 0));
  // Small numbers and fractions would lose digits in a binary unit.
  if (!isExact || abs(value) < 1024n) return formatDecimal(q, 'DecimalSI');
  let mantissa = value;
  let unit = 0;
  while (unit < BINARY_SUFFIXES.length - 1 && mantissa % 1024n === 0n) {
    mantissa /= 1024n;
    unit += 1;
  }
  return `${mantissa}${BINARY_SUFFIXES[unit]}`;
}

const PLAIN = /^[1-9]\d{0,2}(?:[numkMGTPE]|[KMGT]i)?$/;

/** The text as upstream prints it after reading `text`. Throws QuantityError. */
export function canonicalQuantity(text: string): string {
  // Up to three digits and a unit are canonical: nearly every quantity of a pod.
  if (PLAIN.test(text)) return text;
  return formatQuantity(parseQuantity(text));
}

/** Negative, zero or positive as a < b, a = b, a > b. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  const scale = Math.min(a.exponent, b.exponent);
  const left = rescale(a.mantissa, a.exponent, scale);
  const right = rescale(b.mantissa, b.exponent, scale);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The sum, in the format of `a` unless that is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  const exponent = Math.min(a.exponent, b.exponent);
  const mantissa =
    rescale(a.mantissa, a.exponent, exponent) + rescale(b.mantissa, b.exponent, exponent);
  return { mantissa, exponent, format: a.mantissa === 0n ? b.format : a.format };
}

/** The difference, in the format of `a` unless that is zero. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return addQuantities(a, { mantissa: -b.mantissa, exponent: b.exponent, format: b.format });
}

export function multiplyQuantity(q: Quantity, factor: number): Quantity {
  return { mantissa: q.mantissa * BigInt(factor), exponent: q.exponent, format: q.format };
}

export function isZeroQuantity(q: Quantity): boolean {
  return q.mantissa === 0n;
}

/** ceil(q), away from zero: bytes, counts. Exact up to 2^53. */
export function quantityValue(q: Quantity): number {
  return Number(rescale(q.mantissa, q.exponent, 0));
}

/** ceil(q * 1000), away from zero: milli-CPUs. Exact up to 2^53. */
export function quantityMilliValue(q: Quantity): number {
  return Number(rescale(q.mantissa, q.exponent, -3));
}

export function quantityFromValue(value: number | bigint, format: QuantityFormat): Quantity {
  return { mantissa: BigInt(value), exponent: 0, format };
}

export function quantityFromMilliValue(value: number | bigint, format: QuantityFormat): Quantity {
  return { mantissa: BigInt(value), exponent: -3, format };
}
