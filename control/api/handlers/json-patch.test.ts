import t from 'tap';
import { ApiError } from '../errors.ts';
import { applyJsonPatch } from './json-patch.ts';

const KIND = { apiVersion: 'v1', kind: 'ConfigMap' };
const copy = { op: 'copy', from: '/data', path: '/data/x' };
const doubling = Array.from({ length: 40 }, (_, i) => ({ ...copy, path: `/data/x${i}` }));
const cases = [
  { name: 'adds', patch: [{ op: 'add', path: '/data/b', value: 2 }], want: { a: 1, b: 2 } },
  { name: 'copies', patch: [copy], want: { a: 1, x: { a: 1 } } },
  {
    name: 'counts from the end of the list that earlier operations made',
    patch: [
      { op: 'add', path: '/data/l', value: [1, 2] },
      { op: 'add', path: '/data/l/-', value: 3 },
      { op: 'remove', path: '/data/l/-1' },
    ],
    want: { a: 1, l: [1, 2] },
  },
  { name: 'refuses what doubles without end', patch: doubling, code: 422 },
  { name: 'refuses a failing test', patch: [{ op: 'test', path: '/data/a', value: 2 }], code: 422 },
  { name: 'refuses an operation that is none', patch: [null], code: 422 },
  { name: 'refuses an operation without a path', patch: [{ op: 'remove' }], code: 422 },
  { name: 'refuses an object', patch: {}, code: 400 },
] as const;

for (const c of cases) {
  t.test(`applyJsonPatch() ${c.name}`, (t) => {
    const apply = () => applyJsonPatch({ ...KIND, data: { a: 1 } }, c.patch);
    if ('want' in c) {
      t.same(apply(), { ...KIND, data: c.want });
    } else {
      try {
        apply();
        t.fail('applied');
      } catch (error) {
        t.equal(error instanceof ApiError ? error.code : error, c.code);
      }
    }
    t.end();
  });
}
