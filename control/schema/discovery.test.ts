import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Discovery, type Document, discovery } from './discovery.ts';
import { NO_UPSTREAM, upstreamModule } from './testdata/upstream.ts';

const kubernetes = upstreamModule('k8s.io/kubernetes');

interface Versions {
  versions?: { version: string }[];
}

const isStable = (version: string): boolean => /^v\d+$/.test(version);

/** Upstream records alpha and beta versions too, which are off by default. */
function keepStable<T extends Versions>(group: T): T {
  const versions = (group.versions ?? []).filter((v) => isStable(v.version));
  return { ...group, versions };
}

function ours(served: Discovery, name: string): Document | undefined {
  const [prefix, first = '', second] = name.split('__');
  if (name === 'api') return served.legacyVersions;
  if (name === 'apis') return served.groups;
  if (prefix === 'api') return served.groupVersion('', first);
  return second === undefined ? served.group(first) : served.groupVersion(first, second);
}

function recorded(path: string, name: string): Document | undefined {
  const document = JSON.parse(readFileSync(path, 'utf8'));
  if (name === 'api') {
    delete document.serverAddressByClientCIDRs;
    return document;
  }
  if (name === 'apis') {
    const groups = document.groups.map(keepStable).filter((g: Versions) => g.versions?.length);
    return { ...document, groups };
  }
  if (name.split('__').length > 2 || name.startsWith('api__')) {
    return isStable(name.slice(name.lastIndexOf('__') + 2)) ? document : undefined;
  }
  const group = keepStable<Versions>(document);
  return group.versions?.length ? (group as Document) : undefined; // Recorded JSON.
}

await t.test(
  'discovery() answers as upstream recorded',
  kubernetes === undefined ? { skip: NO_UPSTREAM } : {},
  async (t) => {
    const folder = join(kubernetes ?? '', 'api/discovery');
    const served = discovery();
    for (const file of readdirSync(folder).filter((f) => /^apis?(__.*)?\.json$/.test(f))) {
      const name = file.slice(0, -'.json'.length);
      const wanted = recorded(join(folder, file), name);
      t.same(JSON.parse(JSON.stringify(ours(served, name) ?? null)), wanted ?? null, name);
    }
  },
);

await t.test('discovery() shows only what is served', async (t) => {
  const served = discovery((group, _version, resource) => group === '' && !resource.includes('/'));
  t.same(served.groups['groups'], []);
  t.equal(served.group('apps'), undefined);
  t.equal(served.groupVersion('apps', 'v1'), undefined);
  const core = served.groupVersion('', 'v1') ?? {};
  const names = (core['resources'] as { name: string }[]).map((r) => r.name); // APIResourceList.
  t.ok(names.includes('pods'));
  t.notOk(names.some((name) => name.includes('/')));
});
