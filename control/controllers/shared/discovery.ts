/**
 * The resources that a server offers, by the plain discovery documents: one entry per resource at its
 * group's preferred version, subresources left out. Used by garbage collector, namespace controller
 * and resource quota. A group whose document cannot be read is reported beside what could be.
 */
import type { APIGroupList, APIResourceList } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeClient, KubeObject, Resource } from '#base/kube/client.ts';
import { errorText } from '#base/errors.ts';

export interface DiscoveredResource extends Resource<KubeObject> {
  readonly verbs: ReadonlySet<string>;
}

export interface Discovery {
  readonly resources: readonly DiscoveredResource[];
  readonly failures: readonly string[];
}

export async function discoverResources(
  client: KubeClient,
  signal: AbortSignal,
): Promise<Discovery> {
  const groups = (await client.raw({ method: 'GET', path: '/apis' }, signal)) as APIGroupList; // By URL.
  const documents = [{ group: '', version: 'v1', path: '/api/v1' }];
  for (const { name, versions, preferredVersion } of groups.groups) {
    // Resources that only an older version has are found there.
    const preferred = preferredVersion?.version;
    const ordered = [...versions].sort(
      (a, b) => Number(b.version === preferred) - Number(a.version === preferred),
    );
    for (const { version } of ordered) {
      documents.push({ group: name, version, path: `/apis/${name}/${version}` });
    }
  }
  const found = new Map<string, DiscoveredResource>();
  const failures: string[] = [];
  const lists = await Promise.all(
    documents.map(async ({ path }) => {
      try {
        return (await client.raw({ method: 'GET', path }, signal)) as APIResourceList; // By URL.
      } catch (error) {
        signal.throwIfAborted();
        failures.push(`${path}: ${errorText(error)}`);
        return undefined;
      }
    }),
  );
  documents.forEach(({ group, version }, index) => {
    for (const { name, kind, namespaced, verbs } of lists[index]?.resources ?? []) {
      const key = `${name}.${group}`;
      if (name.includes('/') || found.has(key)) continue;
      const entry = { group, version, resource: name, kind, namespaced, verbs: new Set(verbs) };
      found.set(key, entry);
    }
  });
  return { resources: [...found.values()], failures };
}
