/**
 * What an update may do to a pod: its images, deadline, tolerations and scheduling gates may change,
 * and little else; /ephemeralcontainers only adds, /resize only changes resources.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation (ValidatePodUpdate and its neighbours).
 */
import type {
  Container,
  NodeAffinity,
  NodeSelectorTerm,
  Pod,
  PodSpec,
  Toleration,
} from '#base/kube/api/core-v1.gen.ts';
import { type FieldErrors, goJson, RenderedValue, sortedMap } from './field-errors.ts';
import { rangeMessage } from './formats.ts';
import { internalPodSpec, internalValue } from './internal-form.ts';
import { jsonDiff } from './json-diff.ts';
import { validateMetaUpdate } from './meta.ts';
import { MIRROR, validatePodAnnotationUpdate } from './pod-annotations.ts';
import { validateImagePadding } from './pod-containers.ts';
import { validatePodMetaAndSpec } from './pod-validation.ts';
import { sameValue } from './same-value.ts';
import { validateTolerations } from './scheduling-rules.ts';

const INT32_MAX = 2 ** 31 - 1;
const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution';
const MUTABLE =
  '`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,' +
  '`spec.tolerations` (only additions to existing tolerations),' +
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export function validatePodUpdate(e: FieldErrors, pod: Pod, old: Pod): void {
  validateMetaUpdate(e, pod.metadata, old.metadata, { coreFinalizers: true });
  validatePodMetaAndSpec(e, pod);
  validatePodAnnotationUpdate(
    e,
    'metadata.annotations',
    pod.metadata.annotations,
    old.metadata.annotations,
  );
  for (const list of ['containers', 'initContainers'] as const) {
    if (!validateImages(e, `spec.${list}`, pod.spec[list] ?? [], old.spec[list] ?? [])) return;
  }
  if (!validateDeadline(e, pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds)) return;
  validateAddedTolerations(e, pod.spec.tolerations ?? [], old.spec.tolerations ?? []);
  validateRemovedGates(e, pod.spec, old.spec);
  if (sameValue(pod.spec, old.spec)) return;
  const munged = withoutAllowedChanges(e, pod.spec, old.spec);
  if (!sameValue(munged, old.spec)) {
    const diff = jsonDiff(internalPodSpec(old.spec), internalPodSpec(munged));
    e.forbidden('spec', `pod updates may not change fields other than ${MUTABLE}\n${diff}`);
  }
}

/** False when containers came or went: then nothing else can be compared. */
function validateImages(
  e: FieldErrors,
  path: string,
  containers: readonly Container[],
  old: readonly Container[],
): boolean {
  if (containers.length !== old.length) {
    e.forbidden(path, 'pod updates may not add or remove containers');
    return false;
  }
  for (const [i, container] of containers.entries()) {
    if ((container.image ?? '') === '') e.required(`${path}[${i}].image`);
    validateImagePadding(e, `${path}[${i}]`, container);
  }
  return true;
}

/** False when the deadline is wrong: upstream stops there. */
function validateDeadline(
  e: FieldErrors,
  deadline: number | undefined,
  old: number | undefined,
): boolean {
  const field = 'spec.activeDeadlineSeconds';
  if (deadline === undefined) {
    if (old !== undefined) {
      e.invalid(field, null, 'must not update from a positive integer to nil value');
    }
    return true;
  }
  if (deadline < 0 || deadline > INT32_MAX) {
    e.invalid(field, deadline, rangeMessage(0, INT32_MAX));
    return false;
  }
  if (old !== undefined && old < deadline) {
    e.invalid(field, deadline, 'must be less than or equal to previous value');
    return false;
  }
  return true;
}

function validateAddedTolerations(
  e: FieldErrors,
  tolerations: readonly Toleration[],
  old: readonly Toleration[],
): void {
  const isKept = (toleration: Toleration): boolean =>
    tolerations.some((other) =>
      sameValue({ ...toleration, tolerationSeconds: other.tolerationSeconds }, other),
    );
  if (old.every(isKept)) return validateTolerations(e, 'spec.tolerations', tolerations);
  const detail = 'existing toleration can not be modified except its tolerationSeconds';
  e.forbidden('spec.tolerations', detail);
}

function validateRemovedGates(e: FieldErrors, spec: PodSpec, old: PodSpec): void {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries()) {
    if (before.has(name)) continue;
    const detail = `only deletion is allowed, but found new scheduling gate '${name}'`;
    e.forbidden(`spec.schedulingGates[${i}].name`, detail);
  }
}

