/** Rules of networking.k8s.io/v1 kinds but Ingress. Source: kubernetes v1.36.3 pkg/apis/networking. */
import type {
  IPAddress,
  IPBlock,
  IngressClass,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  ServiceCIDR,
} from '#base/kube/api/networking-v1.gen.ts';
import {
  checkCanonicalCidr,
  checkCanonicalIp,
  checkCidr,
  maskedBytes,
  parseCidr,
} from './addresses.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPathSegment,
  checkPortName,
  checkPortNumber,
} from './formats.ts';
import { given } from './given.ts';
import { IMMUTABLE, type NameRule, validateLabelSelector } from './meta.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { age, formatSelector, NONE, tableOf } from './tables.ts';

const GROUP = { group: 'networking.k8s.io', version: 'v1' } as const;
const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';

function validateClass(
  e: FieldErrors,
  { spec }: IngressClass,
  old: IngressClass | undefined,
): void {
  const controller = spec?.controller ?? '';
  if (old !== undefined && controller !== (old.spec?.controller ?? '')) {
    e.invalid('spec.controller', controller, IMMUTABLE);
  }
  if (controller === '') e.required('spec.controller');
  const parameters = spec?.parameters;
  if (parameters === undefined) return;
  const { apiGroup, scope, namespace } = parameters;
  const at = 'spec.parameters';
  if (apiGroup !== undefined)
    e.invalidEach(`${at}.apiGroup`, apiGroup, checkDnsSubdomain(apiGroup));
  for (const field of ['kind', 'name'] as const) {
    const value = given(parameters)[field] ?? '';
    if (value === '') e.required(`${at}.${field}`);
    else e.invalidEach(`${at}.${field}`, value, checkPathSegment(value));
  }
  if (scope !== 'Cluster' && scope !== 'Namespace') {
    e.notSupported(`${at}.scope`, scope ?? '', ['Cluster', 'Namespace']);
  } else if (scope === 'Namespace' && namespace === undefined) {
    e.required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'");
  } else if (scope === 'Namespace') {
    e.invalidEach(`${at}.namespace`, namespace, checkDnsLabel(namespace ?? ''));
  } else if (namespace !== undefined) {
    e.forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'");
  }
}

export const ingressClassRules = plainRules<IngressClass>({
  ...GROUP,
  resource: 'ingressclasses',
  hasGeneration: true,
  default({ spec }) {
    if (spec?.parameters !== undefined) spec.parameters.scope ??= 'Cluster';
  },
  check: validateClass,
  bumpsGeneration: (ingressClass, old) => !sameValue(ingressClass.spec, old.spec),
  table: tableOf('Name,Controller,Parameters,Age', ({ metadata, spec }, nowMs) => {
    const parameters = spec?.parameters;
    const group = parameters?.apiGroup === undefined ? '' : `.${parameters.apiGroup}`;
    const isDefault = metadata.annotations?.[DEFAULT_CLASS] === 'true';
    return [
      isDefault ? `${metadata.name} (default)` : metadata.name,
      spec?.controller ?? '',
      parameters === undefined ? NONE : `${parameters.kind}${group}/${parameters.name}`,
      age(metadata.creationTimestamp, nowMs),
    ];
  }),
});

function validatePolicy(e: FieldErrors, { spec }: NetworkPolicy): void {
  if (spec?.podSelector !== undefined) {
    validateLabelSelector(e, 'spec.podSelector', spec.podSelector);
  }
  for (const [i, rule] of (spec?.ingress ?? []).entries()) {
    validateRule(e, `spec.ingress[${i}]`, { ports: rule.ports, peers: rule.from, field: 'from' });
  }
  for (const [i, rule] of (spec?.egress ?? []).entries()) {
    validateRule(e, `spec.egress[${i}]`, { ports: rule.ports, peers: rule.to, field: 'to' });
  }
  const types = spec?.policyTypes ?? [];
  if (types.length > 2) {
    return e.invalid('spec.policyTypes', types, 'may not specify more than two policyTypes');
  }
  for (const [i, type] of types.entries()) {
    if (type === 'Ingress' || type === 'Egress') continue;
    e.notSupported(`spec.policyTypes[${i}]`, type, ['Ingress', 'Egress']);
  }
}

interface PolicyRule {
  readonly ports: readonly NetworkPolicyPort[] | undefined;
  readonly peers: readonly NetworkPolicyPeer[] | undefined;
  readonly field: 'from' | 'to';
}

function validateRule(
  e: FieldErrors,
  at: string,
  { ports = [], peers = [], field }: PolicyRule,
): void {
  for (const [i, port] of ports.entries()) validatePort(e, `${at}.ports[${i}]`, port);
  for (const [i, peer] of peers.entries()) validatePeer(e, `${at}.${field}[${i}]`, peer);
}

function validatePort(
  e: FieldErrors,
  at: string,
  { protocol, port, endPort }: NetworkPolicyPort,
): void {
  if (protocol !== undefined && !['TCP', 'UDP', 'SCTP'].includes(protocol)) {
    e.notSupported(`${at}.protocol`, protocol, ['TCP', 'UDP', 'SCTP']);
  }
  if (typeof port === 'number') {
    e.invalidEach(`${at}.port`, port, checkPortNumber(port));
    if (endPort === undefined) return;
    if (endPort < port) e.invalid(`${at}.endPort`, port, 'must be greater than or equal to `port`');
    e.invalidEach(`${at}.endPort`, endPort, checkPortNumber(endPort));
  } else if (port === undefined) {
    if (endPort === undefined) return;
    e.invalid(`${at}.endPort`, endPort, 'may not be specified when `port` is not specified');
  } else {
    if (endPort !== undefined) {
      e.invalid(`${at}.endPort`, endPort, 'may not be specified when `port` is non-numeric');
    }
    e.invalidEach(`${at}.port`, port, checkPortName(port));
  }
}

