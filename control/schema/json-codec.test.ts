import t from 'tap';
import type { GroupVersionKind } from './gvk.ts';
import { decodeJson, encodeJson, joinListJson, normalise } from './json-codec.ts';

const POD = { group: '', version: 'v1', kind: 'Pod' };
const SECRET = { group: '', version: 'v1', kind: 'Secret' };

const TYPE_META =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';
const UNREADABLE = "couldn't get version/kind; json parse error: ";
const QUANTITY =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

// Every text in these tables is what apimachinery v0.36.3 answered.
const refused: readonly (readonly [string, string])[] = [
  ['', `${UNREADABLE}unexpected end of JSON input`],
  ['[]', `${UNREADABLE}json: cannot unmarshal array into Go value of type ${TYPE_META}`],
  [
    '{"kind":5}',
    `${UNREADABLE}json: cannot unmarshal number into Go struct field .kind of type string`,
  ],
  [
    '{"kind":"Pod",}',
    `${UNREADABLE}invalid character '}' looking for beginning of object key string`,
  ],
  ['{"kind" "Pod"}', `${UNREADABLE}invalid character '"' after object key`],
  ['{"kind":"Pod" "a":1}', `${UNREADABLE}invalid character '"' after object key:value pair`],
  ['{"kind":"Pod"} x', `${UNREADABLE}invalid character 'x' after top-level value`],
  ['{"kind":tru}', `${UNREADABLE}invalid character '}' in literal true (expecting 'e')`],
  ['{"kind":"a\nb"}', `${UNREADABLE}invalid character '\\n' in string literal`],
  ["{'a':1}", `${UNREADABLE}invalid character '\\'' looking for beginning of object key string`],
  ['{"a":1.}', `${UNREADABLE}invalid character '}' after decimal point in numeric literal`],
  ['{"apiVersion":"a/b/c","kind":"Pod"}', 'unexpected GroupVersion string: a/b/c'],
  [
    '{"apiVersion":"v1","kind":"Foo"}',
    'no kind "Foo" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"',
  ],
  [
    '{"spec":{"containers":"x"}}',
    'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
  ],
  [
    '{"spec":{"containers":[{"image":5}]}}',
    'json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string',
  ],
  [
    '{"spec":{"containers":[{"livenessProbe":{"exec":5}}]}}',
    'json: cannot unmarshal number into Go struct field Probe.spec.containers.livenessProbe.ProbeHandler.exec of type v1.ExecAction',
  ],
  [
    '{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":1.5}}}]}}',
    'json: cannot unmarshal number 1.5 into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32',
  ],
  [
    '{"spec":{"priority":99999999999}}',
    'json: cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority of type int32',
  ],
  [
    '{"metadata":{"labels":{"a":1}}}',
    'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string',
  ],
  [
    '{"metadata":{"creationTimestamp":"x"}}',
    'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
  ],
  [
    '{"metadata":{"creationTimestamp":"2024-02-30T00:00:00Z"}}',
    'parsing time "2024-02-30T00:00:00Z": day out of range',
  ],
  [
    '{"metadata":{"creationTimestamp":"ü"}}',
    'parsing time "\\xc3\\xbc" as "2006-01-02T15:04:05Z07:00": cannot parse "\\xc3\\xbc" as "2006"',
  ],
  [
    '{"spec":{"restartPolicy":true}}',
    'json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy',
  ],
  [
    '{"spec":{"volumes":[{"quobyte":{"readOnly":1}}]}}',
    'json: cannot unmarshal number into Go struct field QuobyteVolumeSource.spec.volumes.VolumeSource.quobyte.readOnly of type bool',
  ],
  [
    '{"metadata":{"name":1},"spec":{"containers":[{"livenessProbe":{"tcpSocket":{"port":true}}}]}}',
    'json: cannot unmarshal bool into Go struct field TCPSocketAction.spec.containers.livenessProbe.ProbeHandler.tcpSocket.port of type int32',
  ],
  ['{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}', QUANTITY],
  // A value that refuses itself wins over an earlier mismatch.
  ['{"spec":{"hostNetwork":1,"containers":[{"resources":{"limits":{"cpu":[1]}}}]}}', QUANTITY],
];

await t.test('decodeJson() refuses in upstream words', async (t) => {
  for (const [text, message] of refused) {
    t.throws(() => decodeJson(text, { defaults: POD }), { name: 'SchemaError', message }, text);
  }
  t.throws(() => decodeJson('{"data":{"a":"YWJj%"}}', { defaults: SECRET }), {
    message: 'illegal base64 data at input byte 4',
  });
  t.throws(() => decodeJson('{"data":{"a":["x"]}}', { defaults: SECRET }), {
    message: 'json: cannot unmarshal string into Go struct field Secret.data of type uint8',
  });
  t.throws(() => decodeJson('{}'), { message: "Object 'Kind' is missing in '{}'" });
});

