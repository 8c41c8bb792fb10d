/**
 * What objects count against a ResourceQuota, and whether one more fits. Pure; shared by the
 * resource quota controller, which recounts, and the API server's admission, which charges in advance.
 * Names, scopes and texts are upstream's (pkg/quota/v1).
 */
import type {
  PersistentVolumeClaim,
  Pod,
  ResourceQuota,
  ScopedResourceSelectorRequirement,
  Service,
} from '#base/kube/api/core-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
  quantityFromMilliValue,
  quantityFromValue,
  subtractQuantities,
} from '#base/kube/quantity.ts';
import { podLimits, podRequests } from '#control/scheduler/scheduler.ts';

export type Usage = Map<string, Quantity>;

interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

const ZERO = quantityFromValue(0, 'DecimalSI');
const ONE = quantityFromValue(1, 'DecimalSI');

/** Core resources that also count under their bare name. */
const COUNTED_BY_NAME = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
]);

function quantityOf(resource: string, amount: number): Quantity {
  if (resource === 'cpu') return quantityFromMilliValue(amount, 'DecimalSI');
  const isBytes = /memory|storage|hugepages-/.test(resource);
  return quantityFromValue(amount, isBytes ? 'BinarySI' : 'DecimalSI');
}

/** Everything that one object uses. */
export function usageOf(r: GroupResource, object: KubeObject): Usage {
  const usage: Usage = new Map();
  usage.set(r.group === '' ? `count/${r.resource}` : `count/${r.resource}.${r.group}`, ONE);
  if (r.group !== '') return usage;
  if (r.resource === 'pods')
    addPod(usage, object as Pod); // By resource.
  else if (COUNTED_BY_NAME.has(r.resource)) usage.set(r.resource, ONE);
  if (r.resource === 'services') addService(usage, object as Service); // idem
  if (r.resource === 'persistentvolumeclaims') addClaim(usage, object as PersistentVolumeClaim); // idem
  return usage;
}

function addPod(usage: Usage, pod: Pod): void {
  const { phase } = pod.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') return; // It uses nothing any more.
  usage.set('pods', ONE);
  for (const [name, amount] of podRequests(pod)) {
    const quantity = quantityOf(name, amount);
    usage.set(`requests.${name}`, quantity);
    const isPlain = ['cpu', 'memory', 'ephemeral-storage'].includes(name);
    if (isPlain || name.startsWith('hugepages-')) usage.set(name, quantity);
  }
  for (const [name, amount] of podLimits(pod))
    usage.set(`limits.${name}`, quantityOf(name, amount));
}

function addService(usage: Usage, service: Service): void {
  const { type, ports = [], allocateLoadBalancerNodePorts } = service.spec ?? {};
  const isBalancer = type === 'LoadBalancer';
  let nodePorts = 0;
  if (type === 'NodePort') nodePorts = ports.length;
  if (isBalancer) {
    nodePorts =
      allocateLoadBalancerNodePorts === false
        ? ports.filter(({ nodePort = 0 }) => nodePort !== 0).length
        : ports.length;
  }
  usage.set('services.nodeports', quantityFromValue(nodePorts, 'DecimalSI'));
  usage.set('services.loadbalancers', isBalancer ? ONE : ZERO);
}

function addClaim(usage: Usage, claim: PersistentVolumeClaim): void {
  const requested = claim.spec?.resources?.requests?.['storage'];
  const allocated = claim.status?.allocatedResources?.['storage'];
  const texts = [requested, allocated].filter((text) => text !== undefined);
  const storage = texts.map(parseQuantity).sort(compareQuantities).at(-1);
  if (storage !== undefined) usage.set('requests.storage', storage);
  const className = claim.spec?.storageClassName ?? '';
  if (className === '') return;
  const suffix = '.storageclass.storage.k8s.io/';
  usage.set(`${className}${suffix}persistentvolumeclaims`, ONE);
  if (storage !== undefined) usage.set(`${className}${suffix}requests.storage`, storage);
}

/** All scopes of the quota hold for the object; only pods and claims can be within a scope. */
export function isInScope(quota: ResourceQuota, r: GroupResource, object: KubeObject): boolean {
  const requirements: ScopedResourceSelectorRequirement[] = [
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' })),
    ...(quota.spec?.scopeSelector?.matchExpressions ?? []),
  ];
  if (requirements.length === 0) return true;
  if (r.group !== '' || r.resource !== 'pods') return false;
  return requirements.every((requirement) => podMatches(requirement, object as Pod)); // By resource.
}

function podMatches(requirement: ScopedResourceSelectorRequirement, pod: Pod): boolean {
  const { scopeName, operator, values = [] } = requirement;
  const isTerminating = (pod.spec.activeDeadlineSeconds ?? -1) >= 0;
  switch (scopeName) {
    case 'Terminating':
      return isTerminating;
    case 'NotTerminating':
      return !isTerminating;
    case 'BestEffort':
      return isBestEffort(pod);
    case 'NotBestEffort':
      return !isBestEffort(pod);
    case 'PriorityClass': {
      const name = pod.spec.priorityClassName ?? '';
      if (operator === 'In') return values.includes(name);
      if (operator === 'NotIn') return !values.includes(name);
      return operator === 'Exists' ? name !== '' : name === '';
    }
    case 'CrossNamespacePodAffinity':
      return usesOtherNamespaces(pod);
    default:
      return false;
  }
}

