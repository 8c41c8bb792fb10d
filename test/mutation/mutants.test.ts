/** The mutants of a source, as texts. */
import t from 'tap';
import { mutantsOf, plainOf } from './mutants.ts';

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