await t.test(
  'decodeJson() reports unknown and duplicate fields in the order of the text',
  async (t) => {
    const text =
      '{"spec":{"foo":1,"foo":2,"nodeName":"a","nodeName":"b",' +
      '"containers":[{"bar":1,"name":"a","name":"b"}]},"metadata":{"labels":{"a":"1","a":"2"}},"Spec":{}}';
    const { object, problems } = decodeJson(text, { defaults: POD, strict: true });
    t.same(problems, [
      'unknown field "spec.foo"',
      'duplicate field "spec.nodeName"',
      'unknown field "spec.containers[0].bar"',
      'duplicate field "spec.containers[0].name"',
      'duplicate field "metadata.labels.a"',
      'unknown field "Spec"',
    ]);
    t.same(object['spec'], { containers: [{ name: 'b', resources: {} }], nodeName: 'b' });
    t.same(decodeJson(text, { defaults: POD }).problems, [], 'not asked, not collected');
    const quoted = '{"metadata":{"annotations":{"a":"\\":{","b\\\\":":"}}}';
    t.same(decodeJson(quoted, { defaults: POD, strict: true }).problems, []);
  },
);

const encoded: readonly (readonly [GroupVersionKind, string, string])[] = [
  [POD, '{}', '"metadata":{},"spec":{"containers":null},"status":{}}'],
  [
    POD,
    '{"spec":{"volumes":[null],"containers":null},"metadata":{"labels":{"b":null,"a":"1"},"finalizers":[null]}}',
    '"metadata":{"labels":{"a":"1","b":""},"finalizers":[""]},"spec":{"volumes":[{"name":""}],"containers":null},"status":{}}',
  ],
  [
    POD,
    '{"metadata":{"name":"<a>&\u2028","creationTimestamp":"0001-01-01T00:00:00Z"},"status":{"startTime":"2024-02-20T00:00:00.5+01:00"}}',
    '"metadata":{"name":"\\u003ca\\u003e\\u0026\\u2028"},"spec":{"containers":null},"status":{"startTime":"2024-02-19T23:00:00Z"}}',
  ],
  [SECRET, '{"data":{"b":"YW\\nI=","c":[97,98]}}', '"metadata":{},"data":{"b":"YWI=","c":"YWI="}}'],
  [
    { group: 'apps', version: 'v1', kind: 'ControllerRevision' },
    '{"data":{"b": 1,"a":[1, 2]}}',
    '"metadata":{},"data":{"b":1,"a":[1,2]},"revision":0}',
  ],
];

await t.test('encodeJson() writes fields, zeros and nulls where upstream does', async (t) => {
  for (const [gvk, text, tail] of encoded) {
    const { object } = decodeJson(text, { defaults: gvk });
    const version = gvk.group === '' ? gvk.version : `${gvk.group}/${gvk.version}`;
    t.equal(encodeJson(gvk, object), `{"kind":"${gvk.kind}","apiVersion":"${version}",${tail}`);
  }
});

await t.test('a key named __proto__ is a key', async (t) => {
  const text = '{"data":{"__proto__":"YQ=="}}';
  const { object } = decodeJson(text, { defaults: SECRET, strict: true });
  t.match(encodeJson(SECRET, object), '"data":{"__proto__":"YQ=="}');
  t.equal(({} as Record<string, unknown>)['a'], undefined);
});

await t.test('normalise() takes values that never were text', async (t) => {
  const spec = { nodeName: undefined, foo: 1, containers: [{ name: 'a' }] };
  const { object, problems } = normalise(POD, { spec }, true);
  t.same(problems, ['unknown field "spec.foo"']);
  t.same(object['spec'], { containers: [{ name: 'a', resources: {} }] });
});

await t.test('joinListJson() leaves kind and apiVersion out of the items', async (t) => {
  const item = encodeJson(SECRET, { kind: 'Secret', apiVersion: 'v1' });
  const list = joinListJson({ ...SECRET, kind: 'SecretList' }, { resourceVersion: '7' }, [
    item,
    item,
  ]);
  t.equal(
    list,
    '{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{}},{"metadata":{}}]}',
  );
});

await t.test('decodeJson() survives deep nesting', async (t) => {
  const nested = (depth: number, key: string): string =>
    `${`{"${key}":`.repeat(depth)}{}${'}'.repeat(depth)}`;
  const crd = { group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition' };
  const schema = (depth: number): string =>
    `{"spec":{"versions":[{"schema":{"openAPIV3Schema":${nested(depth, 'not')}}}]}}`;
  t.ok(decodeJson(schema(100), { defaults: crd, strict: true }));
  t.throws(() => decodeJson(schema(100_000), { defaults: crd }), { code: 'MALFORMED' });
  t.throws(() => decodeJson('['.repeat(100_000), { defaults: crd }), { code: 'MALFORMED' });
});