function isBestEffort(pod: Pod): boolean {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const all = [pod.spec.resources, ...containers.map(({ resources }) => resources)];
  return all.every((resources) => {
    const amounts = { ...resources?.requests, ...resources?.limits };
    return (amounts['cpu'] ?? '0') === '0' && (amounts['memory'] ?? '0') === '0';
  });
}

function usesOtherNamespaces(pod: Pod): boolean {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      (weighted) => weighted.podAffinityTerm,
    ),
  ]);
  return terms.some((t) => (t.namespaces ?? []).length > 0 || t.namespaceSelector !== undefined);
}

export function addUsage(into: Usage, usage: ReadonlyMap<string, Quantity>): void {
  for (const [name, quantity] of usage) {
    const old = into.get(name);
    into.set(name, old === undefined ? quantity : addQuantities(old, quantity));
  }
}

/** The sums for the names that the quota limits, zero where nothing is used. */
export function formatUsed(
  hard: Readonly<Record<string, string>>,
  usage: ReadonlyMap<string, Quantity>,
): Record<string, string> {
  const names = Object.keys(hard).sort();
  return Object.fromEntries(names.map((name) => [name, formatQuantity(usage.get(name) ?? ZERO)]));
}

export type Admission =
  /** Not concerned by this quota. */
  | { readonly kind: 'free' }
  /** `used` to store in the quota's status. */
  | { readonly kind: 'charged'; readonly used: Record<string, string> }
  | { readonly kind: 'exceeded'; readonly message: string };

/** Charges `delta` (new usage minus old, for an update) to the quota's status. */
export function admit(quota: ResourceQuota, delta: ReadonlyMap<string, Quantity>): Admission {
  const hard = quota.status?.hard ?? {};
  const used = { ...quota.status?.used };
  const over: { name: string; requested: Quantity }[] = [];
  let isConcerned = false;
  for (const [name, requested] of [...delta].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const limit = hard[name];
    if (limit === undefined || compareQuantities(requested, ZERO) === 0) continue;
    isConcerned = true;
    const old = parseQuantity(used[name] ?? '0');
    const next = addQuantities(old, requested);
    // Giving back is always allowed, also above the limit.
    const isMore = compareQuantities(requested, ZERO) > 0;
    if (isMore && compareQuantities(next, parseQuantity(limit)) > 0) over.push({ name, requested });
    used[name] = formatQuantity(next);
  }
  if (!isConcerned) return { kind: 'free' };
  if (over.length === 0) return { kind: 'charged', used };
  const list = (of: (name: string, requested: Quantity) => string) =>
    over.map(({ name, requested }) => `${name}=${of(name, requested)}`).join(',');
  const requested = list((_name, quantity) => formatQuantity(quantity));
  const usedNow = list((name) => quota.status?.used?.[name] ?? '0');
  const limited = list((name) => hard[name] ?? '0');
  return {
    kind: 'exceeded',
    message: `exceeded quota: ${quota.metadata.name}, requested: ${requested}, used: ${usedNow}, limited: ${limited}`,
  };
}

/** New usage minus old. */
export function usageDelta(
  next: ReadonlyMap<string, Quantity>,
  old: ReadonlyMap<string, Quantity>,
): Usage {
  const delta: Usage = new Map(next);
  for (const [name, quantity] of old) {
    delta.set(name, subtractQuantities(delta.get(name) ?? ZERO, quantity));
  }
  return delta;
}

const COMPUTE = ['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory'];

/**
 * Compute resources that the quota limits and containers of the pod leave open, in upstream's words:
 * `must specify cpu for: a,b; memory for: a`. Undefined: nothing is missing.
 */
export function describeMissing(quota: ResourceQuota, pod: Pod): string | undefined {
  const hard = quota.status?.hard ?? quota.spec?.hard ?? {};
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const parts: string[] = [];
  for (const name of [...COMPUTE].sort()) {
    if (hard[name] === undefined) continue;
    const kind = name.startsWith('limits.') ? 'limits' : 'requests';
    const resource = name.replace(/^(requests|limits)\./, '');
    if (pod.spec.resources?.[kind]?.[resource] !== undefined) continue;
    const open = containers.filter((c) => c.resources?.[kind]?.[resource] === undefined);
    if (open.length > 0)
      parts.push(
        `${name} for: ${open
          .map((c) => c.name)
          .sort()
          .join(',')}`,
      );
  }
  return parts.length === 0 ? undefined : `must specify ${parts.join('; ')}`;
}

/** Why the quota cannot be charged yet: it was never counted. Undefined: it was. */
export function unknownStatus(
  quota: ResourceQuota,
  delta: ReadonlyMap<string, Quantity>,
): string | undefined {
  const names = Object.keys(quota.spec?.hard ?? {}).filter((name) => delta.has(name));
  const { hard = {}, used = {} } = quota.status ?? {};
  const unknown = names.filter((name) => hard[name] === undefined || used[name] === undefined);
  if (unknown.length === 0) return undefined;
  return `status unknown for quota: ${quota.metadata.name}, resources: ${unknown.sort().join(',')}`;
}
