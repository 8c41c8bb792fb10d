/**
 * The quality-of-service class of a pod, fixed at its creation: Guaranteed when every container's
 * CPU and memory limits are set and equal its requests, BestEffort when none is set, else Burstable.
 * Source: kubernetes v1.36.3 pkg/apis/core/helper/qos.
 */
import type { PodSpec, ResourceRequirements } from '#base/kube/api/core-v1.gen.ts';
import {
  addQuantities,
  compareQuantities,
  parseQuantity,
  type Quantity,
} from '#base/kube/quantity.ts';

const NAMES = ['cpu', 'memory'];
const ZERO = parseQuantity('0');

type Sums = Map<string, Quantity>;

function addPositive(sums: Sums, list: Readonly<Record<string, string>> | undefined): number {
  let count = 0;
  for (const name of NAMES) {
    const text = list?.[name];
    if (text === undefined) continue;
    const quantity = parseQuantity(text);
    if (compareQuantities(quantity, ZERO) <= 0) continue;
    count += 1;
    sums.set(name, addQuantities(sums.get(name) ?? ZERO, quantity));
  }
  return count;
}

export function podQosClass(spec: PodSpec): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const own = spec.resources;
  const hasOwn =
    Object.keys(own?.requests ?? {}).length + Object.keys(own?.limits ?? {}).length > 0;
  const parts: readonly (ResourceRequirements | undefined)[] = hasOwn
    ? [own]
    : [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((c) => c.resources);
  const requests: Sums = new Map();
  const limits: Sums = new Map();
  let isGuaranteed = true;
  for (const part of parts) {
    addPositive(requests, part?.requests);
    if (addPositive(limits, part?.limits) !== NAMES.length) isGuaranteed = false;
  }
  if (requests.size === 0 && limits.size === 0) return 'BestEffort';
  const equal = [...requests].every(([name, request]) => {
    const limit = limits.get(name);
    return limit !== undefined && compareQuantities(limit, request) === 0;
  });
  return isGuaranteed && equal && requests.size === limits.size ? 'Guaranteed' : 'Burstable';
}
