/**
 * Rules of v1 Pods: strategy of the main resource and its subresources, field labels, deletion.
 * Source: kubernetes v1.36.3 pkg/registry/core/pod/strategy.go.
 */
import type { Container, Pod, PodAffinity, PodSpec } from '#base/kube/api/core-v1.gen.ts';
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import type { DeleteRequest, HookContext, ResourceRules } from '../resource.ts';
import { checkDnsLabel } from './formats.ts';
import { podTable } from './pod-columns.ts';
import { defaultPod } from './pod-defaults.ts';
import { podQosClass } from './pod-qos.ts';
import { validatePodResize } from './pod-resize.ts';
import { validatePodStatusUpdate } from './pod-status.ts';
import { validateEphemeralContainersUpdate, validatePodUpdate } from './pod-update.ts';
import { validatePodCreate } from './pod-validation.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate, copyField, resetMetaForStatus } from './strategies.ts';

const NAMESPACED = { namespaced: true };

function prepareForCreate(pod: Pod, { nowMs }: HookContext): void {
  pod.metadata.generation = 1;
  const { spec } = pod;
  // Admission may have set the name after defaulting; the old spelling follows it.
  if ((spec.serviceAccountName ?? '') !== '') spec.serviceAccount = spec.serviceAccountName;
  pod.status = { phase: 'Pending', qosClass: podQosClass(spec) };
  if ((spec.schedulingGates ?? []).length > 0) {
    pod.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
        lastTransitionTime: new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      },
    ];
  }
  applyMatchLabelKeys(pod);
}

/** `matchLabelKeys` become expressions of the selector, with the values that this pod has. */
function applyMatchLabelKeys(pod: Pod): void {
  const labels = pod.metadata.labels ?? {};
  for (const affinity of [pod.spec.affinity?.podAffinity, pod.spec.affinity?.podAntiAffinity]) {
    for (const term of affinityTerms(affinity)) {
      addExpressions(term.labelSelector, term.matchLabelKeys, 'In', labels);
      addExpressions(term.labelSelector, term.mismatchLabelKeys, 'NotIn', labels);
    }
  }
  for (const constraint of pod.spec.topologySpreadConstraints ?? []) {
    addExpressions(constraint.labelSelector, constraint.matchLabelKeys, 'In', labels);
  }
}

function affinityTerms(affinity: PodAffinity | undefined) {
  return [
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      (term) => term.podAffinityTerm,
    ),
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
  ];
}

function addExpressions(
  selector: LabelSelector | undefined,
  keys: readonly string[] | undefined,
  operator: 'In' | 'NotIn',
  labels: Readonly<Record<string, string>>,
): void {
  if (selector === undefined) return; // It matches nothing, and would match something afterwards.
  for (const key of keys ?? []) {
    const value = labels[key];
    if (value === undefined) continue;
    selector.matchExpressions = [
      ...(selector.matchExpressions ?? []),
      { key, operator, values: [value] },
    ];
  }
}

function prepareStatusUpdate(pod: Pod, old: Pod): void {
  pod.spec = old.spec;
  copyField(pod.metadata, old.metadata, 'deletionTimestamp');
  copyField(pod.metadata, old.metadata, 'ownerReferences');
  pod.status ??= {};
  if ((pod.status.qosClass ?? '') === '') pod.status.qosClass = old.status?.qosClass;
  keepObservedGenerations(pod, old);
}

/** A client that knows no observedGeneration must not erase the one that another wrote. */
function keepObservedGenerations(pod: Pod, old: Pod): void {
  if (pod.status === undefined) return;
  const known = old.status?.observedGeneration;
  if ((pod.status.observedGeneration ?? 0) === 0 && known !== undefined) {
    pod.status.observedGeneration = known;
  }
  const byType = Map.groupBy(old.status?.conditions ?? [], ({ type }) => type);
  for (const condition of pod.status.conditions ?? []) {
    const generation = byType.get(condition.type)?.shift()?.observedGeneration;
    if ((condition.observedGeneration ?? 0) === 0 && generation !== undefined) {
      condition.observedGeneration = generation;
    }
  }
}

function prepareEphemeralUpdate(pod: Pod, old: Pod): void {
  const containers = pod.spec.ephemeralContainers;
  pod.spec = { ...old.spec };
  if (containers !== undefined) pod.spec.ephemeralContainers = containers;
  else delete pod.spec.ephemeralContainers;
  if (old.status !== undefined) pod.status = old.status;
  resetMetaForStatus(pod.metadata, old.metadata);
}

