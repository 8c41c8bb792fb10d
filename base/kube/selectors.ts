/**
 * Label and field selectors: parsing of their query-string form, compilation of LabelSelector
 * objects, matching. Pure. Semantics are apimachinery's labels and fields packages: `!=` and `notin`
 * match objects that lack the key; gt and lt compare integers.
 */
import type { LabelSelector } from './api/meta-v1.gen.ts';

export class SelectorError extends Error {
  override readonly name = 'SelectorError';
}

export type LabelOperator = 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

/** A conjunction of requirements; the empty one matches everything, `nothing` nothing. */
export class LabelMatcher {
  static readonly everything = new LabelMatcher([]);
  static readonly nothing = new LabelMatcher(undefined);

  readonly requirements: readonly LabelRequirement[];
  readonly #matchesNothing: boolean;

  constructor(requirements: readonly LabelRequirement[] | undefined) {
    this.requirements = requirements ?? [];
    this.#matchesNothing = requirements === undefined;
  }

  get isEmpty(): boolean {
    return !this.#matchesNothing && this.requirements.length === 0;
  }

  matches(labels: Labels | undefined): boolean {
    return (
      !this.#matchesNothing && this.requirements.every((r) => matchesRequirement(r, labels ?? {}))
    );
  }

  /** The query-string form, requirements sorted by key as upstream prints them. */
  toString(): string {
    return [...this.requirements]
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      .map(formatRequirement)
      .join(',');
  }
}

function matchesRequirement(r: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, r.key) ? labels[r.key] : undefined;
  switch (r.operator) {
    case 'in':
      return value !== undefined && r.values.includes(value);
    case 'notin':
      return value === undefined || !r.values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case 'gt':
    case 'lt': {
      const actual = parseInteger(value);
      const bound = parseInteger(r.values[0]);
      if (actual === undefined || bound === undefined) return false;
      return r.operator === 'gt' ? actual > bound : actual < bound;
    }
  }
}

/** Decimal int64, or undefined. */
export function parseInteger(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[+-]?\d+$/.test(text)) return undefined;
  return BigInt(text.startsWith('+') ? text.slice(1) : text);
}

function formatRequirement(r: LabelRequirement): string {
  switch (r.operator) {
    case 'exists':
      return r.key;
    case '!':
      return `!${r.key}`;
    case 'gt':
      return `${r.key}>${r.values[0]}`;
    case 'lt':
      return `${r.key}<${r.values[0]}`;
    case 'in':
      if (r.values.length === 1) return `${r.key}=${r.values[0]}`;
      return `${r.key} in (${[...r.values].sort().join(',')})`;
    case 'notin':
      if (r.values.length === 1) return `${r.key}!=${r.values[0]}`;
      return `${r.key} notin (${[...r.values].sort().join(',')})`;
  }
}

const OBJECT_OPERATORS: Readonly<Record<string, LabelOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/** Compiles `{matchLabels, matchExpressions}`. Absent matches nothing, empty matches everything. */
export function compileLabelSelector(selector: LabelSelector | undefined): LabelMatcher {
  if (selector === undefined) return LabelMatcher.nothing;
  const requirements = requirementsOfLabels(selector.matchLabels);
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const compiled = OBJECT_OPERATORS[operator];
    if (compiled === undefined) {
      throw new SelectorError(`"${operator}" is not a valid label selector operator`);
    }
    requirements.push({ key, operator: compiled, values: values ?? [] });
  }
  return new LabelMatcher(requirements);
}

/** Compiles a plain map, as Services and ReplicationControllers hold. */
export function compileLabelSet(labels: Labels | undefined): LabelMatcher {
  return new LabelMatcher(requirementsOfLabels(labels));
}

function requirementsOfLabels(labels: Labels | undefined): LabelRequirement[] {
  return Object.entries(labels ?? {}).map(([key, value]) => ({
    key,
    operator: 'in' as const,
    values: [value],
  }));
}

const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?$/;

type Token = { readonly text: string; readonly kind: 'word' | 'operator' | 'end' };

function* tokens(text: string): Generator<Token, Token> {
  const pattern = /\s*(==|!=|[=!,()<>]|[^\s=!,()<>]+)/y;
  let at = 0;
  while (text.slice(at).trim() !== '') {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match?.[1] === undefined) break;
    at = pattern.lastIndex;
    yield { text: match[1], kind: /^[=!,()<>]/.test(match[1]) ? 'operator' : 'word' };
  }
  return { text: '', kind: 'end' };
}

