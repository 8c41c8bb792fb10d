/**
 * A JSON parser for when something is wrong: keeps duplicate keys and the text of numbers, and words
 * syntax errors as Go's encoding/json does. JSON.parse reads what is right, three times as fast.
 */
import { SchemaError } from './gvk.ts';

export type JsonNode =
  | { readonly kind: 'object'; readonly members: readonly (readonly [string, JsonNode])[] }
  | { readonly kind: 'array'; readonly items: readonly JsonNode[] }
  | { readonly kind: 'string'; readonly value: string }
  /** `text` is the number as written. */
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'null' };

/** As upstream: deeper input is refused rather than overflowing the stack. */
const DEPTH_MAX = 10_000;

function quoteCharacter(text: string): string {
  if (text === "'") return `'\\''`;
  if (text === '"') return `'"'`;
  const escaped = JSON.stringify(text)
    .slice(1, -1)
    .replace(/\\u00([0-9a-f]{2})/g, '\\x$1');
  return `'${escaped}'`;
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonNode {
    const node = this.#value();
    this.#space();
    if (this.#at < this.#text.length) this.#fail('after top-level value');
    return node;
  }

  #fail(context: string): never {
    const character = this.#text[this.#at];
    if (character === undefined) throw new SchemaError('MALFORMED', 'unexpected end of JSON input');
    throw new SchemaError('MALFORMED', `invalid character ${quoteCharacter(character)} ${context}`);
  }

  #space(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #value(): JsonNode {
    this.#space();
    const character = this.#text[this.#at];
    if (character === '{') return this.#nested(() => this.#object());
    if (character === '[') return this.#nested(() => this.#array());
    if (character === '"') return { kind: 'string', value: this.#string() };
    if (character === 't') return this.#literal('true', { kind: 'bool', value: true });
    if (character === 'f') return this.#literal('false', { kind: 'bool', value: false });
    if (character === 'n') return this.#literal('null', { kind: 'null' });
    if (character !== undefined && /[-0-9]/.test(character)) return this.#number();
    return this.#fail('looking for beginning of value');
  }

  #nested(parse: () => JsonNode): JsonNode {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new SchemaError('MALFORMED', 'exceeded max depth');
    const node = parse();
    this.#depth -= 1;
    return node;
  }

  #object(): JsonNode {
    const members: [string, JsonNode][] = [];
    this.#at += 1;
    this.#space();
    if (this.#text[this.#at] === '}') {
      this.#at += 1;
      return { kind: 'object', members };
    }
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail('looking for beginning of object key string');
      const key = this.#string();
      this.#space();
      if (this.#text[this.#at] !== ':') this.#fail('after object key');
      this.#at += 1;
      members.push([key, this.#value()]);
      this.#space();
      const next = this.#text[this.#at];
      if (next !== ',' && next !== '}') this.#fail('after object key:value pair');
      this.#at += 1;
      if (next === '}') return { kind: 'object', members };
    }
  }

  #array(): JsonNode {
    const items: JsonNode[] = [];
    this.#at += 1;
    this.#space();
    if (this.#text[this.#at] === ']') {
      this.#at += 1;
      return { kind: 'array', items };
    }
    for (;;) {
      items.push(this.#value());
      this.#space();
      const next = this.#text[this.#at];
      if (next !== ',' && next !== ']') this.#fail('after array element');
      this.#at += 1;
      if (next === ']') return { kind: 'array', items };
    }
  }

  #string(): string {
    const start = this.#at;
    this.#at += 1;
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined || character < ' ') this.#fail('in string literal');
      this.#at += 1;
      if (character === '"') return JSON.parse(this.#text.slice(start, this.#at)) as string; // Checked.
      if (character === '\\') this.#escape();
    }
  }

  #escape(): void {
    const character = this.#text[this.#at] ?? '';
    if (!/^["\\/bfnrtu]$/.test(character)) this.#fail('in string escape code');
    this.#at += 1;
    if (character !== 'u') return;
    for (let i = 0; i < 4; i++, this.#at++) {
      if (!/^[0-9a-fA-F]$/.test(this.#text[this.#at] ?? '')) {
        this.#fail('in \\u hexadecimal character escape');
      }
    }
  }

  #literal(word: string, node: JsonNode): JsonNode {
    for (const letter of word) {
      if (this.#text[this.#at] !== letter) {
        this.#fail(`in literal ${word} (expecting ${quoteCharacter(letter)})`);
      }
      this.#at += 1;
    }
    return node;
  }

  #digits(context: string): void {
    if (!/^\d$/.test(this.#text[this.#at] ?? '')) this.#fail(context);
    while (/^\d$/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #number(): JsonNode {
    const start = this.#at;
    if (this.#text[this.#at] === '-') this.#at += 1;
    if (this.#text[this.#at] === '0') this.#at += 1;
    else this.#digits('in numeric literal');
    if (this.#text[this.#at] === '.') {
      this.#at += 1;
      this.#digits('after decimal point in numeric literal');
    }
    if (/^[eE]$/.test(this.#text[this.#at] ?? '')) {
      this.#at += 1;
      if (/^[+-]$/.test(this.#text[this.#at] ?? '')) this.#at += 1;
      this.#digits('in exponent of numeric literal');
    }
    return { kind: 'number', text: this.#text.slice(start, this.#at) };
  }
}

/** Throws SchemaError MALFORMED with Go's text. */
export function parseJsonText(text: string): JsonNode {
  return new Parser(text).document();
}

/** A parsed value as nodes, for values that have no text of their own (YAML, results of patches). */
export function toJsonNode(value: unknown): JsonNode {
  if (typeof value === 'string') return { kind: 'string', value };
  if (typeof value === 'number') return { kind: 'number', text: JSON.stringify(value) };
  if (typeof value === 'boolean') return { kind: 'bool', value };
  if (value === null || typeof value !== 'object') return { kind: 'null' };
  if (Array.isArray(value)) return { kind: 'array', items: value.map(toJsonNode) };
  const given = Object.entries(value).filter(([, v]) => v !== undefined);
  return { kind: 'object', members: given.map(([key, v]) => [key, toJsonNode(v)]) };
}

/**
 * Number of object keys in valid JSON text, duplicates counted: more than a parsed value has means
 * that a key came twice. A colon outside strings is a key.
 */
export function countKeys(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3a) count += 1;
    else if (code === 0x22) i = endOfString(text, i);
  }
  return count;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes += 1;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
  return text.length;
}
