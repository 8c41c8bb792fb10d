import t from 'tap';
import type { Pod, PodSpec, ResourceQuota } from '#base/kube/api/core-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { formatQuantity } from '#base/kube/quantity.ts';
import {
  admit,
  describeMissing,
  formatUsed,
  isInScope,
  unknownStatus,
  usageDelta,
  usageOf,
} from './quota.ts';

const metadata = {
  name: 'o',
  namespace: 'ns',
  uid: 'u',
  resourceVersion: '1',
  creationTimestamp: '',
};
const pod = (spec: Partial<PodSpec> = {}, phase = 'Running'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata,
  spec: { containers: [{ name: 'c' }], ...spec },
  status: { phase },
});
const resources = (requests: Record<string, string>, limits: Record<string, string> = {}) => ({
  containers: [{ name: 'c', resources: { requests, limits } }],
});
const core = (resource: string) => ({ group: '', resource });
const show = (usage: ReadonlyMap<string, Parameters<typeof formatQuantity>[0]>) =>
  Object.fromEntries([...usage].map(([name, quantity]) => [name, formatQuantity(quantity)]));
const quota = (
  hard: Record<string, string>,
  used: Record<string, string> = {},
  spec = {},
): ResourceQuota => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { ...metadata, name: 'q' },
  spec: { hard, ...spec },
  status: { hard, used },
});

t.test('usageOf()', async (t) => {
  t.same(
    show(
      usageOf(
        core('pods'),
        pod(resources({ cpu: '500m', memory: '252Mi', 'example.com/gpu': '2' }, { cpu: '1' })),
      ),
    ),
    {
      'count/pods': '1',
      pods: '1',
      'requests.cpu': '500m',
      cpu: '500m',
      'requests.memory': '252Mi',
      memory: '252Mi',
      'requests.example.com/gpu': '2',
      'limits.cpu': '1',
    },
  );
  t.same(show(usageOf(core('pods'), pod({}, 'Succeeded'))), { 'count/pods': '1' });
  const service = (spec: object) =>
    ({ apiVersion: 'v1', kind: 'Service', metadata, spec }) as KubeObject;
  t.match(show(usageOf(core('services'), service({ type: 'NodePort', ports: [{}, {}] }))), {
    services: '1',
    'services.nodeports': '2',
    'services.loadbalancers': '0',
  });
  t.match(show(usageOf(core('services'), service({ type: 'LoadBalancer', ports: [{}] }))), {
    'services.nodeports': '1',
    'services.loadbalancers': '1',
  });
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata,
    spec: { storageClassName: 'gold', resources: { requests: { storage: '1Gi' } } },
  } as KubeObject;
  t.match(show(usageOf(core('persistentvolumeclaims'), claim)), {
    'requests.storage': '1Gi',
    'gold.storageclass.storage.k8s.io/requests.storage': '1Gi',
    'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
  });
  t.same(show(usageOf({ group: 'apps', resource: 'deployments' }, pod())), {
    'count/deployments.apps': '1',
  });
});

t.test('isInScope()', async (t) => {
  const inScope = (scopes: string[], one: Pod) =>
    isInScope(quota({}, {}, { scopes }), core('pods'), one);
  t.equal(inScope(['BestEffort'], pod()), true);
  t.equal(inScope(['NotBestEffort'], pod()), false);
  t.equal(inScope(['NotBestEffort'], pod(resources({ cpu: '1' }))), true);
  t.equal(inScope(['Terminating'], pod({ activeDeadlineSeconds: 5 })), true);
  t.equal(inScope(['NotTerminating', 'BestEffort'], pod()), true);
  t.equal(isInScope(quota({}, {}, { scopes: ['BestEffort'] }), core('services'), pod()), false);
  const scopeSelector = {
    matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }],
  };
  const byClass = (priorityClassName: string) =>
    isInScope(quota({}, {}, { scopeSelector }), core('pods'), pod({ priorityClassName }));
  t.same([byClass('high'), byClass('low')], [true, false]);
});

t.test('admit()', async (t) => {
  const delta = usageOf(core('pods'), pod(resources({ cpu: '600m' })));
  t.same(admit(quota({ pods: '2', cpu: '1' }, { pods: '1', cpu: '400m' }), delta), {
    kind: 'charged',
    used: { pods: '2', cpu: '1' },
  });
  t.same(admit(quota({ pods: '1', cpu: '1' }, { pods: '1', cpu: '500m' }), delta), {
    kind: 'exceeded',
    message:
      'exceeded quota: q, requested: cpu=600m,pods=1, used: cpu=500m,pods=1, limited: cpu=1,pods=1',
  });
  t.same(admit(quota({ services: '1' }), delta), { kind: 'free' });
  const less = usageDelta(new Map(), delta);
  t.equal(
    admit(quota({ pods: '1' }, { pods: '5' }), less).kind,
    'charged',
    'giving back is allowed',
  );
});

t.test('formatUsed(), describeMissing() and unknownStatus()', async (t) => {
  t.same(formatUsed({ pods: '5', cpu: '1' }, usageOf(core('pods'), pod())), {
    cpu: '0',
    pods: '1',
  });
  const limited = quota({ cpu: '1', 'limits.memory': '1Gi', pods: '1' });
  t.equal(describeMissing(limited, pod()), 'must specify cpu for: c; limits.memory for: c');
  t.equal(describeMissing(limited, pod(resources({ cpu: '1' }, { memory: '1Mi' }))), undefined);
  const delta = usageOf(core('pods'), pod());
  t.equal(unknownStatus(limited, delta), 'status unknown for quota: q, resources: pods');
  t.equal(unknownStatus(quota({ pods: '1' }, { pods: '0' }), delta), undefined);
});

t.test('usageOf() counts the limits that a pod states for itself, not its requests', async (t) => {
  const usage = usageOf(
    core('pods'),
    pod({
      ...resources({ cpu: '1m' }, { cpu: '2m' }),
      resources: { requests: { cpu: '1' }, limits: { cpu: '100' } },
      overhead: { cpu: '1', memory: '1Mi' },
    }),
  );
  t.match(show(usage), { 'requests.cpu': '2', 'limits.cpu': '101', 'requests.memory': '1Mi' });
  t.notOk(usage.has('limits.memory'), 'overhead is no limit of its own');
});
