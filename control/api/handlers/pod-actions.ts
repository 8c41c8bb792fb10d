/**
 * pods/binding (the scheduler's decision) and pods/eviction (a delete that disruption budgets may
 * refuse). Source: kubernetes pkg/registry/core/pod/storage.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { PodDisruptionBudget } from '#base/kube/api/policy-v1.gen.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { nodeNameOf } from '../auth/users.ts';
import { ApiError, badRequest, conflict, forbidden, success, tooManyRequests } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import { formatTime } from '../registry/codec.ts';
import type { DeleteOptions } from '../registry/delete-plan.ts';
import { readAs } from './body.ts';
import type { Call } from './call.ts';
import { parseWriteOptions } from './options.ts';
import { replyObject } from './reply.ts';

interface Binding {
  metadata?: {
    name?: string;
    uid?: string;
    resourceVersion?: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
  };
  target?: { kind?: string; name?: string };
}

const PODS_BINDING = { group: '', resource: 'pods/binding' };

/** POST pods/NAME/binding, and the older POST bindings. */
export async function bindPod(call: Call): Promise<ApiResponse> {
  const { namespace, resource } = call.info;
  const { dryRun } = parseWriteOptions(call.query, 'CreateOptions');
  const gvk = { group: '', version: 'v1', kind: 'Binding' };
  const binding = await readAs<Binding>(call, gvk);
  const name = resource === 'bindings' ? (binding.metadata?.name ?? '') : call.info.name;
  if ((binding.metadata?.name ?? name) !== name) {
    throw badRequest('name in URL does not match name in Binding object');
  }
  const machine = checkTarget(binding, name);
  const pods = call.services.resources.must('', 'v1', 'pods');
  await call.services.registry.mutate(
    { resource: pods, namespace, name },
    // The registry of pods.
    (object) => assign(object as Pod, binding, { name, machine, nowMs: call.nowMs }),
    call.writeContext(dryRun),
  );
  return replyObject(201, success(undefined, undefined, undefined, 201), call.format());
}

