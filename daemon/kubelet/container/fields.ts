/**
 * What the downward API shows: fields of the pod and resources of its containers, for environment
 * variables and volumes. Pure.
 */
import type { Pod, ResourceFieldSelector } from '#base/kube/api/core-v1.gen.ts';
import { parseQuantity, quantityMilliValue, quantityValue } from '#base/kube/quantity.ts';
import { findContainer } from '../lifecycle/containers.ts';

/** Facts of the node and the sandbox that the pod object may not show yet. */
export interface FieldFacts {
  readonly nodeName: string;
  readonly hostIPs: readonly string[];
  readonly podIPs: readonly string[];
  readonly allocatable: Readonly<Record<string, string>>;
}

/** `key="value"` lines in the order of keys, as Go quotes them. */
export function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/** The value at a field path; throws for a path that the API does not offer. */
export function fieldValue(pod: Pod, path: string, facts: FieldFacts): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[subscript[2] ?? ''] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid;
    case 'metadata.labels':
      return formatMap(metadata.labels);
    case 'metadata.annotations':
      return formatMap(metadata.annotations);
    case 'spec.nodeName':
      return spec.nodeName ?? facts.nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'status.hostIP':
      return facts.hostIPs[0] ?? '';
    case 'status.hostIPs':
      return facts.hostIPs.join(',');
    case 'status.podIP':
      return facts.podIPs[0] ?? '';
    case 'status.podIPs':
      return facts.podIPs.join(',');
    default:
      throw new Error(`unsupported fieldPath: ${path}`);
  }
}

/** Resource values count in units of the divisor, rounded up; a missing limit is the node's size. */
export function resourceValue(
  pod: Pod,
  selector: ResourceFieldSelector & { readonly containerName: string },
  facts: FieldFacts,
): string {
  const container = findContainer(pod, selector.containerName)?.spec;
  if (container === undefined) throw new Error(`container ${selector.containerName} not found`);
  const dot = selector.resource.indexOf('.');
  const kind = selector.resource.slice(0, dot);
  const resource = selector.resource.slice(dot + 1);
  if (kind !== 'limits' && kind !== 'requests') {
    throw new Error(`unsupported container resource : ${selector.resource}`);
  }
  const { limits, requests } = container.resources ?? {};
  const limit = limits?.[resource] ?? facts.allocatable[resource] ?? '0';
  const text = kind === 'limits' ? limit : (requests?.[resource] ?? '0');
  const unit = resource === 'cpu' ? quantityMilliValue : quantityValue;
  const divisor = unit(parseQuantity(divisorOf(selector)));
  return String(Math.ceil(unit(parseQuantity(text)) / divisor));
}

function divisorOf(selector: ResourceFieldSelector): string {
  const text = selector.divisor;
  return text === undefined || text === '0' || text === '' ? '1' : text;
}
