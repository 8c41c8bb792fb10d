/** Rules of v1 Nodes. Source: kubernetes v1.36.3 pkg/apis/core/validation, pkg/registry/core/node. */
import type { Node, Taint } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { checkCidr, ipFamily, parseCidr } from './addresses.ts';
import { type FieldErrors, goJson, goQuote, RenderedValue, sortedMap } from './field-errors.ts';
import { checkLabelValue } from './formats.ts';
import { given } from './given.ts';
import { subdomainName, validateLabelKey, validateMeta, validateMetaUpdate } from './meta.ts';
import { roundUpResources, validateResourceValue } from './resource-lists.ts';
import { validateTaintEffect } from './scheduling-rules.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, NONE, orNone, tableOf, UNKNOWN } from './tables.ts';

const META = { namespaced: false, name: subdomainName, coreFinalizers: true };
const FEATURE = /^([A-Z][A-Za-z0-9]*)(\/[A-Za-z0-9]+)*$/;
const ROLE_PREFIX = 'node-role.kubernetes.io/';

function validateTaints(e: FieldErrors, path: string, taints: readonly Taint[]): void {
  const seen = new Set<string>();
  for (const [i, taint] of taints.entries()) {
    const at = `${path}[${i}]`;
    const { key = '', value = '', effect = '' } = given(taint);
    validateLabelKey(e, `${at}.key`, key);
    const messages = checkLabelValue(value);
    if (messages.length > 0) e.invalid(`${at}.value`, value, messages.join(';'));
    if (effect === '') e.required(`${at}.effect`);
    else validateTaintEffect(e, `${at}.effect`, effect);
    const pair = `${effect} ${key}`;
    if (seen.has(pair)) {
      const shown = { Key: key, Value: value, Effect: effect, TimeAdded: taint.timeAdded ?? null };
      const badValue = new RenderedValue(goJson(shown));
      const detail = 'taints must be unique by key and effect pair';
      e.add({ type: 'FieldValueDuplicate', field: at, badValue, detail });
    }
    seen.add(pair);
  }
}

function validateFeatures(e: FieldErrors, features: readonly string[]): void {
  const path = 'status.declaredFeatures';
  for (const [i, feature] of features.entries()) {
    const name = `invalid feature name ${goQuote(feature)}`;
    if (feature.length > 253) {
      e.invalid(`${path}[${i}]`, feature, `${name}: must be no more than 253 characters`);
    } else if (!FEATURE.test(feature)) {
      const detail =
        "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";
      e.invalid(`${path}[${i}]`, feature, `${name}: ${detail}`);
    }
    const next = features[i + 1];
    if (next === undefined) continue;
    if (feature === next) e.duplicate(`${path}[${i + 1}]`, next);
    else if (feature > next) {
      e.invalid(`${path}[${i + 1}]`, next, 'list must be sorted alphabetically');
    }
  }
}

function validateResources(e: FieldErrors, node: Node): void {
  for (const list of ['capacity', 'allocatable'] as const) {
    for (const [name, quantity] of Object.entries(sortedMap(node.status?.[list]))) {
      validateResourceValue(e, `status.${list}.${name}`, { name, quantity });
    }
  }
}

function validate(e: FieldErrors, node: Node): void {
  validateMeta(e, node.metadata, META);
  validateTaints(e, 'metadata.taints', node.spec?.taints ?? []);
  validateResources(e, node);
  const swap = node.status?.nodeInfo?.swap?.capacity;
  if (swap !== undefined && swap <= 0) {
    e.invalid('metadata.nodeSwapStatus.capacity', swap, 'must be greater than zero');
  }
  validateFeatures(e, node.status?.declaredFeatures ?? []);
  const cidrs = node.spec?.podCIDRs ?? [];
  for (const [i, cidr] of cidrs.entries()) {
    e.invalidEach(`spec.podCIDRs[${i}]`, cidr, checkCidr(cidr));
  }
  if (cidrs.length < 2) return;
  const bad = cidrs.findIndex((cidr) => parseCidr(cidr) === undefined);
  if (bad >= 0) {
    const problem = `invalid CIDR[${bad}]: <nil> (invalid CIDR address: ${cidrs[bad]})`;
    const detail = `invalid PodCIDRs. failed to check with dual stack with error:${problem}`;
    e.internal('spec.podCIDRs', detail);
  }
  const families = new Set(cidrs.map((cidr) => ipFamily(cidr.split('/')[0] ?? '')));
  if (bad >= 0 || families.size !== 2 || cidrs.length > 2) {
    e.invalid('spec.podCIDRs', cidrs, 'may specify no more than one CIDR for each IP family');
  }
}

