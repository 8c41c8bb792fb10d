/**
 * What a DELETE does to an object, decided from the object, its rules and the options: nothing
 * (already under way), mark it (grace or finalizers), or remove it. Pure but for changing the copy
 * of the object that it is given. Source: apiserver registry/rest/delete.go,
 * generic/registry/store.go.
 */
import type { StatusCause } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { conflict, type GroupResource, invalid } from '../errors.ts';
import type { Propagation, ResourceRules } from '../resource.ts';
import { formatTime } from './codec.ts';
import { bumpGeneration, hasFinalizers, markDeleting } from './metadata.ts';

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly orphanDependents?: boolean | undefined;
  readonly preconditions?: { uid?: string; resourceVersion?: string } | undefined;
  readonly dryRun?: readonly string[] | undefined;
}

export type DeletePlan =
  /** A deletion is pending and this one changes nothing. */
  | { readonly kind: 'pending' }
  /** `object` was marked: store it and keep it. */
  | { readonly kind: 'mark'; readonly object: KubeObject }
  | { readonly kind: 'remove' };

const FINALIZER_ORPHAN = 'orphan';
const FINALIZER_FOREGROUND = 'foregroundDeletion';
const POLICIES = ['Foreground', 'Background', 'Orphan'];

/** The cause that upstream names when one of the values is not known. */
export function dryRunCauses(values: readonly string[]): StatusCause[] {
  if (values.every((value) => value === 'All')) return [];
  const message = `Unsupported value: ${JSON.stringify(values)}: supported values: "All"`;
  return [{ reason: 'FieldValueNotSupported', field: 'dryRun', message }];
}

/** Throws ApiError 422 for options that contradict each other. */
export function validateDeleteOptions(options: DeleteOptions): void {
  const causes: StatusCause[] = [];
  const { propagationPolicy, orphanDependents, dryRun = [] } = options;
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    causes.push({
      reason: 'FieldValueInvalid',
      field: 'propagationPolicy',
      message:
        `Invalid value: "${propagationPolicy}": ` +
        'orphanDependents and deletionPropagation cannot be both set',
    });
  }
  if (propagationPolicy !== undefined && !POLICIES.includes(propagationPolicy)) {
    causes.push({
      reason: 'FieldValueNotSupported',
      field: 'propagationPolicy',
      message:
        `Unsupported value: "${propagationPolicy}": ` +
        'supported values: "Foreground", "Background", "Orphan", "nil"',
    });
  }
  causes.push(...dryRunCauses(dryRun));
  if (causes.length > 0) {
    throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', causes);
  }
}

/** Throws ApiError 409 when a precondition does not hold. */
export function checkPreconditions(
  object: KubeObject,
  options: DeleteOptions,
  of: GroupResource,
): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const { metadata } = object;
  const name = metadata.name ?? '';
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      of,
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). ` +
        'The object might have been deleted and then recreated',
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      of,
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ` +
        `ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
  }
}

/** `object` is a copy that the plan may change and return. */
export function planDelete(
  object: KubeObject,
  rules: ResourceRules,
  options: DeleteOptions,
  nowMs: number,
): DeletePlan {
  const held = (rules.otherFinalizers?.(object) ?? []).length > 0;
  if (held && object.metadata.deletionTimestamp !== undefined) return { kind: 'pending' };
  const grace = planGrace(object, rules, options, nowMs);
  if (grace === 'pending') return { kind: 'pending' };
  const finalizers = plannedFinalizers(object, rules, options);
  if (finalizers.length > 0) object.metadata.finalizers = finalizers;
  else delete object.metadata.finalizers;
  if (held) {
    object.metadata.deletionTimestamp = formatTime(nowMs);
    rules.onDeletionMark?.(object);
    return { kind: 'mark', object };
  }
  if (hasFinalizers(object)) {
    if (grace === 'none') markDeleting(object, nowMs);
    rules.onDeletionMark?.(object);
    return { kind: 'mark', object };
  }
  if (grace !== 'none' && grace > 0) return { kind: 'mark', object };
  return { kind: 'remove' };
}

/**
 * Sets deletion time and grace where the kind has such; seconds of grace, or why there are none.
 */
function planGrace(
  object: KubeObject,
  rules: ResourceRules,
  options: DeleteOptions,
  nowMs: number,
): number | 'none' | 'pending' {
  if (rules.gracePeriodSeconds === undefined) return 'none';
  const { metadata } = object;
  const asked = negativeAsOne(options.gracePeriodSeconds);
  if (metadata.deletionTimestamp !== undefined) {
    const current = negativeAsOne(metadata.deletionGracePeriodSeconds) ?? 0;
    if (current === 0) return 'none';
    if (asked === undefined || asked >= current) return 'pending';
    let period = asked;
    let dueMs = Date.parse(metadata.deletionTimestamp) + (asked - current) * 1000;
    if (dueMs < nowMs) {
      dueMs = nowMs;
      if (period !== 0) period = 1; // Still graceful: the kubelet ends it.
    }
    metadata.deletionTimestamp = formatTime(dueMs);
    metadata.deletionGracePeriodSeconds = period;
    return period;
  }
  const period = rules.gracePeriodSeconds(object, { gracePeriodSeconds: asked });
  if (period === undefined) return 'none';
  metadata.deletionTimestamp = formatTime(nowMs + period * 1000);
  metadata.deletionGracePeriodSeconds = period;
  bumpGeneration(object);
  return period;
}

function negativeAsOne(seconds: number | undefined): number | undefined {
  return seconds !== undefined && seconds < 0 ? 1 : seconds;
}

/** Option, else finalizers already there, else the kind's default. */
function plannedFinalizers(
  object: KubeObject,
  rules: ResourceRules,
  options: DeleteOptions,
): string[] {
  const existing = object.metadata.finalizers ?? [];
  const policy = plannedPropagation(existing, rules, options);
  const kept = existing.filter((f) => f !== FINALIZER_ORPHAN && f !== FINALIZER_FOREGROUND);
  if (policy === 'Orphan') kept.push(FINALIZER_ORPHAN);
  if (policy === 'Foreground') kept.push(FINALIZER_FOREGROUND);
  const same = kept.length === existing.length && kept.every((f) => existing.includes(f));
  return same ? existing : kept;
}

function plannedPropagation(
  existing: readonly string[],
  rules: ResourceRules,
  options: DeleteOptions,
): Propagation {
  if (options.orphanDependents !== undefined) {
    return options.orphanDependents ? 'Orphan' : 'Background';
  }
  switch (options.propagationPolicy) {
    case 'Orphan':
    case 'Foreground':
    case 'Background':
      return options.propagationPolicy;
    default:
  }
  if (existing.includes(FINALIZER_ORPHAN)) return 'Orphan';
  if (existing.includes(FINALIZER_FOREGROUND)) return 'Foreground';
  return rules.defaultPropagation ?? 'Background';
}

/** Whether an update took the last thing that kept a deleting object. */
export function isDoneDeleting(object: KubeObject, rules: ResourceRules): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata;
  if (deletionTimestamp === undefined || hasFinalizers(object)) return false;
  if ((rules.otherFinalizers?.(object) ?? []).length > 0) return false;
  return (deletionGracePeriodSeconds ?? 0) === 0;
}
