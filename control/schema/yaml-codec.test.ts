import t from 'tap';
import { decodeYaml, encodeYaml } from './yaml-codec.ts';

const POD = { group: '', version: 'v1', kind: 'Pod' };
const REVISION = { group: 'apps', version: 'v1', kind: 'ControllerRevision' };

await t.test('decodeYaml() reads scalars as upstream', async (t) => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['yes', true],
    ['NO', false],
    ['on', true],
    ['012', 10],
    ['1:30', '1:30'],
    ['2001-01-01', '2001-01-01'],
    ['1_000', 1000],
    ['~', null],
    ['0x1F', 31],
    ['1e3', 1000],
    ['"yes"', 'yes'],
  ];
  for (const [text, value] of cases) {
    const { object } = decodeYaml(`data:\n  a: ${text}\n`, { defaults: REVISION });
    t.same(object['data'], { a: value }, text);
  }
});

await t.test('decodeYaml() refuses and reports in upstream words', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['a: b: c', 'yaml: mapping values are not allowed in this context'],
    ['a: *x', "yaml: unknown anchor 'x' referenced"],
    [
      'metadata:\n  name: 1\n',
      'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string',
    ],
  ];
  for (const [text, message] of cases) {
    t.throws(() => decodeYaml(text, { defaults: POD }), { name: 'SchemaError', message }, text);
  }
  const text = 'kind: Pod\nspec:\n  foo: 1\n  nodeName: a\n  nodeName: b\n';
  const { object, problems } = decodeYaml(text, { defaults: POD, strict: true });
  t.same(problems, [
    'yaml: unmarshal errors:\n  line 5: key "nodeName" already set in map',
    'unknown field "spec.foo"',
  ]);
  t.match(object['spec'], { nodeName: 'b' });
});

await t.test('decodeYaml() takes the first document', async (t) => {
  const { gvk } = decodeYaml('kind: Pod\napiVersion: v1\n---\nkind: Secret\n');
  t.same(gvk, POD);
});

await t.test('encodeYaml() sorts keys and quotes what would read as another type', async (t) => {
  const object = {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name: 'x', annotations: { b: 'yes', a: '012', c: '1' } },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  };
  t.equal(
    encodeYaml(POD, object),
    'apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a: "012"\n    b: "yes"\n    c: "1"\n' +
      '  name: x\nspec:\n  containers:\n  - image: i\n    name: c\n    resources: {}\nstatus: {}\n',
  );
});
