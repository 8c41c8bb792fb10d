import t from 'tap';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { ago, NOW_MS, pod } from '../testing/objects.ts';
import { canManage, planClaim } from './claim.ts';
import { Expectations } from './expectations.ts';
import { canonicalJson, templateHash } from './hash.ts';
import { scaledValue } from './int-or-percent.ts';
import { slowStart } from './pod-control.ts';
import { choosePodsToDelete, isPodAvailable } from './pods.ts';

t.test('choosePodsToDelete() ranks', async (t) => {
  const on = (nodeName: string) => ({ spec: { nodeName } });
  const cost = (value: string) => ({
    meta: { annotations: { 'controller.kubernetes.io/pod-deletion-cost': value } },
  });
  const rows = [
    {
      name: 'unassigned first',
      pods: [pod('b', { ...on('n'), ready: true }), pod('a')],
      want: 'a',
    },
    {
      name: 'pending before running',
      pods: [pod('r', { ...on('n'), ready: true }), pod('p', on('n'))],
      want: 'p',
    },
    {
      name: 'not ready before ready',
      pods: [
        pod('r', { ...on('n'), ready: true }),
        pod('u', { ...on('n'), status: { phase: 'Running' } }),
      ],
      want: 'u',
    },
    {
      name: 'cheaper first',
      pods: [
        pod('dear', { ...on('n'), ...cost('5'), ready: true }),
        pod('cheap', { ...on('n'), ...cost('-5'), ready: true }),
      ],
      want: 'cheap',
    },
    {
      name: 'from the fuller node',
      pods: [
        pod('alone', { ...on('n1'), ready: true }),
        pod('two', { ...on('n2'), ready: true }),
        pod('three', { ...on('n2'), ready: true }),
      ],
      want: 'three',
    },
    {
      name: 'newer first',
      pods: [
        pod('old', { ...on('n'), meta: { creationTimestamp: ago(9000) } }),
        pod('new', { ...on('n'), meta: { creationTimestamp: ago(10) } }),
      ],
      want: 'new',
    },
  ];
  for (const { name, pods, want } of rows) {
    const chosen = choosePodsToDelete(pods, pods, 1, NOW_MS).map((p) => p.metadata.name);
    t.same(chosen, [want], name);
  }
});

t.test('isPodAvailable() waits for minReadySeconds', async (t) => {
  const readySince = (seconds: number) =>
    pod('p', {
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: ago(seconds) }],
      },
    });
  t.equal(isPodAvailable(readySince(5), 0, NOW_MS), true);
  t.equal(isPodAvailable(readySince(5), 10, NOW_MS), false);
  t.equal(isPodAvailable(readySince(10), 10, NOW_MS), true);
  t.equal(isPodAvailable(pod('p'), 0, NOW_MS), false);
});

t.test('planClaim() adopts, releases and leaves alone', async (t) => {
  const owner = pod('owner');
  const selector = compileLabelSelector({ matchLabels: { app: 'x' } });
  const ref = (uid: string) => [
    { apiVersion: 'v1', kind: 'Pod', name: 'o', uid, controller: true },
  ];
  const one = (name: string, app: string, uid?: string, deleting = false) =>
    pod(name, {
      meta: {
        labels: { app },
        ...(uid === undefined ? {} : { ownerReferences: ref(uid) }),
        ...(deleting ? { deletionTimestamp: ago(0) } : {}),
      },
    });
  const plan = planClaim(owner, selector, [
    one('mine', 'x', 'uid-owner'),
    one('moved', 'y', 'uid-owner'),
    one('orphan', 'x'),
    one('dying orphan', 'x', undefined, true),
    one('stranger', 'y'),
    one('theirs', 'x', 'uid-other'),
  ]);
  const names = (pods: readonly { metadata: { name: string } }[]) =>
    pods.map((p) => p.metadata.name);
  t.same(names(plan.owned), ['mine']);
  t.same(names(plan.adopt), ['orphan']);
  t.same(names(plan.release), ['moved']);
  const dying = pod('owner', { meta: { deletionTimestamp: ago(0) } });
  t.same(planClaim(dying, selector, [one('orphan', 'x')]).adopt, []);
});

t.test('canManage() wants a selector that knows its own pods', async (t) => {
  const template = { metadata: { labels: { app: 'x' } } };
  t.equal(canManage(compileLabelSelector({ matchLabels: { app: 'x' } }), template), true);
  t.equal(canManage(compileLabelSelector({ matchLabels: { app: 'y' } }), template), false);
  t.equal(canManage(compileLabelSelector({}), template), false);
  t.equal(canManage(compileLabelSelector(undefined), template), false);
});

t.test('Expectations hold until seen, or too old', async (t) => {
  const e = new Expectations();
  t.equal(e.isSatisfied('k', 0), true);
  e.expectCreations('k', 2, 0);
  e.creationObserved('k');
  t.equal(e.isSatisfied('k', 0), false);
  e.creationObserved('k');
  t.equal(e.isSatisfied('k', 0), true);
  e.expectDeletions('k', ['a', 'b'], 0);
  e.deletionObserved('k', 'a');
  e.deletionObserved('k', 'a');
  t.equal(e.isSatisfied('k', 1000), false);
  t.equal(e.isSatisfied('k', 301_000), true);
});

t.test('slowStart() stops after the batch that fails', async (t) => {
  const tried: number[] = [];
  const result = await slowStart(10, async (i) => {
    tried.push(i);
    if (i === 2) throw new Error('no');
  });
  t.same(tried, [0, 1, 2]);
  t.same({ succeeded: result.succeeded, skipped: result.skipped }, { succeeded: 2, skipped: 7 });
  t.equal((await slowStart(5, async () => undefined)).succeeded, 5);
});

t.test('templateHash() is stable, and differs with the collision count', async (t) => {
  const template = { spec: { b: 1, a: [1, { y: 2, x: undefined }], empty: {} } };
  t.equal(canonicalJson(template), '{"spec":{"a":[1,{"y":2}],"b":1}}');
  const same = { spec: { a: [1, { y: 2 }], b: 1 } };
  t.equal(templateHash(template, undefined), templateHash(same, undefined));
  t.not(templateHash(template, undefined), templateHash(template, 1));
  t.match(templateHash(template, undefined), /^[bcdfghjklmnpqrstvwxz2456789]+$/);
});

t.test('scaledValue()', async (t) => {
  t.equal(scaledValue('25%', 10, 'up'), 3);
  t.equal(scaledValue('25%', 10, 'down'), 2);
  t.equal(scaledValue(4, 10, 'down'), 4);
  t.equal(scaledValue('x', 10, 'down'), 0);
  t.equal(scaledValue(undefined, 10, 'up'), 0);
});
