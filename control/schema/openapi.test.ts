import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readDescriptions } from './descriptions-file.ts';
import { openApiIndex, openApiV3 } from './openapi.ts';
import { NO_UPSTREAM, upstreamModule, withoutEnums } from './testdata/upstream.ts';

const kubernetes = upstreamModule('k8s.io/kubernetes');

type Json = Record<string, unknown>;

function schemasOf(document: unknown): Json {
  const text = JSON.stringify(document); // As a client gets it.
  return (JSON.parse(text) as { components: { schemas: Json } }).components.schemas;
}

await t.test(
  'openApiV3() describes every type as upstream recorded',
  kubernetes === undefined ? { skip: NO_UPSTREAM } : {},
  async (t) => {
    const api = openApiV3(() => true, await readDescriptions());
    const seen = new Set<string>();
    for (const path of api.paths) {
      const file = `${path.replaceAll('/', '__')}_openapi.json`;
      const recorded = join(kubernetes ?? '', 'api/openapi-spec/v3', file);
      t.ok(existsSync(recorded), path);
      const ours = schemasOf(api.document(path));
      const theirs = schemasOf(JSON.parse(readFileSync(recorded, 'utf8')));
      t.same(Object.keys(ours).toSorted(), Object.keys(theirs).toSorted(), `${path}: same types`);
      for (const [name, schema] of Object.entries(theirs)) {
        // These two list the alpha and beta group versions too.
        if (seen.has(name) || /\.(DeleteOptions|WatchEvent)$/.test(name)) continue;
        seen.add(name);
        t.same(withoutEnums(ours[name]), withoutEnums(schema), name);
      }
    }
    t.ok(seen.size > 500, `${seen.size} types`);
  },
);

function at(value: unknown, ...keys: string[]): Json {
  return keys.reduce((v: unknown, key) => (v as Json)[key], value) as Json; // A JSON document.
}

await t.test('openApiV3() has what kubectl looks for', async (t) => {
  const document = openApiV3().document('apis/apps/v1');
  const path = '/apis/apps/v1/namespaces/{namespace}/deployments/{name}';
  const patch = at(document, 'paths', path, 'patch');
  t.same(
    (patch['parameters'] as Json[]).map((p) => p['name']),
    ['dryRun', 'fieldManager', 'fieldValidation', 'force'],
  );
  t.same(patch['x-kubernetes-group-version-kind'], {
    group: 'apps',
    kind: 'Deployment',
    version: 'v1',
  });
  const spec = at(document, 'components', 'schemas', 'io.k8s.api.core.v1.PodSpec', 'properties');
  t.match(spec['containers'], {
    'x-kubernetes-patch-merge-key': 'name',
    'x-kubernetes-patch-strategy': 'merge',
  });
  t.same(spec['restartPolicy'], { type: 'string', enum: ['Always', 'Never', 'OnFailure'] });
});

await t.test('openApiV3() shows only what is served', async (t) => {
  const api = openApiV3((group, _version, resource) => group === '' && resource === 'pods');
  t.same(api.paths, ['api/v1']);
  t.equal(api.document('apis/apps/v1'), undefined);
  const paths = Object.keys(at(api.document('api/v1'), 'paths'));
  t.ok(paths.includes('/api/v1/namespaces/{namespace}/pods/{name}'));
  t.notOk(paths.some((p) => p.endsWith('/status')));
  t.same(
    openApiIndex(api, () => 'AB'),
    {
      paths: { 'api/v1': { serverRelativeURL: '/openapi/v3/api/v1?hash=AB' } },
    },
  );
});
