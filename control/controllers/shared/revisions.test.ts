import t from 'tap';
import type { ControllerRevision, StatefulSet } from '#base/kube/api/apps-v1.gen.ts';
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { statefulsets } from '#base/kube/api/resources.gen.ts';
import { type KubeClient, KubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { meta } from '../testing/objects.ts';
import { templateHash } from './hash.ts';
import { ensureRevision, revisionData } from './revisions.ts';

const set: StatefulSet = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: meta('web'),
  spec: {
    selector: { matchLabels: { app: 'w' } },
    template: { metadata: meta('', { labels: { app: 'w' } }) },
    serviceName: 'web',
  },
  status: { replicas: 0 },
};

t.test(
  'ensureRevision() takes what stands under its name, while the cache is behind',
  async (t) => {
    const own = newControllerRef(statefulsets, set);
    const rows: [
      name: string,
      owner: OwnerReference | undefined,
      collisions: number | undefined,
    ][] = [
      ['ours', own, undefined],
      ['nobodys', undefined, undefined],
      ['of an earlier set of that name', { ...own, uid: 'earlier' }, undefined],
      ['of a daemon set of that name', { ...own, kind: 'DaemonSet', uid: 'd' }, 1],
    ];
    for (const [name, owner, collisions] of rows) {
      const revision = (at: string): ControllerRevision => ({
        apiVersion: 'apps/v1',
        kind: 'ControllerRevision',
        metadata: meta(at, owner === undefined ? {} : { ownerReferences: [owner] }),
        data: revisionData(set.spec.template),
        revision: 1,
      });
      let created = 0;
      const client = {
        async create(_resource: unknown, draft: ControllerRevision) {
          if (created++ > 0) return draft;
          throw new KubeError({ code: 409, reason: 'AlreadyExists' });
        },
        get: async (_resource: unknown, at: { name: string }) => revision(at.name),
      } as unknown as KubeClient; // All that is called.
      const revisions = { store: { list: () => [] } } as unknown as Informer<ControllerRevision>; // Behind.
      const io = { client, resource: statefulsets, revisions, hashLabel: 'hash' };
      const found = await ensureRevision(io, set, new AbortController().signal);
      t.equal(found.collisionCount, collisions, name);
    }
  },
);

t.test('templateHash() is one for no collision and for none yet', async (t) => {
  const hash = (count: number | undefined) => templateHash(set.spec.template, count);
  t.equal(hash(0), hash(undefined));
  t.not(hash(1), hash(0));
});
