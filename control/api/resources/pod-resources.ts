/**
 * Requests and limits of containers and of whole pods: the defaults of pod-level resources, the sum over
 * containers they are held against, and the rules on both.
 * Source: kubernetes v1.36.3 pkg/apis/core/{v1/defaults.go,validation}, KEP-2837.
 */
import type {
  Container,
  PodSpec,
  ResourceClaim,
  ResourceRequirements,
} from '#base/kube/api/core-v1.gen.ts';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
} from '#base/kube/quantity.ts';
import { type FieldErrors, sortedMap } from './field-errors.ts';
import { checkDnsLabel } from './formats.ts';
import {
  isHugePages,
  isOvercommitAllowed,
  isPodLevelResource,
  type ResourceList,
  validateContainerResourceName,
  validateHugePageValue,
  validateResourceName,
  validateResourceValue,
} from './resource-lists.ts';

type Side = 'requests' | 'limits';

function add(to: ResourceList, list: ResourceList | undefined): ResourceList {
  const sum = { ...to };
  for (const [name, text] of Object.entries(list ?? {})) {
    const before = sum[name];
    sum[name] =
      before === undefined
        ? text
        : formatQuantity(addQuantities(parseQuantity(before), parseQuantity(text)));
  }
  return sum;
}

function max(a: ResourceList, b: ResourceList): ResourceList {
  const greatest = { ...a };
  for (const [name, text] of Object.entries(b)) {
    const other = greatest[name];
    if (other === undefined || compareQuantities(parseQuantity(text), parseQuantity(other)) > 0) {
      greatest[name] = text;
    }
  }
  return greatest;
}

/**
 * What all containers need together: the sum of those that run side by side, or the greatest need while
 * an init container runs beside the sidecars started before it.
 */
export function aggregateContainers(spec: PodSpec, side: Side): ResourceList {
  let running: ResourceList = {};
  for (const container of spec.containers ?? []) {
    running = add(running, container.resources?.[side]);
  }
  let sidecars: ResourceList = {};
  let starting: ResourceList = {};
  for (const container of spec.initContainers ?? []) {
    const own = container.resources?.[side];
    if (container.restartPolicy === 'Always') {
      running = add(running, own);
      sidecars = add(sidecars, own);
      starting = max(starting, sidecars);
    } else {
      starting = max(starting, add(sidecars, own));
    }
  }
  return max(running, starting);
}

/** Fills pod-level requests and limits that follow from containers, if the pod sets any itself. */
export function defaultPodLevelResources(spec: PodSpec): void {
  const own = spec.resources;
  if (own === undefined) return;
  if (Object.keys(own.limits ?? {}).length + Object.keys(own.requests ?? {}).length > 0) {
    const limits = { ...own.limits };
    for (const [name, text] of Object.entries(aggregateContainers(spec, 'limits'))) {
      if (isHugePages(name) && own.requests?.[name] === undefined) limits[name] ??= text;
    }
    if (Object.keys(limits).length > 0) own.limits = limits;
  }
  if (Object.keys(own.limits ?? {}).length === 0) return;
  const requests = { ...own.requests };
  for (const [name, text] of Object.entries(aggregateContainers(spec, 'requests'))) {
    if (isPodLevelResource(name) && isOvercommitAllowed(name)) requests[name] ??= text;
  }
  for (const [name, text] of Object.entries(own.limits ?? {})) {
    if (isPodLevelResource(name)) requests[name] ??= text;
  }
  if (Object.keys(requests).length > 0) own.requests = requests;
}

type NameRule = (e: FieldErrors, field: string, name: string) => void;

function podResourceName(e: FieldErrors, field: string, name: string): void {
  if (!validateResourceName(e, field, name) || isPodLevelResource(name)) return;
  e.notSupported(field, name, ['cpu', 'hugepages-', 'memory']);
}

export function validateContainerResources(
  e: FieldErrors,
  path: string,
  resources: ResourceRequirements | undefined,
  claimNames: ReadonlySet<string>,
): void {
  validateRequirements(e, path, {
    resources: resources ?? {},
    nameRule: validateContainerResourceName,
  });
  validateClaimNames(e, `${path}.claims`, resources?.claims ?? [], claimNames);
}

function validateRequirements(
  e: FieldErrors,
  path: string,
  what: { readonly resources: ResourceRequirements; readonly nameRule: NameRule },
): void {
  const { limits = {}, requests = {} } = what.resources;
  for (const [name, quantity] of Object.entries(sortedMap(limits))) {
    const field = `${path}.limits[${name}]`;
    what.nameRule(e, field, name);
    validateResourceValue(e, field, { name, quantity });
    if (isHugePages(name)) validateHugePageValue(e, field, { name, quantity });
  }
  for (const [name, quantity] of Object.entries(sortedMap(requests))) {
    const field = `${path}.requests[${name}]`;
    what.nameRule(e, field, name);
    validateResourceValue(e, field, { name, quantity });
    validateRequestAgainstLimit(e, path, { name, quantity, limit: limits[name] });
    if (isHugePages(name)) validateHugePageValue(e, field, { name, quantity });
  }
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  if (names.some(isHugePages) && !names.includes('cpu') && !names.includes('memory')) {
    e.forbidden(path, 'HugePages require cpu or memory');
  }
}

