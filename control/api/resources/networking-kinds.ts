/** Rules of networking.k8s.io/v1 kinds. Source: kubernetes v1.36.3 pkg/apis/networking. */
import type {
  IPAddress,
  IPBlock,
  Ingress,
  IngressBackend,
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
  parseIp,
} from './addresses.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPathSegment,
  checkPortName,
  checkPortNumber,
  checkWildcardSubdomain,
} from './formats.ts';
import { given } from './given.ts';
import { IMMUTABLE, type NameRule, validateLabelSelector } from './meta.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { age, formatSelector, NONE, tableOf } from './tables.ts';

const GROUP = { group: 'networking.k8s.io', version: 'v1' } as const;
const HOSTS_SHOWN_MAX = 3;
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';
const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];

function validateIngress(e: FieldErrors, ingress: Ingress, old: Ingress | undefined): void {
  const { rules = [], defaultBackend, tls = [], ingressClassName } = ingress.spec ?? {};
  if (rules.length === 0 && defaultBackend === undefined) {
    const detail = 'either `defaultBackend` or `rules` must be specified';
    e.invalid('spec', ingress.spec?.rules, detail);
  }
  if (defaultBackend !== undefined) validateBackend(e, 'spec.defaultBackend', defaultBackend);
  for (const [i, rule] of rules.entries()) {
    const at = `spec.rules[${i}]`;
    if ((rule.host ?? '') !== '') validateHost(e, `${at}.host`, rule.host ?? '');
    if (rule.http === undefined) continue;
    const paths = given(rule.http).paths ?? [];
    if (paths.length === 0) e.required(`${at}.http.paths`);
    for (const [j, path] of paths.entries()) {
      if (!validatePath(e, `${at}.http.paths[${j}]`, path)) continue;
      validateBackend(e, `${at}.http.paths[${j}].backend`, given(path).backend ?? {});
    }
  }
  for (const [i, { hosts = [], secretName = '' }] of tls.entries()) {
    for (const [j, host] of hosts.entries()) {
      const check = host.includes('*') ? checkWildcardSubdomain : checkDnsSubdomain;
      e.invalidEach(`spec.tls[${i}].hosts[${j}]`, host, check(host));
    }
    if (secretName !== '') {
      e.invalidEach(`spec.tls[${i}].secretName`, secretName, checkDnsSubdomain(secretName));
    }
  }
  if (ingressClassName === undefined) return;
  e.invalidEach('spec.ingressClassName', ingressClassName, checkDnsSubdomain(ingressClassName));
  const annotation = ingress.metadata.annotations?.[CLASS_ANNOTATION];
  if (old === undefined && annotation !== undefined && annotation !== ingressClassName) {
    const detail = 'must match `ingressClassName` when both are specified';
    e.invalid(`annotations.${CLASS_ANNOTATION}`, annotation, detail);
  }
}

function validateHost(e: FieldErrors, field: string, host: string): void {
  if (parseIp(host) !== undefined) {
    e.invalid(field, host, 'must be a DNS name, not an IP address');
  }
  const check = host.includes('*') ? checkWildcardSubdomain : checkDnsSubdomain;
  e.invalidEach(field, host, check(host));
}

const BAD_PATH_PARTS = ['//', '/./', '/../', '%2f', '%2F'];
const BAD_PATH_ENDS = ['/..', '/.'];

/** False when the type is missing: then upstream does not look at the backend. */
function validatePath(
  e: FieldErrors,
  at: string,
  path: { path?: string | undefined; pathType?: string | undefined },
): boolean {
  const { path: text = '', pathType } = path;
  if (pathType === undefined) {
    e.required(`${at}.pathType`, 'pathType must be specified');
    return false;
  }
  if (pathType === 'Exact' || pathType === 'Prefix') {
    if (!text.startsWith('/')) e.invalid(`${at}.path`, text, 'must be an absolute path');
    if (text === '') return true;
    for (const part of BAD_PATH_PARTS.filter((bad) => text.includes(bad))) {
      e.invalid(`${at}.path`, text, `must not contain '${part}'`);
    }
    for (const end of BAD_PATH_ENDS.filter((bad) => text.endsWith(bad))) {
      e.invalid(`${at}.path`, text, `cannot end with '${end}'`);
    }
  } else if (pathType === 'ImplementationSpecific') {
    if (text !== '' && !text.startsWith('/')) {
      e.invalid(`${at}.path`, text, 'must be an absolute path');
    }
  } else e.notSupported(`${at}.pathType`, pathType, PATH_TYPES);
  return true;
}

function validateBackend(e: FieldErrors, at: string, backend: Partial<IngressBackend>): void {
  const { resource, service } = backend;
  if (resource !== undefined && service !== undefined) {
    return e.invalid(at, '', 'cannot set both resource and service backends');
  }
  if (resource !== undefined) {
    if ((resource.kind ?? '') === '') e.required(`${at}.resource.kind`);
    if ((resource.name ?? '') === '') e.required(`${at}.resource.name`);
    return;
  }
  if (service === undefined) return e.invalid(at, '', 'resource or service backend is required');
  const { name = '' } = given(service);
  if (name === '') e.required(`${at}.service.name`);
  else e.invalidEach(`${at}.service.name`, name, checkDnsLabel(name));
  const portName = service.port?.name ?? '';
  const number = service.port?.number ?? 0;
  if (portName !== '' && number !== 0) {
    e.invalid(at, '', 'cannot set both port name & port number');
  } else if (portName !== '') {
    e.invalidEach(`${at}.service.port.name`, portName, checkPortName(portName));
  } else if (number !== 0) {
    e.invalidEach(`${at}.service.port.number`, number, checkPortNumber(number));
  } else e.required(at, 'port name or number is required');
}

function hostsCell({ spec }: Ingress): string {
  const rules = spec?.rules ?? [];
  const hosts = rules.map(({ host = '' }) => host).filter((host) => host !== '');
  const shown = hosts.slice(0, HOSTS_SHOWN_MAX);
  if (shown.length === 0) return '*';
  const text = shown.join(',');
  // Upstream counts rules, not hosts.
  const isMore =
    shown.length === HOSTS_SHOWN_MAX && rules.length > rules.indexOf(lastShown(rules)) + 1;
  return isMore ? `${text} + ${rules.length - HOSTS_SHOWN_MAX} more...` : text;
}

function lastShown<T extends { host?: string | undefined }>(rules: readonly T[]): T {
  const withHost = rules.filter(({ host = '' }) => host !== '');
  return withHost[HOSTS_SHOWN_MAX - 1] as T; // The caller found as many.
}

export const ingressRules = plainRules<Ingress>({
  ...GROUP,
  resource: 'ingresses',
  hasGeneration: true,
  check: validateIngress,
  bumpsGeneration: (ingress, old) => !sameValue(ingress.spec, old.spec),
  table: tableOf('Name,Class,Hosts,Address,Ports,Age', (ingress, nowMs) => {
    const { metadata, spec, status } = ingress;
    const addresses = (status?.loadBalancer?.ingress ?? [])
      .map(({ ip = '', hostname = '' }) => (ip === '' ? hostname : ip))
      .filter((address) => address !== '');
    return [
      metadata.name,
      spec?.ingressClassName ?? NONE,
      hostsCell(ingress),
      [...new Set(addresses)].sort().join(','),
      (spec?.tls ?? []).length > 0 ? '80, 443' : '80',
      age(metadata.creationTimestamp, nowMs),
    ];
  }),
});

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
