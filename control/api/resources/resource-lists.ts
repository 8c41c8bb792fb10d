/**
 * Lists of resource quantities (`cpu: 500m`) and the rules on resource names: which are native, which
 * count whole things, which may be overcommitted. Used by pods, nodes, quotas, limit ranges, claims.
 * Source: kubernetes v1.36.3 pkg/apis/core/helper and pkg/apis/core/validation.
 */
import {
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityMilliValue,
  quantityValue,
  type Quantity,
} from '#base/kube/quantity.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkQualifiedName } from './formats.ts';

export type ResourceList = Record<string, string>;

const HUGE_PAGES = 'hugepages-';
const ZERO = parseQuantity('0');
const MILLI = -3;

const COUNTED = new Set([
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
]);
const COMPUTE = ['cpu', 'memory', 'ephemeral-storage'];
const CONTAINER_NAMES = new Set(COMPUTE);
export const QUOTA_NAMES: ReadonlySet<string> = new Set([
  ...COUNTED,
  ...COMPUTE,
  ...COMPUTE.map((name) => `requests.${name}`),
  ...COMPUTE.map((name) => `limits.${name}`),
  'requests.storage',
]);
const STANDARD_NAMES = new Set([...QUOTA_NAMES, 'storage']);

export const isHugePages = (name: string): boolean => name.startsWith(HUGE_PAGES);
export const isNativeResource = (name: string): boolean =>
  !name.includes('/') || name.includes('kubernetes.io/');
export const isOvercommitAllowed = (name: string): boolean =>
  isNativeResource(name) && !isHugePages(name);
export const isPodLevelResource = (name: string): boolean =>
  name === 'cpu' || name === 'memory' || isHugePages(name);

/** Resources of device plugins: prefixed with a domain outside kubernetes.io. */
export function isExtendedResource(name: string): boolean {
  if (isNativeResource(name) || name.startsWith('requests.')) return false;
  return checkQualifiedName(`requests.${name}`).length === 0;
}

/** Quantities below a thousandth are rounded up, as old servers stored them. */
export function roundUpResources(list: ResourceList | undefined): void {
  for (const [name, text] of Object.entries(list ?? {})) {
    const quantity = parseQuantity(text);
    if (quantity.exponent >= MILLI) continue;
    const milli = quantityMilliRoundedUp(quantity);
    const rounded = { mantissa: milli, exponent: MILLI, format: quantity.format };
    if (list !== undefined && compareQuantities(rounded, quantity) !== 0) {
      list[name] = formatQuantity(rounded);
    }
  }
}

function quantityMilliRoundedUp(quantity: Quantity): bigint {
  const divisor = 10n ** BigInt(MILLI - quantity.exponent);
  const quotient = quantity.mantissa / divisor;
  if (quotient * divisor === quantity.mantissa) return quotient;
  return quantity.mantissa < 0n ? quotient - 1n : quotient + 1n;
}

/** True if both lists hold the same names with equal values. */
export function sameResources(a: ResourceList = {}, b: ResourceList = {}): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    const [left, right] = [a[name], b[name]];
    if (left === undefined || right === undefined) return false;
    return left === right || compareQuantities(parseQuantity(left), parseQuantity(right)) === 0;
  });
}

/** Any resource: a standard one, or qualified by a domain. */
export function validateResourceName(e: FieldErrors, field: string, name: string): boolean {
  const messages = checkQualifiedName(name);
  e.invalidEach(field, name, messages);
  if (messages.length > 0) return false;
  if (name.includes('/') || STANDARD_NAMES.has(name)) return true;
  if (isHugePages(name) || name.startsWith('requests.hugepages-')) return true;
  e.invalid(field, name, 'must be a standard resource type or fully qualified');
  return false;
}

export function validateContainerResourceName(e: FieldErrors, field: string, name: string): void {
  validateResourceName(e, field, name);
  if (!name.includes('/')) {
    if (!CONTAINER_NAMES.has(name) && !isHugePages(name)) {
      e.invalid(field, name, 'must be a standard resource for containers');
    }
  } else if (!isNativeResource(name) && !isExtendedResource(name)) {
    e.invalid(field, name, "doesn't follow extended resource name standard");
  }
}

export function validateNonnegativeQuantity(e: FieldErrors, field: string, text: string): void {
  const quantity = parseQuantity(text);
  if (compareQuantities(quantity, ZERO) < 0) {
    e.invalid(field, formatQuantity(quantity), 'must be greater than or equal to 0');
  }
}

/** Not negative, and whole where the resource counts things. */
export function validateResourceValue(
  e: FieldErrors,
  field: string,
  resource: { readonly name: string; readonly quantity: string },
): void {
  validateNonnegativeQuantity(e, field, resource.quantity);
  const counted = COUNTED.has(resource.name) || isExtendedResource(resource.name);
  const quantity = parseQuantity(resource.quantity);
  if (counted && quantityMilliValue(quantity) % 1000 !== 0) {
    e.invalid(field, formatQuantity(quantity), 'must be an integer');
  }
}

/** Huge pages come in whole pages of the size that the resource's name tells. */
export function validateHugePageValue(
  e: FieldErrors,
  field: string,
  resource: { readonly name: string; readonly quantity: string },
): void {
  const quantity = parseQuantity(resource.quantity);
  if (!isWholePages(resource.name, quantity)) {
    const text = formatQuantity(quantity);
    e.invalid(field, text, `${text} is not positive integer multiple of ${resource.name}`);
  }
}

function isWholePages(name: string, quantity: Quantity): boolean {
  try {
    const page = parseQuantity(name.slice(HUGE_PAGES.length));
    if (compareQuantities(page, ZERO) <= 0 || quantityMilliValue(page) % 1000 !== 0) return false;
    return quantityValue(quantity) % quantityValue(page) === 0;
  } catch {
    return false; // The name holds no size.
  }
}
