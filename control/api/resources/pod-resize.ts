/**
 * What /resize may do to a pod: change CPU and memory of its containers, without removing any, and
 * without moving the pod to another quality-of-service class.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation (ValidatePodResize).
 */
import type { Container, Pod, ResourceRequirements } from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { validateMetaUpdate } from './meta.ts';
import { MIRROR } from './pod-annotations.ts';
import { podQosClass } from './pod-qos.ts';
import { validatePodMetaAndSpec } from './pod-validation.ts';
import type { ResourceList } from './resource-lists.ts';
import { sameValue } from './same-value.ts';

const LISTS = ['containers', 'initContainers'] as const;

export function validatePodResize(e: FieldErrors, pod: Pod, old: Pod): void {
  if (old.metadata.annotations?.[MIRROR] !== undefined) {
    return e.forbidden('', 'static pods cannot be resized');
  }
  if (old.spec.os?.name === 'windows') return e.forbidden('', 'windows pods cannot be resized');
  validateMetaUpdate(e, pod.metadata, old.metadata, { coreFinalizers: true });
  validatePodMetaAndSpec(e, pod);
  const oldClass = old.status?.qosClass ?? podQosClass(old.spec);
  if (oldClass !== podQosClass(pod.spec)) {
    const detail = 'Pod QOS Class may not change as a result of resizing';
    e.invalid('spec', pod.status?.qosClass ?? '', detail);
  }
  const running = (old.status?.containerStatuses ?? []).find((c) => c.state?.running !== undefined);
  if (running !== undefined && running.resources === undefined) {
    e.forbidden('spec', 'Pod running on node without support for resize');
  }
  validatePodLevel(e, pod.spec.resources, old.spec.resources);
  if ((old.status?.nodeAllocatableResourceClaimStatuses ?? []).length > 0) {
    e.forbidden('spec', 'pods with node allocatable resource claims cannot be resized');
  }
  if (!validateOrder(e, pod, old)) return;
  for (const list of ['initContainers', 'containers'] as const) {
    for (const [i, before] of (old.spec[list] ?? []).entries()) {
      const now = pod.spec[list]?.[i]?.resources;
      validateNothingRemoved(e, `spec.${list}[${i}].resources`, now, before.resources);
    }
  }
  validateOnlyComputeChanged(e, pod, old);
}

function isRemoved(now: ResourceList = {}, before: ResourceList = {}): boolean {
  return Object.keys(before).some((name) => now[name] === undefined);
}

function validateNothingRemoved(
  e: FieldErrors,
  at: string,
  now: ResourceRequirements | undefined,
  before: ResourceRequirements | undefined,
): void {
  for (const side of ['requests', 'limits'] as const) {
    if (isRemoved(now?.[side], before?.[side])) {
      e.forbidden(`${at}.${side}`, `resource ${side} cannot be removed`);
    }
  }
}

function validatePodLevel(
  e: FieldErrors,
  now: ResourceRequirements | undefined,
  before: ResourceRequirements | undefined,
): void {
  if (before !== undefined && now === undefined) {
    return e.forbidden('spec.resources', 'pod-level resources cannot be removed');
  }
  for (const side of ['requests', 'limits'] as const) {
    if (isRemoved(now?.[side], before?.[side])) {
      const detail = `pod-level resource ${side} cannot be removed`;
      e.forbidden(`spec.resources.${side}`, detail);
    }
  }
  if (now === undefined) return;
  if (!sameValue(withComputeOf(now, before), before)) {
    e.forbidden('spec', 'only cpu and memory resources are mutable at pod-level');
  }
}

function validateOrder(e: FieldErrors, pod: Pod, old: Pod): boolean {
  const count = e.list.length;
  for (const list of LISTS) {
    const [now, before] = [pod.spec[list] ?? [], old.spec[list] ?? []];
    if (now.length !== before.length) {
      e.forbidden(`spec.${list}`, `${list} may not be added or removed on resize`);
      continue;
    }
    for (const [i, container] of before.entries()) {
      if (now[i]?.name === container.name) continue;
      const detail = `${list} may not be renamed or reordered on resize`;
      e.forbidden(`spec.${list}[${i}].name`, detail);
    }
  }
  return e.list.length === count;
}

/** `now` with the CPU and memory of `before`. */
function withComputeOf(
  now: ResourceRequirements | undefined,
  before: ResourceRequirements | undefined,
): ResourceRequirements {
  const mix = (side: 'requests' | 'limits'): ResourceList => {
    const { cpu: _cpu, memory: _memory, ...others } = now?.[side] ?? {};
    const { cpu, memory } = before?.[side] ?? {};
    return {
      ...others,
      ...(cpu === undefined ? {} : { cpu }),
      ...(memory === undefined ? {} : { memory }),
    };
  };
  return { requests: mix('requests'), limits: mix('limits') };
}

function masked(container: Container, before: Container | undefined): Container {
  return { ...container, resources: withComputeOf(container.resources, before?.resources) };
}

function validateOnlyComputeChanged(e: FieldErrors, pod: Pod, old: Pod): void {
  const spec = { ...pod.spec, resources: old.spec.resources };
  spec.containers = (pod.spec.containers ?? []).map((c, i) => masked(c, old.spec.containers[i]));
  for (const [i, container] of spec.containers.entries()) {
    if (!sameValue(container, old.spec.containers[i])) {
      e.forbidden('spec', 'only cpu and memory resources are mutable');
    }
  }
  spec.initContainers = (pod.spec.initContainers ?? []).map((container, i) => {
    const before = old.spec.initContainers?.[i];
    const now = masked(container, before);
    const at = `spec.initContainers[${i}]`;
    if (!sameValue(now, before)) {
      const detail = 'only cpu and memory resources for init or sidecar containers are mutable';
      e.forbidden(at, detail);
    }
    const isModified = !sameValue(container, before) && container.restartPolicy !== 'Always';
    for (const policy of isModified ? (container.resizePolicy ?? []) : []) {
      if (policy.restartPolicy !== 'RestartContainer') continue;
      const detail =
        'non-sidecar init containers with a resize policy of RestartContainer cannot be resized';
      e.forbidden(at, detail);
    }
    return now;
  });
  if (e.ok && !sameValue(spec, old.spec)) {
    e.forbidden('spec', 'only cpu and memory resources are mutable');
  }
}