/** Parses `a=b,c!=d,e in (x,y),!f,g,h>1`. Throws SelectorError. */
export function parseLabelSelector(text: string): LabelMatcher {
  const queue = [...tokens(text)];
  let at = 0;
  const peek = (): Token => queue[at] ?? { text: '', kind: 'end' };
  const next = (): Token => {
    const token = peek();
    at++;
    return token;
  };
  const fail = (found: Token, expected: string): never => {
    throw new SelectorError(
      `unable to parse requirement: found '${found.text}', expected: ${expected}`,
    );
  };
  const requirements: LabelRequirement[] = [];
  if (queue.length === 0) return LabelMatcher.everything;
  for (;;) {
    requirements.push(parseRequirement(peek, next, fail));
    const separator = next();
    if (separator.kind === 'end') return new LabelMatcher(requirements);
    if (separator.text !== ',') fail(separator, "',' or 'end of string'");
    if (peek().kind === 'end') fail(peek(), 'identifier after ,');
  }
}

function parseRequirement(
  peek: () => Token,
  next: () => Token,
  fail: (found: Token, expected: string) => never,
): LabelRequirement {
  const negated = peek().text === '!';
  if (negated) next();
  const keyToken = next();
  if (keyToken.kind !== 'word') fail(keyToken, 'identifier');
  const key = validKey(keyToken.text);
  if (negated) return { key, operator: '!', values: [] };
  const ahead = peek();
  if (ahead.kind === 'end' || ahead.text === ',') return { key, operator: 'exists', values: [] };
  const operator = next().text;
  switch (operator) {
    case '=':
    case '==':
    case '!=': {
      const value = peek().kind === 'word' ? next().text : ''; // `a=` selects the empty value.
      return { key, operator: operator === '!=' ? 'notin' : 'in', values: [validValue(value)] };
    }
    case '>':
    case '<': {
      const value = next().text;
      if (parseInteger(value) === undefined) {
        throw new SelectorError(`values[0][${key}]: Invalid value: "${value}": must be an integer`);
      }
      return { key, operator: operator === '>' ? 'gt' : 'lt', values: [value] };
    }
    case 'in':
    case 'notin':
      return { key, operator, values: parseValues(next, fail) };
    default:
      return fail({ text: operator, kind: 'operator' }, 'in, notin, =, ==, !=, gt, lt');
  }
}

function parseValues(
  next: () => Token,
  fail: (found: Token, expected: string) => never,
): readonly string[] {
  const open = next();
  if (open.text !== '(') fail(open, "'('");
  const values: string[] = [];
  let value = '';
  for (let token = next(); ; token = next()) {
    if (token.kind === 'word') value = token.text;
    else if (token.text === ',' || token.text === ')') {
      values.push(validValue(value));
      value = '';
      if (token.text === ')') return [...new Set(values)];
    } else fail(token, "',', or ')'");
  }
}

function validKey(key: string): string {
  if (!LABEL_KEY.test(key)) throw new SelectorError(`invalid label key "${key}"`);
  return key;
}

function validValue(value: string): string {
  if (!LABEL_VALUE.test(value)) throw new SelectorError(`invalid label value "${value}"`);
  return value;
}

export interface FieldRequirement {
  readonly field: string;
  readonly equals: boolean;
  readonly value: string;
}

/** Parses `metadata.name=x,spec.nodeName!=y`; `\` escapes `,`, `=` and itself in values. */
export function parseFieldSelector(text: string): readonly FieldRequirement[] {
  const requirements: FieldRequirement[] = [];
  for (const part of splitUnescaped(text)) {
    if (part === '') continue;
    const match = /^([^=!\\]*)(==|!=|=)(.*)$/s.exec(part);
    if (match === null) {
      throw new SelectorError(`invalid selector: '${text}'; can't understand '${part}'`);
    }
    const [, field = '', operator = '', value = ''] = match;
    requirements.push({ field, equals: operator !== '!=', value: unescapeField(value, text) });
  }
  return requirements;
}

function splitUnescaped(text: string): string[] {
  return text.match(/(?:\\.|[^,\\]|\\$)+/gs) ?? [];
}

function unescapeField(value: string, whole: string): string {
  if (/[\\=]/.test(value.replaceAll(/\\[\\,=]/g, ''))) {
    throw new SelectorError(`invalid field selector: ${whole}: invalid escape in value '${value}'`);
  }
  return value.replaceAll(/\\([\\,=])/g, '$1');
}

/** `a=b` with what needs it escaped. */
export function formatFieldRequirement(field: string, value: string): string {
  return `${field}=${value.replaceAll(/[\\,=]/g, '\\$&')}`;
}

/** `fieldOf` returns a field's value as text, the empty string where it is unset. */
export function matchesFields(
  requirements: readonly FieldRequirement[],
  fieldOf: (field: string) => string,
): boolean {
  return requirements.every((r) => (fieldOf(r.field) === r.value) === r.equals);
}
