/**
 * Small faults to be put into a source, one at a time: the usual operators of mutation testing
 * (conditions, comparisons, arithmetic, calls left out, empty blocks). A test suite that still passes
 * with one of them does not look at what it changes. Pure.
 */
import { stripTypeScriptTypes } from 'node:module';
import { type Node, parse } from 'acorn';
import { ancestor } from 'acorn-walk';

/** The text between `start` and `end` of the source replaced. */
export interface Mutant {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

const SWAPS: Readonly<Record<string, readonly string[]>> = {
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
};

/** All mutants of a TypeScript source, by position. Throws SyntaxError for what is no source. */
export function mutantsOf(source: string): Mutant[] {
  const plain = plainOf(source);
  const found: Mutant[] = [];
  const add = (node: { start: number; end: number }, replacement: string) =>
    void found.push({ start: node.start, end: node.end, replacement });
  const text = (node: Node) => plain.slice(node.start, node.end);
  // One visitor for every node: what can be changed is told by its type.
  const visit = (node: Shape, _state: unknown, ancestors: readonly Node[]) => {
    if (ancestors.some((one) => isForPeople(one as Shape, text))) return;
    mutate(node, { add, text, plain });
  };
  const program = parse(plain, { ecmaVersion: 'latest', sourceType: 'module' });
  ancestor(program, Object.fromEntries(VISITED.map((type) => [type, visit])));
  const distinct = new Map(found.map((mutant) => [JSON.stringify(mutant), mutant]));
  return [...distinct.values()].toSorted((a, b) => a.start - b.start || a.end - b.end);
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

interface Tools {
  readonly add: (node: { start: number; end: number }, replacement: string) => void;
  readonly text: (node: Node) => string;
  readonly plain: string;
}

function mutate(node: Shape, { add, text, plain }: Tools): void {
  const { type, operator = '', left, right, test, argument, expression } = node;
  if (left !== undefined && right !== undefined) {
    const at = plain.indexOf(operator, left.end);
    // Adding to text is no arithmetic.
    const isText = operator === '+' && /^['"`]/.test(text(left) + text(right));
    const swaps = isText ? [] : (SWAPS[operator] ?? []);
    for (const swap of swaps) add({ start: at, end: at + operator.length }, swap);
  } else if (type === 'UpdateExpression') {
    const isPrefix = plain.startsWith(operator, node.start);
    const start = isPrefix ? node.start : node.end - operator.length;
    add({ start, end: start + operator.length }, SWAPS[operator]?.[0] ?? operator);
  } else if (type === 'UnaryExpression' && operator === '!' && argument !== undefined) {
    add(node, `(${text(argument)})`);
  } else if (type === 'Literal' && typeof node.value === 'boolean') {
    add(node, String(!node.value));
  } else if (type === 'ExpressionStatement' && isCall(expression)) {
    add(node, ';');
  } else if (type === 'BlockStatement' && node.body !== undefined && node.body.length > 0) {
    add(node, '{}');
  }
  if (test !== undefined && test !== null) {
    // `while (true)` never ends; `while (false)` is the interesting one.
    if (type !== 'WhileStatement') add(test, 'true');
    add(test, 'false');
  }
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