function validateRequestAgainstLimit(
  e: FieldErrors,
  path: string,
  request: { readonly name: string; readonly quantity: string; readonly limit: string | undefined },
): void {
  const { name, quantity, limit } = request;
  if (limit === undefined) {
    if (!isOvercommitAllowed(name)) {
      e.required(`${path}.limits`, 'Limit must be set for non overcommitable resources');
    }
    return;
  }
  const order = compareQuantities(parseQuantity(quantity), parseQuantity(limit));
  if (order !== 0 && !isOvercommitAllowed(name)) {
    e.invalid(`${path}.requests`, quantity, `must be equal to ${name} limit of ${limit}`);
  } else if (order > 0) {
    e.invalid(
      `${path}.requests`,
      quantity,
      `must be less than or equal to ${name} limit of ${limit}`,
    );
  }
}

function validateClaimNames(
  e: FieldErrors,
  path: string,
  claims: readonly ResourceClaim[],
  podClaims: ReadonlySet<string>,
): void {
  const seen = new Set<string>();
  for (const [i, claim] of claims.entries()) {
    const field = `${path}[${i}]`;
    if (claim.name === '') {
      e.required(field);
      continue;
    }
    validateClaimOnce(e, field, claim, seen);
    if (!podClaims.has(claim.name)) {
      const known =
        podClaims.size === 0 ? ' which is empty' : `: ${[...podClaims].sort().join(', ')}`;
      const detail = `must be one of the names in pod.spec.resourceClaims${known}`;
      e.add({ type: 'FieldValueNotFound', field, badValue: claim.name, detail });
    }
  }
}

function validateClaimOnce(
  e: FieldErrors,
  field: string,
  claim: ResourceClaim,
  seen: Set<string>,
): void {
  const { name } = claim;
  if (seen.has(name)) return e.duplicate(field, name);
  const request = claim.request ?? '';
  if (request !== '') e.invalidEach(`${field}.request`, request, checkDnsLabel(request));
  const key = request === '' ? name : `${name}/${request}`;
  if (seen.has(key)) e.duplicate(field, key);
  else if (request === '') {
    for (const other of seen) if (other.startsWith(`${name}/`)) e.duplicate(field, name);
  }
  seen.add(key);
}

/** Resources of the pod itself, against those of its containers. */
export function validatePodLevelResources(e: FieldErrors, path: string, spec: PodSpec): void {
  const own = spec.resources;
  if (own === undefined) return;
  const at = `${path}.resources`;
  if (spec.os?.name === 'windows') return e.forbidden(at, 'may not be set for a windows pod');
  if (own.claims !== undefined) {
    e.forbidden(`${at}.claims`, 'claims may not be set for Resources at pod-level');
  }
  validateRequirements(e, at, { resources: own, nameRule: podResourceName });
  validateAggregate(e, `${at}.requests`, {
    own: own.requests ?? {},
    containers: aggregateContainers(spec, 'requests'),
    detail: 'must be greater than or equal to aggregate container requests of',
  });
  const limits = Object.entries(aggregateContainers(spec, 'limits'));
  validateAggregate(e, `${at}.limits`, {
    own: own.limits ?? {},
    containers: Object.fromEntries(limits.filter(([name]) => isHugePages(name))),
    detail: 'must be greater than or equal to aggregate container limits of',
  });
  for (const [i, container] of (spec.containers ?? []).entries()) {
    validateContainerLimits(e, `${at}.containers[${i}]`, container, own.limits ?? {});
  }
}

function validateAggregate(
  e: FieldErrors,
  path: string,
  sums: { readonly own: ResourceList; readonly containers: ResourceList; readonly detail: string },
): void {
  for (const [name, sum] of Object.entries(sortedMap(sums.containers))) {
    const own = sums.own[name];
    if (own !== undefined && compareQuantities(parseQuantity(sum), parseQuantity(own)) > 0) {
      e.invalid(`${path}[${name}]`, own, `${sums.detail} ${sum}`);
    }
  }
}

function validateContainerLimits(
  e: FieldErrors,
  path: string,
  container: Container,
  podLimits: ResourceList,
): void {
  for (const [name, limit] of Object.entries(sortedMap(container.resources?.limits))) {
    const own = podLimits[name];
    if (own !== undefined && compareQuantities(parseQuantity(limit), parseQuantity(own)) > 0) {
      e.invalid(
        `${path}[${name}].limits`,
        limit,
        `must be less than or equal to pod limits of ${own}`,
      );
    }
  }
}
