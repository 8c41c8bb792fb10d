/**
 * LimitRanger: defaults for the resources of a namespace's containers, and bounds for those of its
 * containers, pods and claims. Source: kubernetes plugin/pkg/admission/limitranger.
 */
import type {
  Container,
  LimitRange,
  LimitRangeItem,
  PersistentVolumeClaim,
  Pod,
} from '#base/kube/api/core-v1.gen.ts';
import {
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityMilliValue,
} from '#base/kube/quantity.ts';
import { usageOf } from '#control/quota/quota.ts';
import { forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';

const ANNOTATION = 'kubernetes.io/limit-ranger';

type Amounts = Readonly<Record<string, string>>;

interface Resources {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

/** In place: what a container item of a LimitRange leaves open follows from its other members. */
export function defaultLimitRange(range: LimitRange): void {
  for (const item of range.spec?.limits ?? []) {
    if (item.type !== 'Container') continue;
    item.default = { ...item.max, ...item.default };
    item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
  }
}

export class LimitRanger implements AdmissionPlugin {
  readonly name = 'LimitRanger';
  readonly #ranges: ServedResource;
  readonly #pods: ServedResource;
  readonly #claims: ServedResource;

  constructor(parts: { ranges: ServedResource; pods: ServedResource; claims: ServedResource }) {
    this.#ranges = parts.ranges;
    this.#pods = parts.pods;
    this.#claims = parts.claims;
  }

  mutate(request: AdmissionRequest): void {
    const { operation, resource, subresource } = request;
    if (operation !== 'CREATE' || resource !== this.#pods || subresource !== '') return;
    const pod = request.object as Pod; // The registry of pods.
    if (pod.spec === undefined) return; // Validation says what is missing.
    for (const range of this.#of(request.namespace)) fillDefaults(pod, range);
  }

  validate(request: AdmissionRequest): void {
    const { operation, resource, subresource, object, old } = request;
    if (operation !== 'CREATE' && operation !== 'UPDATE') return;
    if (old?.metadata.deletionTimestamp !== undefined || object === undefined) return;
    let check: (item: LimitRangeItem) => string[];
    if (resource === this.#pods) {
      const isResize = operation === 'UPDATE' && subresource === 'resize';
      if (!isResize && (operation !== 'CREATE' || subresource !== '')) return;
      check = (item) => podProblems(item, object as Pod); // The registry of pods.
    } else if (resource === this.#claims && subresource === '') {
      check = (item) => claimProblems(item, object as PersistentVolumeClaim); // Of claims.
    } else return;
    for (const range of this.#of(request.namespace)) {
      // What holds for several containers is said once.
      const problems = [...new Set((range.spec?.limits ?? []).flatMap(check))];
      if (problems.length === 0) continue;
      const text = problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`;
      throw forbidden(resource.groupResource, request.name, text ?? '');
    }
  }

  #of(namespace: string): LimitRange[] {
    const found = [...this.#ranges.cache.scan(`${namespace}/`)];
    return found.map((object) => object.parse() as LimitRange); // Its cache.
  }
}

function fillDefaults(pod: Pod, range: LimitRange): void {
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  for (const item of range.spec?.limits ?? []) {
    if (item.type !== 'Container') continue;
    Object.assign(requests, item.defaultRequest);
    Object.assign(limits, item.default);
  }
  const notes: string[] = [];
  const each = (containers: readonly Container[], what: string) => {
    for (const container of containers) {
      const own = container.resources ?? {};
      const newRequests = Object.keys(requests).filter((k) => own.requests?.[k] === undefined);
      const newLimits = Object.keys(limits).filter((k) => own.limits?.[k] === undefined);
      if (newRequests.length + newLimits.length === 0) continue;
      container.resources = {
        ...own,
        limits: { ...limits, ...own.limits },
        requests: { ...requests, ...own.requests },
      };
      const note = (names: string[], kind: string) => {
        if (names.length > 0) {
          notes.push(`${names.sort().join(', ')} ${kind} for ${what} ${container.name}`);
        }
      };
      note(newRequests, 'request');
      note(newLimits, 'limit');
    }
  };
  each(pod.spec.containers, 'container');
  each(pod.spec.initContainers ?? [], 'init container');
  if (notes.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [ANNOTATION]: `LimitRanger plugin set: ${notes.join('; ')}`,
  };
}

function podProblems(item: LimitRangeItem, pod: Pod): string[] {
  if (item.type === 'Container') {
    const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    return containers.flatMap(({ resources }) =>
      problemsOf(item, { requests: resources?.requests ?? {}, limits: resources?.limits ?? {} }),
    );
  }
  if (item.type !== 'Pod') return [];
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  // Unlike a quota, a LimitRange does not count what a runtime class adds.
  const { overhead: _, ...spec } = pod.spec;
  const asked: Pod = { ...pod, spec };
  for (const [name, quantity] of usageOf({ group: '', resource: 'pods' }, asked)) {
    const [kind = '', ...rest] = name.split('.');
    if (kind === 'requests') requests[rest.join('.')] = formatQuantity(quantity);
    if (kind === 'limits') limits[rest.join('.')] = formatQuantity(quantity);
  }
  return problemsOf(item, { requests, limits });
}

function problemsOf(item: LimitRangeItem, own: Resources): string[] {
  const problems: (string | undefined)[] = [];
  for (const [name, bound] of Object.entries(item.min ?? {})) {
    problems.push(belowMinimum(item.type, { name, bound }, own));
  }
  for (const [name, bound] of Object.entries(item.max ?? {})) {
    problems.push(aboveMaximum(item.type, { name, bound }, own));
  }
  for (const [name, bound] of Object.entries(item.maxLimitRequestRatio ?? {})) {
    problems.push(aboveRatio(item.type, { name, bound }, own));
  }
  return problems.filter((problem) => problem !== undefined);
}

interface Bound {
  readonly name: string;
  readonly bound: string;
}

const compare = (a: string, b: string) => compareQuantities(parseQuantity(a), parseQuantity(b));

function belowMinimum(type: string, { name, bound }: Bound, own: Resources): string | undefined {
  const request = own.requests[name];
  const limit = own.limits[name];
  const rule = `minimum ${name} usage per ${type} is ${canonicalQuantity(bound)}`;
  if (request === undefined) return `${rule}.  No request is specified`;
  if (compare(request, bound) < 0) return `${rule}, but request is ${canonicalQuantity(request)}`;
  if (limit === undefined || compare(limit, bound) >= 0) return undefined;
  return `${rule}, but limit is ${canonicalQuantity(limit)}`;
}

function aboveMaximum(type: string, { name, bound }: Bound, own: Resources): string | undefined {
  const request = own.requests[name];
  const limit = own.limits[name];
  const rule = `maximum ${name} usage per ${type} is ${canonicalQuantity(bound)}`;
  if (limit === undefined) return `${rule}.  No limit is specified`;
  if (compare(limit, bound) > 0) return `${rule}, but limit is ${canonicalQuantity(limit)}`;
  if (request === undefined || compare(request, bound) <= 0) return undefined;
  return `${rule}, but request is ${canonicalQuantity(request)}`;
}

function aboveRatio(type: string, { name, bound }: Bound, own: Resources): string | undefined {
  const milli = (text: string | undefined) =>
    text === undefined ? 0 : quantityMilliValue(parseQuantity(text));
  const rule = `${name} max limit to request ratio per ${type} is ${canonicalQuantity(bound)}`;
  const request = milli(own.requests[name]);
  if (request === 0) return `${rule}, but no request is specified or request is 0`;
  const limit = milli(own.limits[name]);
  if (limit === 0) return `${rule}, but no limit is specified or limit is 0`;
  const ratio = limit / request;
  if (ratio * 1000 <= milli(bound)) return undefined;
  return `${rule}, but provided ratio is ${ratio.toFixed(6)}`;
}

function claimProblems(item: LimitRangeItem, claim: PersistentVolumeClaim): string[] {
  if (item.type !== 'PersistentVolumeClaim') return [];
  const requests = claim.spec?.resources?.requests ?? {};
  const problems: string[] = [];
  for (const [name, bound] of Object.entries(item.min ?? {})) {
    const problem = belowMinimum(item.type, { name, bound }, { requests, limits: {} });
    if (problem !== undefined) problems.push(problem);
  }
  for (const [name, bound] of Object.entries(item.max ?? {})) {
    const request = requests[name];
    const rule = `maximum ${name} usage per ${item.type} is ${canonicalQuantity(bound)}`;
    if (request === undefined) problems.push(`${rule}.  No request is specified`);
    else if (compare(request, bound) > 0) {
      problems.push(`${rule}, but request is ${canonicalQuantity(request)}`);
    }
  }
  return problems;
}