function checkTarget(binding: Binding, name: string): string {
  const { kind = '', name: machine = '' } = binding.target ?? {};
  const problems: string[] = [];
  if (kind !== '' && kind !== 'Node') {
    problems.push(`target.kind: Unsupported value: "${kind}": supported values: "Node", "<empty>"`);
  }
  if (machine === '') problems.push('target.name: Required value');
  if (problems.length === 0) return machine;
  const text = problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`;
  throw badRequest(`binding of pod ${name}: ${text}`);
}

function assign(
  pod: Pod,
  binding: Binding,
  to: { name: string; machine: string; nowMs: number },
): void {
  const { name, machine, nowMs } = to;
  const { uid, resourceVersion, annotations, labels } = binding.metadata ?? {};
  if (uid && uid !== pod.metadata.uid) {
    throw conflict(PODS_BINDING, name, `Precondition failed: UID in precondition: ${uid}`);
  }
  if (resourceVersion && resourceVersion !== pod.metadata.resourceVersion) {
    throw conflict(PODS_BINDING, name, 'Precondition failed: ResourceVersion differs');
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    const because = `pod ${name} is being deleted, cannot be assigned to a host`;
    throw conflict(PODS_BINDING, name, because);
  }
  const { spec } = pod;
  if (spec === undefined) throw conflict(PODS_BINDING, name, `pod ${name} has no spec`);
  if ((spec.nodeName ?? '') !== '') {
    const because = `pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`;
    throw conflict(PODS_BINDING, name, because);
  }
  if ((spec.schedulingGates ?? []).length > 0) {
    throw conflict(PODS_BINDING, name, `pod ${name} has non-empty .spec.schedulingGates`);
  }
  spec.nodeName = machine;
  if (annotations !== undefined) {
    pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
  }
  if (labels !== undefined) pod.metadata.labels = { ...pod.metadata.labels, ...labels };
  setCondition(pod, { type: 'PodScheduled', status: 'True' }, nowMs);
}

function setCondition(
  pod: Pod,
  condition: { type: string; status: string; reason?: string; message?: string },
  nowMs: number,
): void {
  const conditions = pod.status?.conditions ?? [];
  const old = conditions.find((c) => c.type === condition.type);
  const changed = old?.status !== condition.status;
  const lastTransitionTime = changed ? formatTime(nowMs) : old?.lastTransitionTime;
  const made = { lastProbeTime: null, lastTransitionTime, ...condition };
  const others = conditions.filter((c) => c.type !== condition.type);
  const next = [...others, made] as typeof conditions; // lastProbeTime is null on the wire.
  pod.status = { ...pod.status, conditions: next };
}

interface Eviction {
  metadata?: { name?: string };
  deleteOptions?: DeleteOptions;
}

/** POST pods/NAME/eviction. */
export async function evictPod(call: Call): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const { dryRun } = parseWriteOptions(call.query, 'CreateOptions');
  const gvk = { group: 'policy', version: 'v1', kind: 'Eviction' };
  const eviction = await readAs<Eviction>(call, gvk);
  if ((eviction.metadata?.name ?? name) !== name) {
    throw badRequest('name in URL does not match name in Eviction object');
  }
  const options: DeleteOptions = { ...eviction.deleteOptions };
  const context = call.writeContext(dryRun || (options.dryRun ?? []).length > 0);
  const { registry, resources, signal } = call.services;
  const pods = resources.must('', 'v1', 'pods');
  // Its registry.
  const pod = (await registry.get(pods, pods.key(namespace, name), signal)).parse() as Pod;
  checkNode(call, pod);
  if (!ignoresBudgets(pod)) await spendBudget(call, pod, context.dryRun);
  if (!context.dryRun) {
    await registry.mutate(
      { resource: pods, namespace, name },
      (object) =>
        setCondition(
          object as Pod, // The registry of pods.
          {
            type: 'DisruptionTarget',
            status: 'True',
            reason: 'EvictionByEvictionAPI',
            message: 'Eviction API: evicting',
          },
          call.nowMs,
        ),
      context,
    );
  }
  await registry.delete({ resource: pods, namespace, name }, options, context);
  return replyObject(201, success(undefined, undefined, undefined, 201), call.format());
}

/** A kubelet evicts pods of its node only; refused before a budget is spent on it. */
function checkNode(call: Call, pod: Pod): void {
  const node = nodeNameOf(call.user);
  if (node === undefined || pod.spec.nodeName === node) return;
  const because = `node "${node}" can only evict pods with spec.nodeName set to itself`;
  throw forbidden({ group: '', resource: 'pods' }, pod.metadata.name, because);
}

/** Pods that are over, never began or are leaving disrupt nothing. */
function ignoresBudgets(pod: Pod): boolean {
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending') return true;
  return pod.metadata.deletionTimestamp !== undefined;
}

function isReady(pod: Pod): boolean {
  return (pod.status?.conditions ?? []).some((c) => c.type === 'Ready' && c.status === 'True');
}

async function spendBudget(call: Call, pod: Pod, dryRun: boolean): Promise<void> {
  const { resources, registry } = call.services;
  const namespace = pod.metadata.namespace ?? '';
  const budgets = resources.must('policy', 'v1', 'poddisruptionbudgets');
  const matching: PodDisruptionBudget[] = [];
  for (const object of budgets.cache.scan(`${namespace}/`)) {
    const budget = object.parse() as PodDisruptionBudget; // Its cache.
    if (compileLabelSelector(budget.spec?.selector).matches(pod.metadata.labels)) {
      matching.push(budget);
    }
  }
  const [first] = matching;
  if (first === undefined) return;
  if (matching.length > 1) {
    throw new ApiError({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message:
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      code: 500,
    });
  }
  const { currentHealthy = 0, desiredHealthy = 0 } = first.status ?? {};
  if (!isReady(pod)) {
    const always = first.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow';
    if (always || (currentHealthy >= desiredHealthy && desiredHealthy > 0)) return;
  }
  const name = first.metadata.name;
  await registry.mutate(
    { resource: budgets, namespace, name },
    // Its registry.
    (object) => decrement(object as PodDisruptionBudget, pod.metadata.name, call.nowMs),
    { ...call.writeContext(dryRun) },
  );
}

const BUDGET_TEXT = "Cannot evict pod as it would violate the pod's disruption budget.";

function decrement(budget: PodDisruptionBudget, podName: string, nowMs: number): void {
  const of = { group: 'policy', resource: 'poddisruptionbudget' };
  const { name } = budget.metadata;
  const status = budget.status ?? {};
  if ((status.observedGeneration ?? 0) < (budget.metadata.generation ?? 0)) {
    throw tooManyRequests(BUDGET_TEXT, 10, [
      {
        reason: 'DisruptionBudget',
        message: `The disruption budget ${name} is still being processed by the server.`,
      },
    ]);
  }
  const allowed = status.disruptionsAllowed ?? 0;
  if (allowed < 0) throw forbidden(of, name, 'pdb disruptions allowed is negative');
  if (allowed === 0) {
    const { desiredHealthy = 0, currentHealthy = 0 } = status;
    const message =
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods ` +
      `and has ${currentHealthy} currently`;
    throw tooManyRequests(BUDGET_TEXT, 0, [{ reason: 'DisruptionBudget', message }]);
  }
  budget.status = {
    ...status,
    disruptionsAllowed: allowed - 1,
    disruptedPods: { ...status.disruptedPods, [podName]: formatTime(nowMs) },
  } as NonNullable<PodDisruptionBudget['status']>; // All counters were there.
}
