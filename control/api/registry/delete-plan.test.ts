import t from 'tap';
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { type DeleteOptions, planDelete, validateDeleteOptions } from './delete-plan.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const rules = { group: '', version: 'v1', resource: 'things' };
const pods: ResourceRules = { ...rules, gracePeriodSeconds: (_o, r) => r.gracePeriodSeconds ?? 30 };
const jobs: ResourceRules = { ...rules, defaultPropagation: 'Orphan' };
const dueIn = (seconds: number) => new Date(NOW + seconds * 1000).toISOString().replace('.000', '');

const cases: {
  name: string;
  rules?: ResourceRules;
  metadata?: Partial<ObjectMeta>;
  options?: DeleteOptions;
  kind: 'remove' | 'mark' | 'pending';
  marks?: Partial<ObjectMeta>;
}[] = [
  { name: 'removes what nothing holds', kind: 'remove' },
  {
    name: 'marks what a finalizer holds',
    metadata: { finalizers: ['x'], generation: 1 },
    kind: 'mark',
    marks: { deletionTimestamp: dueIn(0), deletionGracePeriodSeconds: 0, generation: 2 },
  },
  {
    name: 'adds the finalizer of foreground deletion',
    options: { propagationPolicy: 'Foreground' },
    kind: 'mark',
    marks: { finalizers: ['foregroundDeletion'] },
  },
  {
    name: 'follows the default of the kind',
    rules: jobs,
    kind: 'mark',
    marks: { finalizers: ['orphan'] },
  },
  {
    name: 'an option beats the default of the kind',
    rules: jobs,
    options: { propagationPolicy: 'Background' },
    kind: 'remove',
  },
  {
    name: 'an option beats finalizers that are there',
    metadata: { finalizers: ['orphan', 'x'] },
    options: { propagationPolicy: 'Foreground' },
    kind: 'mark',
    marks: { finalizers: ['x', 'foregroundDeletion'] },
  },
  {
    name: 'gives pods their grace',
    rules: pods,
    metadata: { generation: 1 },
    kind: 'mark',
    marks: { deletionTimestamp: dueIn(30), deletionGracePeriodSeconds: 30, generation: 2 },
  },
  {
    name: 'removes a pod without grace',
    rules: pods,
    options: { gracePeriodSeconds: 0 },
    kind: 'remove',
  },
  {
    name: 'takes negative grace as one second',
    rules: pods,
    options: { gracePeriodSeconds: -5 },
    kind: 'mark',
    marks: { deletionGracePeriodSeconds: 1 },
  },
  {
    name: 'does not lengthen grace',
    rules: pods,
    metadata: { deletionTimestamp: dueIn(10), deletionGracePeriodSeconds: 30 },
    options: { gracePeriodSeconds: 60 },
    kind: 'pending',
  },
  {
    name: 'shortens grace',
    rules: pods,
    metadata: { deletionTimestamp: dueIn(25), deletionGracePeriodSeconds: 30 },
    options: { gracePeriodSeconds: 10 },
    kind: 'mark',
    marks: { deletionTimestamp: dueIn(5), deletionGracePeriodSeconds: 10 },
  },
  {
    name: 'shortened grace that is over leaves one second',
    rules: pods,
    metadata: { deletionTimestamp: dueIn(5), deletionGracePeriodSeconds: 30 },
    options: { gracePeriodSeconds: 2 },
    kind: 'mark',
    marks: { deletionTimestamp: dueIn(0), deletionGracePeriodSeconds: 1 },
  },
];

for (const c of cases) {
  t.test(`planDelete() ${c.name}`, (t) => {
    const metadata = {
      name: 'a',
      uid: 'u',
      resourceVersion: '1',
      creationTimestamp: '',
      ...c.metadata,
    };
    const object = { apiVersion: 'v1', kind: 'Thing', metadata };
    const plan = planDelete(object, c.rules ?? rules, c.options ?? {}, NOW);
    t.equal(plan.kind, c.kind);
    if (plan.kind === 'mark') t.match(plan.object.metadata, c.marks ?? {});
    t.end();
  });
}

t.test('validateDeleteOptions() refuses options that contradict', (t) => {
  t.throws(() => validateDeleteOptions({ propagationPolicy: 'Orphan', orphanDependents: true }), {
    code: 422,
  });
  t.throws(() => validateDeleteOptions({ propagationPolicy: 'Maybe' }), { code: 422 });
  t.throws(() => validateDeleteOptions({ dryRun: ['Some'] }), { code: 422 });
  validateDeleteOptions({ propagationPolicy: 'Background', dryRun: ['All'] });
  t.end();
});