function validateUpdate(e: FieldErrors, node: Node, old: Node): void {
  validateMetaUpdate(e, node.metadata, old.metadata, META);
  validateResources(e, node);
  validateFeatures(e, node.status?.declaredFeatures ?? []);
  const seen = new Set<string>();
  for (const [i, { type, address }] of (node.status?.addresses ?? []).entries()) {
    const key = `${type} ${address}`;
    if (seen.has(key)) {
      const shown = new RenderedValue(goJson({ Type: type, Address: address }));
      e.duplicate(`status.addresses[${i}]`, shown);
    }
    seen.add(key);
  }
  const cidrs = node.spec?.podCIDRs ?? [];
  const before = old.spec?.podCIDRs ?? [];
  const once = (field: string): string =>
    `node updates may not change ${field} except from "" to valid`;
  if (before.length > 0 && before.length !== cidrs.length) {
    e.forbidden('spec.podCIDRs', once('podCIDR'));
  } else {
    for (const [i, cidr] of before.entries()) {
      if (cidr !== cidrs[i]) e.forbidden('spec.podCIDRs', once('podCIDR'));
    }
  }
  const provider = old.spec?.providerID ?? '';
  if (provider !== '' && provider !== node.spec?.providerID) {
    e.forbidden('spec.providerID', once('providerID'));
  }
  validateTaints(e, 'metadata.taints', node.spec?.taints ?? []);
  if ((node.spec?.externalID ?? '') !== (old.spec?.externalID ?? '')) {
    e.forbidden('spec.externalID', 'may not be updated');
  }
}

function statusCell({ spec, status }: Node): string {
  const ready = (status?.conditions ?? []).findLast(({ type }) => type === 'Ready');
  const text = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return spec?.unschedulable === true ? `${text},SchedulingDisabled` : text;
}

function rolesCell({ metadata }: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (key.startsWith(ROLE_PREFIX)) roles.add(key.slice(ROLE_PREFIX.length));
    else if (key === 'kubernetes.io/role') roles.add(value);
  }
  roles.delete('');
  return orNone([...roles].sort().join(','));
}

function addressCell({ status }: Node, wanted: string): string {
  return (status?.addresses ?? []).find(({ type }) => type === wanted)?.address ?? NONE;
}

function defaultNode(node: Node): void {
  node.spec ??= {};
  const { spec, status } = node;
  // One CIDR in two spellings; the list wins.
  const [first] = spec.podCIDRs ?? [];
  if (first !== undefined) spec.podCIDR = first;
  else if ((spec.podCIDR ?? '') !== '') spec.podCIDRs = [spec.podCIDR ?? ''];
  if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
  roundUpResources(status?.capacity);
  roundUpResources(status?.allocatable);
}

export const nodeRules: ResourceRules<Node> = {
  group: '',
  version: 'v1',
  resource: 'nodes',
  default: defaultNode,
  prepareForCreate(node) {
    delete node.spec.configSource;
    delete node.status?.config;
  },
  validate: (node) => collect((e) => validate(e, node)),
  prepareForUpdate(node, old) {
    copyField(node, old, 'status');
    copyField(node.spec, old.spec, 'configSource');
  },
  validateUpdate: (node, old) =>
    collectUpdate(node, old, META, (e) => {
      validate(e, node);
      validateUpdate(e, node, old);
    }),
  fieldLabels: ['spec.unschedulable'],
  selectableFields: ({ spec }) => ({ 'spec.unschedulable': `${spec?.unschedulable === true}` }),
  subresources: {
    status: {
      prepareForUpdate(node, old) {
        copyField(node, old, 'spec');
        if (node.status !== undefined && old.status !== undefined) {
          copyField(node.status, old.status, 'config');
        }
      },
      validateUpdate: (node, old) =>
        collectUpdate(node, old, META, (e) => validateUpdate(e, node, old)),
    },
  },
  table: tableOf(
    'Name,Status,Roles,Age,Version|Internal-IP,External-IP,OS-Image,Kernel-Version,Container-Runtime',
    (node, nowMs) => {
      const info = node.status?.nodeInfo;
      const known = (text: string | undefined): string => text || UNKNOWN;
      const architecture = info?.architecture ?? '';
      return [
        node.metadata.name,
        statusCell(node),
        rolesCell(node),
        age(node.metadata.creationTimestamp, nowMs),
        info?.kubeletVersion ?? '',
        addressCell(node, 'InternalIP'),
        addressCell(node, 'ExternalIP'),
        known(info?.osImage),
        known(info?.kernelVersion) + (architecture === '' ? '' : ` (${architecture})`),
        known(info?.containerRuntimeVersion),
      ];
    },
  ),
};
