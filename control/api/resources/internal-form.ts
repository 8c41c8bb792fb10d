/**
 * The form in which upstream prints values inside errors: its internal types, with Go's field names in
 * the order of declaration, and null or zero for what is not set. Clients show such texts to users.
 */
import type { PodSpec } from '#base/kube/api/core-v1.gen.ts';
import { goJson, RenderedValue, sortedMap } from './field-errors.ts';
import { internalTypes } from './internal-types.gen.ts';
import { selectorValue } from './meta.ts';

type Members = ReadonlyMap<string, unknown>;

/** Fields whose public name is not Go's in lower case. */
const PUBLIC_NAMES: Readonly<Record<string, string>> = {
  'RBDVolumeSource.CephMonitors': 'monitors',
  'RBDVolumeSource.RBDImage': 'image',
  'RBDVolumeSource.RBDPool': 'pool',
  'RBDVolumeSource.RadosUser': 'user',
  'AzureDiskVolumeSource.DataDiskURI': 'diskuri',
  'ISCSIVolumeSource.DiscoveryCHAPAuth': 'chapauthdiscovery',
  'ISCSIVolumeSource.SessionCHAPAuth': 'chapauthsession',
  'GlusterfsVolumeSource.EndpointsName': 'endpoints',
};
/** Fields that the internal security context of a pod takes from the spec. */
const FROM_SPEC = [
  'hostNetwork',
  'hostPID',
  'hostIPC',
  'shareProcessNamespace',
  'hostUsers',
] as const;
const META_FIELDS = ['name', 'generateName', 'namespace', 'labels', 'annotations', 'finalizers'];

export function internalPodSpec(spec: PodSpec): unknown {
  const own = Object.fromEntries(FROM_SPEC.map((field) => [field, spec[field]]));
  return structValue('PodSpec', { ...spec, securityContext: { ...spec.securityContext, ...own } });
}

export function internalValue(type: string, value: unknown): unknown {
  return render(`*${type}`, value);
}

/** As a bad value of a field error. */
export function renderedInternal(type: string, value: unknown): RenderedValue {
  return new RenderedValue(goJson(internalValue(type, value)));
}

function membersOf(value: unknown): Members {
  if (typeof value !== 'object' || value === null) return new Map();
  return new Map(Object.entries(value).map(([key, member]) => [key.toLowerCase(), member]));
}

function structValue(type: string, value: unknown): Record<string, unknown> {
  const members = membersOf(value);
  const result: Record<string, unknown> = {};
  for (const [name, fieldType] of internalTypes[type] ?? []) {
    if (name === '') Object.assign(result, embedded(fieldType, value, members));
    else {
      const key = PUBLIC_NAMES[`${type}.${name}`] ?? name.toLowerCase();
      result[name] = fieldValue(type, fieldType, members.get(key));
    }
  }
  return result;
}

/** Go's encoder writes the fields of an embedded struct as if they were the outer one's. */
function embedded(type: string, value: unknown, members: Members): Record<string, unknown> {
  if (type !== 'metav1.ObjectMeta') return structValue(type, value);
  const meta = members.get('metadata');
  const own = typeof meta === 'object' && meta !== null ? meta : {};
  const known = Object.entries(own).filter(([key]) => META_FIELDS.includes(key));
  const ordered = known.toSorted(([a], [b]) => META_FIELDS.indexOf(a) - META_FIELDS.indexOf(b));
  return Object.fromEntries(
    ordered.map(([key, member]) => [key, isLabels(member) ? sortedMap(member) : member]),
  );
}

function isLabels(value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldValue(owner: string, type: string, value: unknown): unknown {
  if (owner === 'PodTemplateSpec' && type === 'PodSpec') {
    return internalPodSpec((value ?? { containers: [] }) as PodSpec); // The template's.
  }
  return render(type, value);
}

function render(type: string, value: unknown): unknown {
  const isAbsent = value === undefined || value === null;
  if (type.startsWith('*')) return isAbsent ? null : render(type.slice(1), value);
  if (type.startsWith('[]')) {
    return Array.isArray(value) ? value.map((item) => render(type.slice(2), item)) : null;
  }
  if (type.startsWith('map[')) return isLabels(value) ? sortedMap(value) : null;
  if (internalTypes[type] !== undefined) return structValue(type, value);
  if (type === 'metav1.LabelSelector') return isAbsent ? {} : selectorValue(value as never); // Is one.
  if (!isAbsent) return value;
  return ZERO[type] ?? null;
}

const ZERO: Readonly<Record<string, unknown>> = {
  string: '',
  bool: false,
  int32: 0,
  int64: 0,
  int: 0,
  'intstr.IntOrString': 0,
  'resource.Quantity': '0',
  'types.UID': '',
};
