/**
 * Small faults to be put into a source, one at a time: the usual operators of mutation testing
 * (conditions, comparisons, arithmetic, calls left out, empty blocks). A test suite that still passes
 * with one of them does not look at what it changes. Pure.
 */
import { stripTypeScriptTypes } from 'node:module';
import { type Node, parse } from 'acorn';
import { ancestor } from 'acorn-walk';

/** A stretch of text, from `start` to before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The text of the span replaced. */
export interface Mutant extends Span {
  readonly replacement: string;
  /** The innermost function or member with a name, '' outside of all. */
  readonly within: string;
}

/** A place in the source, and what can be changed there. */
export interface Site extends Span {
  readonly kind: 'binary' | 'logical' | 'test' | 'expression' | 'statement' | 'block';
  readonly mutants: readonly Mutant[];
  /** Of the kinds binary and logical. */
  readonly operator?: { readonly text: string; readonly at: Span; readonly sides: [Span, Span] };
}

export const SWAPS: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '&&': ['||'],
  '||': ['&&'],
  '??': ['&&'],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '&': ['|'],
  '|': ['&'],
  '<<': ['>>'],
  '>>': ['<<'],
  '>>>': ['<<'],
  '+=': ['-='],
  '-=': ['+='],
  '++': ['--'],
  '--': ['++'],
};

/** What is written for people: messages, and what only says that a bug was met. */
const FOR_PEOPLE = /^(?:assert|must)$|\.(?:debug|info|warn|error)$/;

/** acorn's nodes, as far as they are looked at. */
type Shape = Node & {
  readonly operator?: string;
  readonly left?: Node;
  readonly right?: Node;
  readonly test?: Node | null;
  readonly argument?: Node;
  readonly callee?: Node;
  readonly expression?: Shape;
  readonly value?: unknown;
  readonly body?: readonly Node[];
  readonly id?: Shape | null;
  readonly key?: Shape;
  readonly name?: string;
};

/** All mutants of a TypeScript source, by position. Throws SyntaxError for what is no source. */
export function mutantsOf(source: string): Mutant[] {
  const found = sitesOf(source).flatMap(({ mutants }) => mutants);
  const distinct = new Map(found.map((mutant) => [JSON.stringify(mutant), mutant]));
  return [...distinct.values()].toSorted((a, b) => a.start - b.start || a.end - b.end);
}

/** Where they are. */
export function sitesOf(source: string): Site[] {
  const plain = plainOf(source);
  const text = (node: Node) => plain.slice(node.start, node.end);
  const found: Site[] = [];
  // One visitor for every node: what can be changed is told by its type.
  const visit = (node: Shape, _state: unknown, ancestors: readonly Node[]) => {
    if (ancestors.some((one) => isForPeople(one as Shape, text))) return;
    const within =
      ancestors.map((one) => nameOf(one as Shape)).findLast((name) => name !== '') ?? '';
    const change = (span: Span, replacement: string): Mutant => ({
      start: span.start,
      end: span.end,
      replacement,
      within,
    });
    const site = operatorSite(node, plain, change) ?? otherSite(node, text, change);
    found.push(...testSites(node, change), ...(site === undefined ? [] : [site]));
  };
  const program = parse(plain, { ecmaVersion: 'latest', sourceType: 'module' });
  ancestor(program, Object.fromEntries(VISITED.map((type) => [type, visit])));
  return found;
}

/** The source as JavaScript, every token at its place. */
export function plainOf(source: string): string {
  return stripTypeScriptTypes(source, { mode: 'strip' });
}

const VISITED = [
  'BinaryExpression',
  'LogicalExpression',
  'AssignmentExpression',
  'UpdateExpression',
  'UnaryExpression',
  'IfStatement',
  'WhileStatement',
  'ConditionalExpression',
  'Literal',
  'ExpressionStatement',
  'BlockStatement',
];

const KINDS: Readonly<Record<string, Site['kind']>> = {
  BinaryExpression: 'binary',
  LogicalExpression: 'logical',
};

type Change = (span: Span, replacement: string) => Mutant;

function testSites({ type, test }: Shape, change: Change): Site[] {
  if (test === undefined || test === null) return [];
  const { start, end } = test;
  // `while (true)` never ends; `while (false)` is the interesting one.
  const values = type === 'WhileStatement' ? ['false'] : ['true', 'false'];
  const mutants = values.map((value) => change(test, value));
  return [{ kind: 'test', start, end, mutants }];
}

function operatorSite(node: Shape, plain: string, change: Change): Site | undefined {
  const { type, start, end, operator = '', left, right } = node;
  if (left === undefined || right === undefined) return undefined;
  // Adding to text is no arithmetic.
  const isText =
    operator === '+' && [left, right].some((side) => /['"`]/.test(plain[side.start] ?? ''));
  const swaps = isText ? [] : (SWAPS[operator] ?? []);
  if (swaps.length === 0) return undefined;
  const from = plain.indexOf(operator, left.end);
  const at = { start: from, end: from + operator.length };
  const mutants = swaps.map((swap) => change(at, swap));
  const kind = KINDS[type] ?? 'expression';
  return { kind, start, end, mutants, operator: { text: operator, at, sides: [left, right] } };
}

function otherSite(node: Shape, text: (node: Node) => string, change: Change): Site | undefined {
  const { type, start, end, operator = '', argument, expression } = node;
  const site = (kind: Site['kind'], replacement: string, span: Span = node): Site => {
    return { kind, start, end, mutants: [change(span, replacement)] };
  };
  if (type === 'UpdateExpression') {
    const from = text(node).startsWith(operator) ? start : end - operator.length;
    const at = { start: from, end: from + operator.length };
    return site('expression', SWAPS[operator]?.[0] ?? operator, at);
  }
  if (type === 'UnaryExpression' && operator === '!' && argument !== undefined) {
    return site('expression', `(${text(argument)})`);
  }
  if (type === 'Literal' && typeof node.value === 'boolean') {
    return site('expression', String(!node.value));
  }
  if (type === 'ExpressionStatement' && isCall(expression)) return site('statement', ';');
  if (type === 'BlockStatement' && node.body !== undefined && node.body.length > 0) {
    return site('block', '{}');
  }
  return undefined;
}

/** '' for what has none. */
function nameOf({ type, id, key }: Shape): string {
  const name = (id ?? key)?.name ?? '';
  return key?.type === 'PrivateIdentifier'
    ? `#${name}`
    : /Function|Class|Definition/.test(type)
      ? name
      : '';
}

function isCall(expression: Shape | undefined): boolean {
  return expression?.type === 'CallExpression' || expression?.type === 'AwaitExpression';
}

function isForPeople(node: Shape, text: (node: Node) => string): boolean {
  if (node.type === 'ThrowStatement') return true;
  if (node.type === 'ExpressionStatement' && node.expression !== undefined) {
    return isForPeople(node.expression, text);
  }
  return (
    node.type === 'CallExpression' &&
    node.callee !== undefined &&
    FOR_PEOPLE.test(text(node.callee))
  );
}
