import t from 'tap';
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { FOREGROUND, Graph, type GraphNode, nodeOf } from './graph.ts';
import { blockingDependents, type Owners, planItem } from './plan.ts';
import { pod, ago } from '../testing/objects.ts';

const ref = (uid: string, block = false): OwnerReference => ({
  apiVersion: 'v1',
  kind: 'Pod',
  name: uid,
  uid,
  blockOwnerDeletion: block,
});
const resource = {
  group: '',
  version: 'v1',
  resource: 'pods',
  kind: 'Pod',
  namespaced: true,
  verbs: new Set<string>(),
};
const node = (uid: string, owners: OwnerReference[] = [], finalizers?: string[]): GraphNode =>
  nodeOf(
    resource,
    pod(uid, {
      meta: {
        uid,
        ownerReferences: owners,
        ...(finalizers === undefined ? {} : { finalizers, deletionTimestamp: ago(0) }),
      },
    }),
  );
const owners = (o: Partial<Owners>): Owners => ({ solid: [], dangling: [], waiting: [], ...o });

t.test('planItem()', async (t) => {
  const child = node('child', [ref('x', true)]);
  const dyingChild = node('child', [ref('x', true)], [FOREGROUND]);
  const rows = [
    {
      name: 'kept by an owner',
      plan: planItem([], owners({ solid: [ref('a')] }), []),
      want: { kind: 'keep' },
    },
    {
      name: 'absent owners are dropped while one keeps it',
      plan: planItem(
        [],
        owners({ solid: [ref('a')], dangling: [ref('b')], waiting: [ref('c')] }),
        [],
      ),
      want: { kind: 'dropOwners', uids: ['b', 'c'] },
    },
    { name: 'no owner references', plan: planItem([], owners({}), []), want: { kind: 'keep' } },
    {
      name: 'all owners absent',
      plan: planItem([], owners({ dangling: [ref('b')] }), []),
      want: { kind: 'delete', policy: 'Background', unblock: false },
    },
    {
      name: 'its own finalizer decides',
      plan: planItem(['orphan'], owners({ dangling: [ref('b')] }), []),
      want: { kind: 'delete', policy: 'Orphan', unblock: false },
    },
    {
      name: 'an owner waits: dependents first',
      plan: planItem([], owners({ waiting: [ref('c')] }), [child]),
      want: { kind: 'delete', policy: 'Foreground', unblock: false },
    },
    {
      name: 'a cycle is broken',
      plan: planItem([], owners({ waiting: [ref('c')] }), [dyingChild]),
      want: { kind: 'delete', policy: 'Foreground', unblock: true },
    },
    {
      name: 'an owner waits for a leaf',
      plan: planItem([], owners({ waiting: [ref('c')] }), []),
      want: { kind: 'delete', policy: 'Background', unblock: false },
    },
  ];
  for (const { name, plan, want } of rows) t.same(plan, want, name);
});

t.test('Graph follows references', async (t) => {
  const graph = new Graph();
  graph.put(node('a'));
  graph.put(node('b', [ref('a', true)]));
  graph.put(node('c', [ref('a'), ref('b')]));
  const uids = (nodes: readonly GraphNode[]) => nodes.map(({ uid }) => uid).sort();
  t.same(uids(graph.dependentsOf('a')), ['b', 'c']);
  t.same(uids(blockingDependents('a', graph.dependentsOf('a'))), ['b']);
  graph.put(node('c', [ref('b')]));
  t.same(uids(graph.dependentsOf('a')), ['b']);
  graph.remove('b');
  t.same(uids(graph.dependentsOf('a')), []);
  t.same(uids(graph.dependentsOf('b')), ['c'], 'dependents of what is gone are known');
  t.equal(graph.size, 2);
});
