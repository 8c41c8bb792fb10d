/** The mutants of a source, as texts. */
import { runInThisContext } from 'node:vm';
import t from 'tap';
import { mutantsOf, plainOf } from './mutants.ts';
import { probeFor } from './probe.ts';
import { probed } from './probes.ts';
import { changeOf, explain } from './subjects.ts';

function texts(source: string): string[] {
  const plain = plainOf(source);
  return mutantsOf(source).map(
    ({ start, end, replacement }) => plain.slice(0, start) + replacement + plain.slice(end),
  );
}

t.test('operators, conditions, calls and blocks', async (t) => {
  t.same(texts('a = b < c;'), ['a = b <= c;', 'a = b >= c;']);
  t.same(texts('const a: number = b + 1;'), ['const a         = b - 1;']);
  t.same(texts('if (a) b++;'), ['if (true) b++;', 'if (false) b++;', 'if (a) b--;']);
  t.same(texts('a = !b || true;'), ['a = (b) || true;', 'a = !b && true;', 'a = !b || false;']);
  t.same(texts('f();'), [';']);
  t.same(texts('function f() { return a; }'), ['function f() {}']);
  t.same(texts('while (true) f();'), ['while (false) f();', 'while (true) ;']);
});

t.test('what is for people is left alone', async (t) => {
  t.same(texts("assert(a < b, 'a < b');"), []);
  t.same(texts('throw new Error(`${a + b}`);'), []);
  t.same(texts("a = 'x' + b;"), []);
  t.throws(() => mutantsOf('const ='), SyntaxError);
});

/** The function `f` of a source with probes. */
function loaded(text: string, found: (number: number) => void): (...given: unknown[]) => unknown {
  const load = runInThisContext(`(mutationProbe) => { ${text}; return f; }`);
  return load(probeFor(found));
}

/** The mutants that make a difference in a call of `f`. */
function felt(source: string, ...given: unknown[]): string[] {
  const numbers = new Set<number>();
  loaded(probed(source), (number) => void numbers.add(number))(...given);
  const all = texts(source);
  return [...numbers].map((number) => all[number] ?? '?');
}

t.test('probes tell which mutants make a difference', async (t) => {
  const less = 'function f(a, b) { return a < b; }';
  const empty = 'function f(a, b) {}';
  t.same(felt(less, 1, 2), [empty, less.replace('<', '>=')]);
  t.same(felt(less, 2, 2), [empty, less.replace('<', '<='), less.replace('<', '>=')]);
  const both = 'function f(a, b) { return a && b; }';
  t.same(felt(both, true, true), [empty]);
  t.same(felt(both, true, false), [empty, both.replace('&&', '||')]);
  t.same(felt(both, false, true), [empty, both.replace('&&', '||')]);
  const test = 'function f(a, b) { if (a) b(); }';
  t.same(felt(test, false, 0), [empty, test.replace('(a)', '(true)')]);
  t.same(
    felt(test, true, () => 0),
    [empty, test.replace('(a)', '(false)'), test.replace('b();', ';')],
  );
});

t.test('a source with probes does what it did', async (t) => {
  const source = `function f(a, b) {
    let n = 0;
    for (let i = 0; i < a; i++) if ((i + 1) % 2 === 0 || !b) n += i * 2; else n--;
    while (true) { if (n > 100 ? n : n === 101 || (b ?? n > 7)) return [n, a <= n && n !== b]; n++; }
  }`;
  const run = (text: string) => {
    const f = loaded(text, () => {});
    return [
      [0, 0],
      [5, 1],
      [9, undefined],
      [30, null],
    ].map(([a, b]) => f(a, b));
  };
  t.same(run(probed(source)), run(source));
});

t.test('a mutant is named by its function and line, wherever that stands', async (t) => {
  const source = `class A {
  #f(a: number) {
    if (a < 1) {
      g();
    }
  }
}`;
  const named = mutantsOf(source).map((one) => `${one.within}: ${changeOf(source, one)}`);
  t.same(named, [
    '#f: #f(a: number) [{ ... -> {}]',
    '#f: if ([a < 1 -> true]) {',
    '#f: if ([a < 1 -> false]) {',
    '#f: if (a [< -> <=] 1) {',
    '#f: if (a [< -> >=] 1) {',
    '#f: if (a < 1) [{ ... -> {}]',
    '#f: [g(); -> ;]',
  ]);
});

t.test('an explanation is for as many mutants as it says', async (t) => {
  const one = { file: 'a.ts', within: 'f', change: 'x [< -> <=] y' };
  const subject = { ...one, id: '', start: 0, end: 0, replacement: '', index: 0, line: 1 };
  const subjects = [1, 2, 3].map((line) => ({ ...subject, line }));
  const lines = (times?: number) => {
    const survivor = { ...one, why: 'equal', ...(times !== undefined && { times }) };
    return [...explain(subjects, [survivor]).keys()].map(({ line }) => line);
  };
  t.same(lines(), [1]);
  t.same(lines(2), [1, 2]);
  t.equal(explain(subjects, [{ ...one, within: 'g', why: 'equal' }]).size, 0);
});
