/**
 * Errors of single fields, as the API reports them: a type, the field's path, the offending value and
 * a detail. A rule appends to a FieldErrors in the order in which upstream checks, because the order
 * shows in the Status. `renderFieldError` yields the text of one cause; the caller joins them.
 *
 * Paths are plain strings: `spec.containers[0].name`, `data[a key]`.
 * Source of the forms: apimachinery v0.36.3 pkg/util/validation/field.
 */
import type { StatusCause } from '#base/kube/api/meta-v1.gen.ts';
import type { FieldError } from '../resource.ts';

export type { FieldError } from '../resource.ts';

export type FieldErrorType =
  | 'FieldValueDuplicate'
  | 'FieldValueForbidden'
  | 'FieldValueInvalid'
  | 'FieldValueNotFound'
  | 'FieldValueNotSupported'
  | 'FieldValueRequired'
  | 'FieldValueTooFew'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTooShort'
  | 'FieldValueTypeInvalid'
  | 'InternalError';

/** A bad value whose text upstream prints from an internal type; used as it stands. */
export class RenderedValue {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const TITLE: Readonly<Record<string, string>> = {
  FieldValueDuplicate: 'Duplicate value',
  FieldValueForbidden: 'Forbidden',
  FieldValueInvalid: 'Invalid value',
  FieldValueNotFound: 'Not found',
  FieldValueNotSupported: 'Unsupported value',
  FieldValueRequired: 'Required value',
  FieldValueTooFew: 'Too few',
  FieldValueTooLong: 'Too long',
  FieldValueTooMany: 'Too many',
  FieldValueTooShort: 'Too short',
  FieldValueTypeInvalid: 'Invalid value',
  InternalError: 'Internal error',
};

const WITHOUT_VALUE: ReadonlySet<string> = new Set([
  'FieldValueForbidden',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooShort',
  'InternalError',
]);

const OMITTED = Symbol('omitted');

/** Collects the errors of one object, in order. */
export class FieldErrors {
  readonly list: FieldError[] = [];

  get ok(): boolean {
    return this.list.length === 0;
  }

  add(error: FieldError & { readonly type: FieldErrorType }): void {
    this.list.push(error);
  }

  required(field: string, detail = ''): void {
    this.add({ type: 'FieldValueRequired', field, detail });
  }

  invalid(field: string, badValue: unknown, detail: string): void {
    this.add({ type: 'FieldValueInvalid', field, badValue, detail });
  }

  /** The value would not help: a list of conditions, a rule. */
  invalidOmitted(field: string, detail: string): void {
    this.add({ type: 'FieldValueInvalid', field, badValue: OMITTED, detail });
  }

  /** One error per message, as the checkers of formats return them. */
  invalidEach(field: string, badValue: unknown, messages: readonly string[]): void {
    for (const detail of messages) this.invalid(field, badValue, detail);
  }

  duplicate(field: string, badValue: unknown): void {
    this.add({ type: 'FieldValueDuplicate', field, badValue, detail: '' });
  }

  notFound(field: string, badValue: unknown): void {
    this.add({ type: 'FieldValueNotFound', field, badValue, detail: '' });
  }

  forbidden(field: string, detail: string): void {
    this.add({ type: 'FieldValueForbidden', field, detail });
  }

  notSupported(field: string, badValue: unknown, supported: readonly string[]): void {
    const detail =
      supported.length === 0 ? '' : `supported values: ${supported.map(goQuote).join(', ')}`;
    this.add({ type: 'FieldValueNotSupported', field, badValue, detail });
  }

  tooLong(field: string, bytesMax: number): void {
    const unit = bytesMax === 1 ? 'byte' : 'bytes';
    this.add({
      type: 'FieldValueTooLong',
      field,
      detail: `may not be more than ${bytesMax} ${unit}`,
    });
  }

  tooLongCharacters(field: string, charactersMax: number): void {
    const unit = charactersMax === 1 ? 'character' : 'characters';
    const detail = `may not be more than ${charactersMax} ${unit}`;
    this.add({ type: 'FieldValueTooLong', field, detail });
  }

  tooMany(field: string, count: number, countMax: number): void {
    const unit = countMax === 1 ? 'item' : 'items';
    const detail = `must have at most ${countMax} ${unit}`;
    this.add({ type: 'FieldValueTooMany', field, badValue: count, detail });
  }

  internal(field: string, detail: string): void {
    this.add({ type: 'InternalError', field, detail });
  }
}

/** Text of a cause without its field, such as `Invalid value: "x": must be no more than 63 bytes`. */
export function renderFieldError(error: FieldError): string {
  const title = TITLE[error.type] ?? error.type;
  const hasNoValue = WITHOUT_VALUE.has(error.type) || error.badValue === OMITTED;
  const body = hasNoValue ? title : `${title}: ${renderValue(error.badValue)}`;
  return error.detail === '' ? body : `${body}: ${error.detail}`;
}

function renderValue(value: unknown): string {
  if (value instanceof RenderedValue) return value.text;
  if (typeof value === 'string') return goQuote(value);
  return goJson(value);
}

/** A JSON text as Go's encoder writes it: `<`, `>` and `&` escaped, sets of strings sorted by key. */
export function goJson(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (Array.isArray(value)) return `[${value.map(goJson).join(',')}]`;
  if (typeof value === 'object') {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([key, field]) => `${goJson(key)}:${goJson(field)}`);
    return `{${fields.join(',')}}`;
  }
  return JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, unicodeEscape);
}

/** A string map with its keys in the order of their bytes, as Go prints it. */
export function sortedMap<T>(map: Readonly<Record<string, T>> | undefined): Record<string, T> {
  const entries = Object.entries(map ?? {});
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** Go's `%q`: double quotes, with escapes for what does not print. */
export function goQuote(text: string): string {
  let quoted = '';
  for (const char of text) quoted += quoteChar(char);
  return `"${quoted}"`;
}

const SHORT_ESCAPE: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function quoteChar(char: string): string {
  const short = SHORT_ESCAPE[char];
  if (short !== undefined) return short;
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (char !== ' ' && /[\p{C}\p{Z}]/u.test(char)) {
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : unicodeEscape(char);
  }
  return char;
}

function unicodeEscape(char: string): string {
  return `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}

/** The causes of a Status with reason Invalid. */
export function fieldErrorCauses(errors: readonly FieldError[]): StatusCause[] {
  return errors.map((error) => ({
    reason: error.type,
    message: renderFieldError(error),
    field: error.field,
  }));
}
