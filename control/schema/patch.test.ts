import t from 'tap';
import { jsonMergePatch, strategicMergePatch } from './patch.ts';
import type { Fields } from './patch-values.ts';

const POD = { group: '', version: 'v1', kind: 'Pod' };

function patched(original: Fields, patch: unknown): unknown {
  return strategicMergePatch(POD, { kind: 'Pod', apiVersion: 'v1', ...original }, patch);
}

/** Results are those of apimachinery v0.36.3 for the same texts. */
const merges: readonly {
  readonly name: string;
  readonly original: Fields;
  readonly patch: Fields;
  readonly result: Fields;
}[] = [
  {
    name: 'merges maps and deletes with null',
    original: { metadata: { labels: { a: '1', b: '2' } } },
    patch: { metadata: { labels: { a: null, c: '3' } } },
    result: { metadata: { labels: { b: '2', c: '3' } } },
  },
  {
    name: 'merges lists by key, new items in front of unknown ones',
    original: { spec: { containers: [{ name: 'a', image: 'x' }, { name: 'b' }] } },
    patch: { spec: { containers: [{ name: 'c' }, { name: 'a', image: 'y' }] } },
    result: { spec: { containers: [{ name: 'c' }, { name: 'a', image: 'y' }, { name: 'b' }] } },
  },
  {
    name: 'replaces lists without merge strategy',
    original: { spec: { tolerations: [{ key: 'a' }] } },
    patch: { spec: { tolerations: [{ key: 'b' }] } },
    result: { spec: { tolerations: [{ key: 'b' }] } },
  },
  {
    name: '$patch: delete removes the item',
    original: { spec: { containers: [{ name: 'a' }, { name: 'b' }] } },
    patch: { spec: { containers: [{ name: 'a', $patch: 'delete' }] } },
    result: { spec: { containers: [{ name: 'b' }] } },
  },
  {
    name: '$patch: replace replaces a map and a list',
    original: { metadata: { labels: { a: '1' } }, spec: { containers: [{ name: 'a' }] } },
    patch: {
      metadata: { labels: { $patch: 'replace', b: '2' } },
      spec: { containers: [{ $patch: 'replace' }, { name: 'b' }] },
    },
    result: { metadata: { labels: { b: '2' } }, spec: { containers: [{ name: 'b' }] } },
  },
  {
    name: '$retainKeys clears the other keys',
    original: { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
    patch: {
      spec: {
        volumes: [{ name: 'v', configMap: { name: 'x' }, $retainKeys: ['name', 'configMap'] }],
      },
    },
    result: { spec: { volumes: [{ name: 'v', configMap: { name: 'x' } }] } },
  },
  {
    name: '$deleteFromPrimitiveList and a merged set',
    original: { metadata: { finalizers: ['a', 'b', 'c'] } },
    patch: {
      metadata: { '$deleteFromPrimitiveList/finalizers': ['b'], finalizers: ['d', 'a'] },
    },
    result: { metadata: { finalizers: ['d', 'a', 'c'] } },
  },
  {
    name: '$setElementOrder orders, items of the server keep their places',
    original: { spec: { containers: [{ name: 'a' }, { name: 'x' }, { name: 'b' }] } },
    patch: {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }],
        containers: [{ name: 'a', image: 'i' }],
      },
    },
    result: { spec: { containers: [{ name: 'x' }, { name: 'b' }, { name: 'a', image: 'i' }] } },
  },
  {
    name: 'a new item takes the room of a deleted one',
    original: { spec: { containers: [{ name: 'd' }, { name: 'b' }] } },
    patch: {
      spec: {
        '$setElementOrder/containers': [{ name: 'a' }, { name: 'c' }],
        containers: [{ name: 'c' }, { name: 'd', $patch: 'delete' }],
      },
    },
    result: { spec: { containers: [{ name: 'b' }, { name: 'c' }] } },
  },
];

await t.test('strategicMergePatch() merges', async (t) => {
  for (const { name, original, patch, result } of merges) {
    const before = structuredClone(original);
    const given = JSON.parse(JSON.stringify(patch));
    t.same(patched(original, given), { kind: 'Pod', apiVersion: 'v1', ...result }, name);
    t.same(original, before, `${name}: the original is as before`);
  }
});

const refused: readonly (readonly [string, Fields, string])[] = [
  [
    'PATCH_FAILED',
    { spec: { containers: [{ image: 'x' }] } },
    'map: map[image:x] does not contain declared merge key: name',
  ],
  [
    'PATCH_FAILED',
    { spec: { containers: [{ name: 'a', $patch: 'merge' }] } },
    'merging lists cannot yet be specified in the patch',
  ],
  ['PATCH_FAILED', { spec: { $patch: 'x' } }, 'unknown patch type: x in map: map[$patch:x]'],
  ['BAD_PATCH', { spec: { $retainKeys: 'a' } }, 'invalid patch format of retainKeys'],
  [
    'BAD_PATCH',
    { spec: { '$deleteFromPrimitiveList-x': ['a'] } },
    'invalid patch format of primitive list',
  ],
  [
    'PATCH_FAILED',
    { spec: { '$setElementOrder/containers': [{ name: 'b' }], containers: [{ name: 'a' }] } },
    "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
  ],
  [
    'PATCH_FAILED',
    { spec: { '$setElementOrder/bogus': [] } },
    'unable to find api field in struct PodSpec for the json field "bogus"',
  ],
];

await t.test('strategicMergePatch() refuses in upstream words', async (t) => {
  const original = { spec: { containers: [{ name: 'a' }] } };
  for (const [code, patch, message] of refused) {
    t.throws(() => patched(original, patch), { code, message }, message);
  }
  t.throws(() => patched(original, []), { code: 'BAD_PATCH' });
});

await t.test('jsonMergePatch() follows the examples of RFC 7386', async (t) => {
  const cases: readonly (readonly [unknown, unknown, unknown])[] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [original, patch, result] of cases) t.same(jsonMergePatch(original, patch), result);
});