function prepareResize(pod: Pod, old: Pod): void {
  const { containers, initContainers, resources } = pod.spec;
  const isSameCount =
    containers.length === old.spec.containers.length &&
    (initContainers ?? []).length === (old.spec.initContainers ?? []).length;
  if (!isSameCount) return; // Left to validation.
  const spec: PodSpec = { ...old.spec, containers: resized(containers, old.spec.containers) };
  if (initContainers !== undefined) {
    spec.initContainers = resized(initContainers, old.spec.initContainers ?? []);
  }
  if (resources !== undefined) spec.resources = resources;
  else delete spec.resources;
  pod.spec = spec;
  if (old.status !== undefined) pod.status = old.status;
  resetMetaForStatus(pod.metadata, old.metadata);
}

function resized(containers: readonly Container[], old: readonly Container[]): Container[] {
  if (containers.some((container, i) => container.name !== old[i]?.name)) return [...containers];
  return old.map((container, i) => {
    const merged = { ...container };
    const now = containers[i] ?? container;
    copyField(merged, now, 'resources');
    copyField(merged, now, 'resizePolicy');
    return merged;
  });
}

/** Only a running pod that was bound to a node has anybody to wait for. */
function gracePeriodSeconds(pod: Pod, request: DeleteRequest): number {
  const isDone = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
  if ((pod.spec.nodeName ?? '') === '' || isDone) return 0;
  const seconds = request.gracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 0;
  return seconds < 0 ? 1 : seconds;
}

const FIELD_LABELS = [
  'spec.nodeName',
  'spec.restartPolicy',
  'spec.schedulerName',
  'spec.serviceAccountName',
  'spec.hostNetwork',
  'status.phase',
  'status.podIP',
  'status.podIPs',
  'status.nominatedNodeName',
] as const;

function selectableFields(pod: Pod): Record<string, string> {
  const { spec } = pod;
  const status = pod.status ?? {};
  return {
    'spec.nodeName': spec.nodeName ?? '',
    'spec.restartPolicy': spec.restartPolicy ?? '',
    'spec.schedulerName': spec.schedulerName ?? '',
    'spec.serviceAccountName': spec.serviceAccountName ?? '',
    'spec.hostNetwork': `${spec.hostNetwork === true}`,
    'status.phase': status.phase ?? '',
    'status.podIP': status.podIPs?.[0]?.ip ?? '',
    'status.podIPs': '',
    'status.nominatedNodeName': status.nominatedNodeName ?? '',
  };
}

export const podRules: ResourceRules<Pod> = {
  group: '',
  version: 'v1',
  resource: 'pods',
  hasGeneration: true,
  default: defaultPod,
  prepareForCreate,
  validate: (pod) => collect((e) => validatePodCreate(e, pod)),
  prepareForUpdate(pod, old) {
    copyField(pod, old, 'status');
  },
  validateUpdate: (pod, old) =>
    collectUpdate(pod, old, NAMESPACED, (e) => validatePodUpdate(e, pod, old)),
  warningsOnCreate(pod) {
    const messages = checkDnsLabel(pod.metadata.name);
    if (messages.length === 0) return [];
    return [
      `metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${messages.join(' ')}]`,
    ];
  },
  bumpsGeneration: (pod, old) => !sameValue(pod.spec, old.spec),
  gracePeriodSeconds,
  returnsDeletedObject: true,
  fieldLabels: FIELD_LABELS,
  selectableFields,
  subresources: {
    status: {
      prepareForUpdate: prepareStatusUpdate,
      validateUpdate: (pod, old) =>
        collectUpdate(pod, old, NAMESPACED, (e) => validatePodStatusUpdate(e, pod, old)),
    },
    ephemeralcontainers: {
      prepareForUpdate: prepareEphemeralUpdate,
      validateUpdate: (pod, old) =>
        collectUpdate(pod, old, NAMESPACED, (e) => validateEphemeralContainersUpdate(e, pod, old)),
    },
    resize: {
      prepareForUpdate: prepareResize,
      validateUpdate: (pod, old) =>
        collectUpdate(pod, old, NAMESPACED, (e) => validatePodResize(e, pod, old)),
    },
  },
  table: podTable,
};