function validatePeer(e: FieldErrors, at: string, peer: NetworkPolicyPeer): void {
  for (const field of ['podSelector', 'namespaceSelector'] as const) {
    const selector = peer[field];
    if (selector !== undefined) validateLabelSelector(e, `${at}.${field}`, selector);
  }
  if (peer.ipBlock !== undefined) validateBlock(e, `${at}.ipBlock`, peer.ipBlock);
  const count = Object.values(peer).filter((value) => value !== undefined).length;
  if (count === 0) e.required(at, 'must specify a peer');
  else if (count > 1 && peer.ipBlock !== undefined) {
    e.forbidden(at, 'may not specify both ipBlock and another peer');
  }
}

function validateBlock(e: FieldErrors, at: string, block: IPBlock): void {
  const { cidr = '', except = [] } = given(block);
  if (cidr === '') return e.required(`${at}.cidr`);
  e.invalidEach(`${at}.cidr`, cidr, checkCidr(cidr));
  const outer = parseCidr(cidr);
  if (outer === undefined) return;
  for (const [i, text] of except.entries()) {
    e.invalidEach(`${at}.except[${i}]`, text, checkCidr(text));
    const inner = parseCidr(text);
    if (inner === undefined) continue;
    const masked = maskedBytes({ ...inner, prefixLength: outer.prefixLength });
    const isInside =
      sameValue(masked, maskedBytes(outer)) && inner.prefixLength > outer.prefixLength;
    if (!isInside) e.invalid(`${at}.except[${i}]`, text, 'must be a strict subset of `cidr`');
  }
}

export const networkPolicyRules = plainRules<NetworkPolicy>({
  ...GROUP,
  resource: 'networkpolicies',
  hasGeneration: true,
  default(policy) {
    policy.spec ??= { podSelector: {} };
    const { spec } = policy;
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) port.protocol ??= 'TCP';
    }
    if ((spec.policyTypes ?? []).length > 0) return;
    spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  },
  check: validatePolicy,
  bumpsGeneration: (policy, old) => !sameValue(policy.spec, old.spec),
  table: tableOf('Name,Pod-Selector,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    formatSelector(spec?.podSelector),
    age(metadata.creationTimestamp, nowMs),
  ]),
});

function validateCidrs(e: FieldErrors, cidrs: readonly string[]): void {
  if (cidrs.length === 0) return e.required('spec.cidrs', 'at least one CIDR required');
  if (cidrs.length > 2) {
    const shown = new RenderedValue(goJson({ CIDRs: cidrs }));
    return e.invalid('spec.cidrs', shown, 'may only hold up to 2 values');
  }
  for (const [i, cidr] of cidrs.entries()) {
    e.invalidEach(`spec.cidrs[${i}]`, cidr, checkCanonicalCidr(cidr));
  }
  const [first, second] = cidrs.map((cidr) => parseCidr(cidr)?.address.family);
  if (first !== undefined && first === second) {
    const detail =
      'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64';
    e.invalid('spec.cidrs', cidrs, detail);
  }
}

export const serviceCidrRules = plainRules<ServiceCIDR>({
  ...GROUP,
  resource: 'servicecidrs',
  check(e, { spec }, old) {
    const cidrs = spec?.cidrs ?? [];
    if (old === undefined) return validateCidrs(e, cidrs);
    const before = old.spec?.cidrs ?? [];
    const grows = before.length === 1 && cidrs.length === 2;
    if (before.length !== cidrs.length && !grows) return e.invalid('spec.cidrs', cidrs, IMMUTABLE);
    for (const [i, cidr] of before.entries()) {
      if (cidrs[i] !== cidr) e.invalid(`spec.cidrs[${i}]`, cidrs[i], IMMUTABLE);
    }
    if (grows) validateCidrs(e, cidrs);
  },
  table: tableOf('Name,CIDRs,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    (spec?.cidrs ?? []).join(','),
    age(metadata.creationTimestamp, nowMs),
  ]),
});

/** The canonical form of an address. */
const addressName: NameRule = (name) => checkCanonicalIp(name);

export const ipAddressRules = plainRules<IPAddress>({
  ...GROUP,
  resource: 'ipaddresses',
  name: addressName,
  allowCreateOnUpdate: true,
  check(e, { spec }, old) {
    const parent = spec?.parentRef;
    if (old !== undefined) {
      if (!sameValue(parent, old.spec?.parentRef)) {
        e.invalid('spec.parentRef', parent ?? null, IMMUTABLE);
      }
      return;
    }
    if (parent === undefined) return e.required('spec.parentRef');
    if ((given(parent).resource ?? '') === '') e.required('spec.parentRef.resource');
    if ((given(parent).name ?? '') === '') e.required('spec.parentRef.name');
  },
  // Upstream's rows have an age that no column names.
  table: tableOf('Name,ParentRef', ({ metadata, spec }, nowMs) => {
    const parent = spec?.parentRef;
    const group = (parent?.group ?? '') === '' ? '' : `.${parent?.group ?? ''}`;
    const namespace = (parent?.namespace ?? '') === '' ? '' : `/${parent?.namespace ?? ''}`;
    return [
      metadata.name,
      parent === undefined
        ? NONE
        : `${`${parent.resource}${group}`.toLowerCase()}${namespace}/${parent.name}`,
      age(metadata.creationTimestamp, nowMs),
    ];
  }),
});
