/** Go's words for values that its standard library cannot parse: times, durations, base64. */
import { utf8Length, writeUtf8 } from './utf8.ts';

/** As Go's time package quotes: bytes beyond ASCII in hexadecimal. */
function quote(text: string): string {
  const bytes = new Uint8Array(utf8Length(text));
  writeUtf8(bytes, 0, text);
  let out = '"';
  for (const byte of bytes) {
    if (byte === 0x22 || byte === 0x5c) out += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 0x20 && byte < 0x80) out += String.fromCharCode(byte);
    else out += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `${out}"`;
}

interface Element {
  readonly name: string;
  /** How many digits, or a text that must follow. */
  readonly digits?: readonly [min: number, max: number];
  readonly text?: string;
  readonly range?: readonly [min: number, max: number, error: string];
}

const number2 = (name: string, min: number, max: number, error: string, shortest = 2): Element => ({
  name,
  digits: [shortest, 2],
  range: [min, max, error],
});

const ELEMENTS: readonly Element[] = [
  { name: '2006', digits: [4, 4] },
  { name: '-', text: '-' },
  number2('01', 1, 12, 'month'),
  { name: '-', text: '-' },
  number2('02', 1, 31, 'day'),
  { name: 'T', text: 'T' },
  number2('15', 0, 23, 'hour', 1),
  { name: ':', text: ':' },
  number2('04', 0, 59, 'minute'),
  { name: ':', text: ':' },
  number2('05', 0, 59, 'second'),
];

/** Why Go cannot parse `text` as a Time, or a MicroTime with its six digits. */
export function timeError(text: string, isMicro: boolean): string {
  const fraction = isMicro ? '.000000' : '';
  const layout = `2006-01-02T15:04:05${fraction}Z07:00`;
  const quoted = quote(text);
  let rest = text;
  const cannot = (name: string): string =>
    `parsing time ${quoted} as "${layout}": cannot parse ${quote(rest)} as "${name}"`;
  for (const { name, digits, text: wanted, range } of ELEMENTS) {
    if (wanted !== undefined) {
      if (!rest.startsWith(wanted)) return cannot(name);
      rest = rest.slice(wanted.length);
    } else if (digits !== undefined) {
      const found = new RegExp(`^\\d{${digits[0]},${digits[1]}}`).exec(rest)?.[0];
      if (found === undefined) return cannot(name);
      if (range !== undefined && (Number(found) < range[0] || Number(found) > range[1])) {
        return `parsing time ${quoted}: ${range[2]} out of range`;
      }
      rest = rest.slice(found.length);
    }
  }
  if (isMicro) {
    if (!/^[.,]\d{6}/.test(rest)) return cannot(fraction);
    rest = rest.slice(7);
  } else {
    rest = rest.replace(/^[.,]\d+/, '');
  }
  const zone = /^(?:Z|[+-](\d\d):(\d\d))/.exec(rest);
  if (zone === null) return cannot('Z07:00');
  if (Number(zone[1] ?? 0) > 24)
    return `parsing time ${quoted}: time zone offset hour out of range`;
  if (Number(zone[2] ?? 0) > 59) {
    return `parsing time ${quoted}: time zone offset minute out of range`;
  }
  rest = rest.slice(zone[0].length);
  if (rest !== '') return `parsing time ${quoted}: extra text: ${quote(rest)}`;
  return `parsing time ${quoted}: day out of range`;
}

/** Why Go cannot parse `text` as a duration. */
export function durationError(text: string): string {
  const quoted = quote(text);
  const unitless = /^[+-]?(?:[\d.]+[a-zµμ]+)*(?:\d+\.?\d*|\.\d+)$/.test(text);
  if (unitless) return `time: missing unit in duration ${quoted}`;
  for (const [, unit = ''] of text.matchAll(/[\d.]([^\d.]+)/g)) {
    if (!/^(?:ns|us|µs|μs|ms|s|m|h)$/.test(unit) && /^[+-]?[\d.]/.test(text)) {
      return `time: unknown unit ${quote(unit)} in duration ${quoted}`;
    }
  }
  return `time: invalid duration ${quoted}`;
}

/** Why Go cannot decode `text` as standard base64; undefined when it can. */
export function base64Error(text: string): string | undefined {
  const corrupt = (at: number): string => `illegal base64 data at input byte ${at}`;
  const digits: number[] = []; // Offsets of the current group of four.
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? '';
    if (character === '\n' || character === '\r') continue;
    if (character === '=') {
      if (digits.length < 2) return corrupt(i);
      let end = i + 1;
      while (/^[\r\n]$/.test(text[end] ?? '')) end += 1;
      if (digits.length === 2) {
        if (text[end] !== '=') return corrupt(end);
        end += 1;
      }
      while (/^[\r\n]$/.test(text[end] ?? '')) end += 1;
      return end < text.length ? corrupt(end) : undefined;
    }
    if (!/^[A-Za-z0-9+/]$/.test(character)) return corrupt(i);
    if (digits.length === 0) start = i;
    digits.push(i);
    if (digits.length === 4) digits.length = 0;
  }
  return digits.length === 0 ? undefined : corrupt(start);
}
