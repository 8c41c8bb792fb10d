/**
 * References of containers and volumes to fields of their own pod (the downward API).
 * Source: kubernetes v1.36.3 pkg/apis/core/validation, pkg/apis/core/pods.
 */
import type { ObjectFieldSelector, ResourceFieldSelector } from '#base/kube/api/core-v1.gen.ts';
import { formatQuantity, isZeroQuantity, parseQuantity } from '#base/kube/quantity.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkQualifiedName } from './formats.ts';

const KNOWN_PATHS = new Set([
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.restartPolicy',
  'spec.serviceAccountName',
  'spec.schedulerName',
  'status.phase',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
]);

/** Sorted, because a bad reference is answered with the list. */
export const ENV_FIELD_PATHS: readonly string[] = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
export const VOLUME_FIELD_PATHS: readonly string[] = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
const RESOURCE_PATHS = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

/** `metadata.labels['key']` as path and key. */
export function splitSubscript(path: string): { path: string; key: string } | undefined {
  const match = /^(.*)\['(.*)'\]$/s.exec(path);
  if (match === null || match[1] === '') return undefined;
  return { path: match[1] ?? '', key: match[2] ?? '' };
}

export function validateFieldRef(
  e: FieldErrors,
  at: string,
  ref: ObjectFieldSelector,
  allowed: readonly string[],
): void {
  const apiVersion = ref.apiVersion ?? '';
  const fieldPath = ref.fieldPath ?? '';
  if (apiVersion === '') return e.required(`${at}.apiVersion`);
  if (fieldPath === '') return e.required(`${at}.fieldPath`);
  const problem = conversionProblem(apiVersion, fieldPath);
  if (problem !== undefined) {
    return e.invalid(`${at}.fieldPath`, fieldPath, `error converting fieldPath: ${problem}`);
  }
  const subscript = splitSubscript(fieldPath);
  if (subscript !== undefined) {
    const key =
      subscript.path === 'metadata.annotations' ? subscript.key.toLowerCase() : subscript.key;
    e.invalidEach(at, key, checkQualifiedName(key));
    return;
  }
  const path = fieldPath === 'spec.host' ? 'spec.nodeName' : fieldPath;
  if (!allowed.includes(path)) e.notSupported(`${at}.fieldPath`, path, allowed);
}

function conversionProblem(apiVersion: string, fieldPath: string): string | undefined {
  if (apiVersion !== 'v1') return `unsupported pod version: ${apiVersion}`;
  const subscript = splitSubscript(fieldPath);
  if (subscript !== undefined) {
    if (['metadata.annotations', 'metadata.labels'].includes(subscript.path)) return undefined;
    return `field label does not support subscript: ${fieldPath}`;
  }
  if (KNOWN_PATHS.has(fieldPath) || fieldPath === 'spec.host') return undefined;
  return `field label not supported: ${fieldPath}`;
}

export function validateResourceFieldRef(
  e: FieldErrors,
  at: string,
  ref: ResourceFieldSelector,
  options: { readonly needsContainer: boolean },
): void {
  const resource = ref.resource ?? '';
  const isHugePages = /^(limits|requests)\.hugepages-/.test(resource);
  if (options.needsContainer && (ref.containerName ?? '') === '') e.required(`${at}.containerName`);
  else if (resource === '') e.required(`${at}.resource`);
  else if (!RESOURCE_PATHS.includes(resource) && !isHugePages) {
    e.notSupported(`${at}.resource`, resource, RESOURCE_PATHS);
  }
  validateDivisor(e, at, resource, ref.divisor);
}

const SIZES = '1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei';

function validateDivisor(
  e: FieldErrors,
  at: string,
  resource: string,
  divisor: string | undefined,
): void {
  if (divisor === undefined) return;
  const quantity = parseQuantity(divisor);
  if (isZeroQuantity(quantity)) return;
  const text = formatQuantity(quantity);
  const kind = resource.replace(/^(limits|requests)\./, '');
  if (kind === 'cpu') {
    if (text === '1m' || text === '1') return;
    const detail = "only divisor's values 1m and 1 are supported with the cpu resource";
    return e.invalid(`${at}.divisor`, resource, detail);
  }
  const label =
    new Map([
      ['memory', 'memory'],
      ['ephemeral-storage', 'local ephemeral storage'],
    ]).get(kind) ?? (kind.startsWith('hugepages-') ? 'hugepages' : undefined);
  if (label === undefined || SIZES.split(', ').includes(text)) return;
  const detail = `only divisor's values ${SIZES} are supported with the ${label} resource`;
  e.invalid(`${at}.divisor`, resource, detail);
}
