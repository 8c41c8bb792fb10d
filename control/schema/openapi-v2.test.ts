import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readDescriptions } from './descriptions-file.ts';
import { openApiV3 } from './openapi.ts';
import { type OpenApiV2Document, openApiV2 } from './openapi-v2.ts';
import { encodeOpenApiV2 } from './openapi-v2-proto.ts';
import { NO_UPSTREAM, upstreamModule, withoutEnums } from './testdata/upstream.ts';

const kubernetes = upstreamModule('k8s.io/kubernetes');

type Json = Record<string, unknown>;

interface Swagger {
  readonly definitions: Json;
  readonly paths: Record<string, Json>;
}

/** What is said of an operation, without its parameters, which upstream partly refers to. */
function withoutParameters(operation: unknown): Json {
  const { parameters: _, ...rest } = operation as Json; // An operation.
  const types = (key: string) =>
    ((rest[key] ?? []) as string[]).filter((type) => !type.includes('cbor')).toSorted(); // A list.
  return { ...rest, produces: types('produces'), consumes: types('consumes') };
}

await t.test(
  'openApiV2() describes types and operations as upstream recorded',
  kubernetes === undefined ? { skip: NO_UPSTREAM } : {},
  async (t) => {
    const file = join(kubernetes ?? '', 'api/openapi-spec/swagger.json');
    const theirs = JSON.parse(readFileSync(file, 'utf8')) as Swagger; // Upstream's recording.
    const document = openApiV2(openApiV3(undefined, await readDescriptions()));
    const ours = JSON.parse(JSON.stringify(document)) as Swagger; // As a client gets it.
    for (const [name, schema] of Object.entries(ours.definitions)) {
      // These two list the alpha and beta group versions too.
      if (/\.(DeleteOptions|WatchEvent)$/.test(name)) continue;
      t.same(withoutEnums(schema), withoutEnums(theirs.definitions[name]), name);
    }
    for (const [path, { parameters: _, ...item }] of Object.entries(ours.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        const recorded = theirs.paths[path]?.[method];
        t.same(withoutParameters(operation), withoutParameters(recorded), `${method} ${path}`);
      }
    }
    t.ok(Object.keys(ours.definitions).length > 500);
  },
);

function at(value: unknown, ...keys: string[]): Json {
  return keys.reduce((v: unknown, key) => (v as Json)[key], value) as Json; // A JSON document.
}

await t.test('openApiV2() has what kubectl looks for', async (t) => {
  const document = openApiV2(openApiV3());
  const path = '/apis/apps/v1/namespaces/{namespace}/deployments/{name}';
  const patch = at(document, 'paths', path, 'patch');
  t.match(patch['parameters'], [
    { name: 'body', in: 'body', required: true },
    { name: 'dryRun', in: 'query', type: 'string', uniqueItems: true },
    { name: 'fieldManager' },
    { name: 'fieldValidation' },
    { name: 'force', type: 'boolean' },
  ]);
  const kind = { group: 'apps', kind: 'Deployment', version: 'v1' };
  t.same(patch['x-kubernetes-group-version-kind'], kind);
  const spec = at(document, 'definitions', 'io.k8s.api.core.v1.PodSpec', 'properties');
  t.same(spec['containers'], {
    items: { $ref: '#/definitions/io.k8s.api.core.v1.Container' },
    type: 'array',
    'x-kubernetes-list-map-keys': ['name'],
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-patch-merge-key': 'name',
    'x-kubernetes-patch-strategy': 'merge',
  });
  t.same(at(document, 'definitions', 'io.k8s.apimachinery.pkg.api.resource.Quantity'), {
    type: 'string',
  });
});

/** Every message of the table once, each kind of field. */
const SMALL: OpenApiV2Document = {
  swagger: '2.0',
  info: { title: 'T', version: 'v1' },
  paths: {
    '/a/{n}': {
      get: {
        tags: ['t'],
        description: 'd',
        operationId: 'o',
        consumes: ['*/*'],
        produces: ['j'],
        schemes: ['https'],
        parameters: [
          { name: 'body', in: 'body', required: true, schema: { $ref: '#/definitions/A' } },
          { name: 'q', in: 'query', description: 'é', type: 'string', uniqueItems: true },
        ],
        responses: {
          '200': { description: 'OK', schema: { type: 'string' } },
          '401': { description: 'U' },
        },
        'x-k': 'get',
      },
      parameters: [{ name: 'n', in: 'path', required: true, type: 'string', uniqueItems: true }],
    },
  },
  definitions: {
    A: {
      description: 'x',
      type: 'object',
      required: ['a'],
      properties: {
        a: { type: 'array', items: { $ref: '#/definitions/B' }, 'x-list': 'map' },
        m: { type: 'object', additionalProperties: { type: 'integer', format: 'int32' } },
      },
    },
    B: { type: 'string', enum: ['P', 'Q'] },
  },
  securityDefinitions: {
    B: { type: 'apiKey', name: 'authorization', in: 'header', description: 'd' },
  },
  security: [{ B: [] }],
};

/** Recorded: gnostic-models v0.7.0 ParseDocument, `yaml` fields as JSON, proto.Marshal. */
const SMALL_HEX = [
  '0a03322e3012070a01541202763142cd0112ca010a062f612f7b6e7d12bf01129e010a01741a01642a01',
  '6f32016a3a032a2f2a42250a230a211204626f64791a04626f647920012a110a0f232f646566696e6974',
  '696f6e732f41421f0a1d121b1a19120571756572791a02c3a92201713206737472696e67a001014a2c0a',
  '1c0a0332303012150a130a024f4b120d0a0bb201080a06737472696e670a0c0a0334303112050a030a01',
  '55520568747470736a0e0a03782d6b1207120522676574224a1c0a1a1218221608011204706174682201',
  '6e2a06737472696e679801014aa3010a7f0a0141127a2201789a010161b201080a066f626a656374ca01',
  '650a390a01611234b201070a056172726179ba01130a110a0f232f646566696e6974696f6e732f42fa01',
  '110a06782d6c69737412071205226d6170220a280a016d1223aa01150a131205696e743332b201090a07',
  '696e7465676572b201080a066f626a6563740a200a0142121ba201051203225022a201051203225122b2',
  '01080a06737472696e6762070a050a014212006a2b0a290a0142122412220a066170694b6579120d6175',
  '74686f72697a6174696f6e1a06686561646572220164',
].join('');

await t.test('encodeOpenApiV2() writes what gnostic writes', async (t) => {
  t.equal(Buffer.from(encodeOpenApiV2(SMALL)).toString('hex'), SMALL_HEX);
});

await t.test('encodeOpenApiV2() takes every document of ours, and nothing unknown', async (t) => {
  t.ok(encodeOpenApiV2(openApiV2(openApiV3())).length > 500_000);
  t.throws(() => encodeOpenApiV2({ ...SMALL, info: { title: 'T', contact: {} } }), {
    message: /Info has no field 'contact'/,
  });
});