/** The new spec with every allowed change taken back; what still differs is forbidden. */
function withoutAllowedChanges(e: FieldErrors, spec: PodSpec, old: PodSpec): PodSpec {
  const munged: PodSpec = {
    ...spec,
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    schedulingGates: old.schedulingGates,
    tolerations: old.tolerations,
    containers: restoreImages(spec.containers, old.containers),
  };
  if (spec.initContainers !== undefined) {
    munged.initContainers = restoreImages(spec.initContainers, old.initContainers ?? []);
  }
  const grace = old.terminationGracePeriodSeconds;
  if (grace !== undefined && grace < 0 && spec.terminationGracePeriodSeconds === 1) {
    munged.terminationGracePeriodSeconds = grace;
  }
  if ((old.schedulingGates ?? []).length > 0) allowPlacement(e, munged, old);
  return munged;
}

function restoreImages(containers: readonly Container[], old: readonly Container[]): Container[] {
  return containers.map((container, i) => ({ ...container, image: old[i]?.image }));
}

/** While gates hold a pod back, its node selector and affinity may become narrower. */
function allowPlacement(e: FieldErrors, munged: PodSpec, old: PodSpec): void {
  const selector = munged.nodeSelector ?? {};
  const isNarrower = Object.entries(old.nodeSelector ?? {}).every(([k, v]) => selector[k] === v);
  if (!isNarrower) {
    const detail = 'only additions to spec.nodeSelector are allowed (no mutations or deletions)';
    e.invalid('spec.nodeSelector', sortedMap(selector), detail);
  }
  munged.nodeSelector = old.nodeSelector;
  const oldAffinity = old.affinity?.nodeAffinity;
  const affinity = munged.affinity?.nodeAffinity;
  if (sameValue(affinity, oldAffinity)) return;
  validateAffinityMutation(e, affinity, oldAffinity);
  const others = { ...munged.affinity, nodeAffinity: oldAffinity };
  munged.affinity = sameValue(others, old.affinity) ? old.affinity : others;
}

function validateAffinityMutation(
  e: FieldErrors,
  affinity: NodeAffinity | undefined,
  old: NodeAffinity | undefined,
): void {
  const path = `spec.affinity.nodeAffinity.${REQUIRED}.nodeSelectorTerms`;
  const oldTerms = old?.[REQUIRED]?.nodeSelectorTerms ?? [];
  const terms = affinity?.[REQUIRED]?.nodeSelectorTerms ?? [];
  if (oldTerms.length > 0 && oldTerms.length !== terms.length) {
    const detail = 'no additions/deletions to non-empty NodeSelectorTerms list are allowed';
    return e.invalid(path, new RenderedValue(goJson(terms.map(internalTerm))), detail);
  }
  for (const [i, oldTerm] of oldTerms.entries()) {
    const term = terms[i] ?? {};
    if (hasOnlyAdditions(term, oldTerm)) continue;
    const detail = 'only additions are allowed (no mutations or deletions)';
    e.invalid(`${path}[${i}]`, new RenderedValue(goJson(internalTerm(term))), detail);
  }
}

function internalTerm(term: NodeSelectorTerm): unknown {
  const requirements = (list: NodeSelectorTerm['matchFields']): unknown =>
    list?.map(({ key, operator, values }) => ({
      Key: key,
      Operator: operator,
      Values: values ?? null,
    })) ?? null;
  return {
    MatchExpressions: requirements(term.matchExpressions),
    MatchFields: requirements(term.matchFields),
  };
}

function hasOnlyAdditions(term: NodeSelectorTerm, old: NodeSelectorTerm): boolean {
  const lists = ['matchExpressions', 'matchFields'] as const;
  if (lists.every((list) => (old[list] ?? []).length === 0)) {
    return lists.every((list) => (term[list] ?? []).length === 0);
  }
  return lists.every((list) => {
    const before = old[list] ?? [];
    return sameValue((term[list] ?? []).slice(0, before.length), before);
  });
}

export function validateEphemeralContainersUpdate(e: FieldErrors, pod: Pod, old: Pod): void {
  if (old.metadata.annotations?.[MIRROR] !== undefined) {
    return e.forbidden('', 'static pods do not support ephemeral containers');
  }
  validateMetaUpdate(e, pod.metadata, old.metadata, { coreFinalizers: true });
  validatePodMetaAndSpec(e, pod);
  const path = 'spec.ephemeralContainers';
  const byName = new Map((pod.spec.ephemeralContainers ?? []).map((c) => [c.name, c]));
  for (const container of old.spec.ephemeralContainers ?? []) {
    const now = byName.get(container.name);
    const name = JSON.stringify(container.name);
    if (now === undefined) {
      e.forbidden(path, `existing ephemeral containers ${name} may not be removed\n`);
    } else if (!sameValue(now, container)) {
      const diff = jsonDiff(
        internalValue('EphemeralContainer', container),
        internalValue('EphemeralContainer', now),
      );
      e.forbidden(path, `existing ephemeral containers ${name} may not be changed\n${diff}`);
    }
  }
}
