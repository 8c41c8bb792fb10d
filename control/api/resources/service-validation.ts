/**
 * Rules on v1 Services, after allocation.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation (validateService and its neighbours).
 */
import type { Service, ServicePort, ServiceSpec } from '#base/kube/api/core-v1.gen.ts';
import { checkCidr, checkIp, ipFamily, parseIp } from './addresses.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPortNumber,
  checkQualifiedName,
} from './formats.ts';
import { given } from './given.ts';
import { labelName, validateLabels, validateMeta, validateMetaUpdate } from './meta.ts';
import { validatePortNumberOrName } from './probes.ts';
import { isExternallyAccessible, isHeadless, needsHealthCheckPort } from './service-ips.ts';
import { validateEndpointIp } from './endpoints-validation.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const AFFINITY_SECONDS_MAX = 86_400;
const HINTS = 'service.kubernetes.io/topology-aware-hints';
const MODE = 'service.kubernetes.io/topology-mode';
const SOURCE_RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';
const BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'";
const SET_ONCE = 'may not change once set';

export function validateServiceCreate(e: FieldErrors, service: Service): void {
  const rules = { namespaced: true, name: labelName, coreFinalizers: true };
  validateMeta(e, service.metadata, rules);
  validateService(e, service, undefined);
}

export function validateServiceUpdate(e: FieldErrors, service: Service, old: Service): void {
  validateMetaUpdate(e, service.metadata, old.metadata, { coreFinalizers: true });
  validateIpsKept(e, service, old);
  validateFamiliesKept(e, service, old);
  const { spec } = service;
  const bothBalancers = spec.type === 'LoadBalancer' && old.spec.type === 'LoadBalancer';
  if (bothBalancers && spec.loadBalancerClass !== old.spec.loadBalancerClass) {
    e.invalid('spec.loadBalancerClass', spec.loadBalancerClass ?? null, SET_ONCE);
  }
  validateBalancerClass(e, spec);
  const bothCheck = needsHealthCheckPort(old) && needsHealthCheckPort(service);
  if (bothCheck && spec.healthCheckNodePort !== old.spec.healthCheckNodePort) {
    e.forbidden('spec.healthCheckNodePort', 'field is immutable');
  }
  validateService(e, service, old);
}

function validateService(e: FieldErrors, service: Service, old: Service | undefined): void {
  const { spec, metadata } = service;
  const mode = metadata.annotations?.[MODE];
  const hints = metadata.annotations?.[HINTS];
  if (mode !== undefined && hints !== undefined && mode !== hints) {
    const detail = `must match annotations[${HINTS}] when both are specified`;
    e.invalid(`metadata.annotations[${MODE}]`, mode, detail);
  }
  const ports = spec.ports ?? [];
  if (ports.length === 0 && !isHeadless(service) && spec.type !== 'ExternalName') {
    e.required('spec.ports');
  }
  validateTypeFields(e, service);
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    validatePort(e, `spec.ports[${i}]`, port, { needsName: ports.length > 1, names });
  }
  validateLabels(e, 'spec.selector', spec.selector);
  validateSessionAffinity(e, spec);
  validateClusterIps(e, service, old);
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) {
    const field = `spec.externalIPs[${i}]`;
    const messages = old?.spec.externalIPs?.includes(ip) === true ? [] : checkIp(ip);
    e.invalidEach(field, ip, messages);
    if (messages.length === 0) validateEndpointIp(e, field, ip);
  }
  const type = spec.type ?? '';
  if (type === '') e.required('spec.type');
  else if (!TYPES.includes(type)) e.notSupported('spec.type', type, TYPES);
  validatePortPairs(e, spec);
  validateSourceRanges(e, service, old);
  if (spec.allocateLoadBalancerNodePorts !== undefined && type !== 'LoadBalancer') {
    e.forbidden('spec.allocateLoadBalancerNodePorts', BALANCER_ONLY);
  }
  if (type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts === undefined) {
    e.required('allocateLoadBalancerNodePorts');
  }
  validateBalancerClass(e, spec);
  validateTrafficPolicies(e, service);
}

function validateTypeFields(e: FieldErrors, service: Service): void {
  const { spec } = service;
  if (spec.type === 'LoadBalancer' || spec.type === 'NodePort') {
    if (!isHeadless(service)) return;
    e.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`);
  }
  if (spec.type !== 'ExternalName') return;
  const detail = 'may not be set for ExternalName services';
  for (const field of ['clusterIPs', 'ipFamilies'] as const) {
    if ((spec[field] ?? []).length > 0) e.forbidden(`spec.${field}`, detail);
  }
  if (spec.ipFamilyPolicy !== undefined) e.forbidden('spec.ipFamilyPolicy', detail);
  const name = (spec.externalName ?? '').replace(/\.$/, '');
  if (name === '') e.required('spec.externalName');
  else e.invalidEach('spec.externalName', name, checkDnsSubdomain(name));
}

function validatePort(
  e: FieldErrors,
  at: string,
  port: ServicePort,
  context: { readonly needsName: boolean; readonly names: Set<string> },
): void {
  const { name = '', port: number = 0, protocol = '', targetPort = 0 } = given(port);
  if (name === '') {
    if (context.needsName) e.required(`${at}.name`);
  } else {
    e.invalidEach(`${at}.name`, name, checkDnsLabel(name));
    if (context.names.has(name)) e.duplicate(`${at}.name`, name);
    context.names.add(name);
  }
  e.invalidEach(`${at}.port`, number, checkPortNumber(number));
  if (protocol === '') e.required(`${at}.protocol`);
  else if (!PROTOCOLS.includes(protocol)) e.notSupported(`${at}.protocol`, protocol, PROTOCOLS);
  validatePortNumberOrName(e, `${at}.targetPort`, targetPort);
  const app = port.appProtocol;
  if (app !== undefined) e.invalidEach(`${at}.appProtocol`, app, checkQualifiedName(app));
}

function validateSessionAffinity(e: FieldErrors, spec: ServiceSpec): void {
  const affinity = spec.sessionAffinity ?? '';
  if (affinity === '') e.required('spec.sessionAffinity');
  else if (affinity !== 'ClientIP' && affinity !== 'None') {
    e.notSupported('spec.sessionAffinity', affinity, ['ClientIP', 'None']);
  }
  const config = spec.sessionAffinityConfig;
  const path = 'spec.sessionAffinityConfig';
  if (affinity === 'ClientIP') {
    const detail = 'when session affinity type is ClientIP';
    const seconds = config?.clientIP?.timeoutSeconds;
    if (config === undefined) e.required(path, detail);
    else if (config.clientIP === undefined) e.required(`${path}.clientIP`, detail);
    else if (seconds === undefined) e.required(`${path}.clientIP.timeoutSeconds`, detail);
    else if (seconds <= 0 || seconds > AFFINITY_SECONDS_MAX) {
      const range = `must be greater than 0 and less than ${AFFINITY_SECONDS_MAX}`;
      e.invalid(`${path}.clientIP.timeoutSeconds`, seconds, range);
    }
  } else if (affinity === 'None' && config !== undefined) {
    e.forbidden(path, 'must not be set when session affinity is None');
  }
}

const POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];

/** Also judged before allocation, which relies on it. */
export function validateClusterIps(
  e: FieldErrors,
  service: Service,
  old: Service | undefined,
): void {
  const { spec } = service;
  if (spec.type === 'ExternalName') return;
  const ips = spec.clusterIPs ?? [];
  const families = spec.ipFamilies ?? [];
  const primary = spec.clusterIP ?? '';
  const path = 'spec.clusterIPs';
  if (primary !== '' && ips.length === 0) e.required(path);
  else if (primary !== '' && ips[0] !== primary) {
    e.invalid(path, ips, 'first value must match `clusterIP`');
  } else if (primary === '' && ips.length > 0) {
    e.invalid(path, ips, 'must be empty when `clusterIP` is not specified');
  }
  for (const [i, family] of families.entries()) {
    const field = `spec.ipFamilies[${i}]`;
    if (family !== 'IPv4' && family !== 'IPv6') e.notSupported(field, family, ['IPv4', 'IPv6']);
    if (families.indexOf(family) < i) e.duplicate(field, family);
  }
  const policy = spec.ipFamilyPolicy;
  if (policy !== undefined && !POLICIES.includes(policy)) {
    e.notSupported('spec.ipFamilyPolicy', policy, POLICIES);
  }
  if (!validateEachIp(e, ips, old?.spec.clusterIPs ?? [])) return;
  if (ips.length > 1 && new Set(ips.map(ipFamily)).size < 2) {
    e.invalid(path, ips, 'may specify no more than one IP for each IP family');
  }
  if (isHeadless(service)) return;
  for (const [i, ip] of ips.entries()) {
    const family = families[i];
    if (family === undefined || `IPv${ipFamily(ip)}` === family) continue;
    e.invalid(
      `${path}[${i}]`,
      ip,
      `expected an ${family} value as indicated by \`ipFamilies[${i}]\``,
    );
  }
}

function validateEachIp(e: FieldErrors, ips: readonly string[], old: readonly string[]): boolean {
  const path = 'spec.clusterIPs';
  let isValid = true;
  for (const [i, ip] of ips.entries()) {
    if (i === 0 && ip === 'None') {
      if (ips.length > 1) {
        isValid = false;
        e.invalid(path, ips, "'None' must be the first and only value");
      }
      continue;
    }
    const messages = old.includes(ip) ? [] : checkIp(ip);
    if (messages.length > 0) isValid = false;
    e.invalidEach(`${path}[${i}]`, ip, messages);
  }
  if (ips.length > 2) e.invalid(path, ips, 'may only hold up to 2 values');
  return isValid;
}

function validateIpsKept(e: FieldErrors, service: Service, old: Service): void {
  if (service.spec.type === 'ExternalName' || old.spec.type === 'ExternalName') return;
  if (isHeadless(service) && isHeadless(old)) return;
  const now = service.spec.clusterIPs ?? [];
  const before = old.spec.clusterIPs ?? [];
  const first = 'spec.clusterIPs[0]';
  if (now.length === before.length) {
    for (const [i, ip] of before.entries()) {
      if (ip !== now[i]) e.invalid(`spec.clusterIPs[${i}]`, now, SET_ONCE);
    }
    return;
  }
  if (now.length === 0) {
    e.invalid(first, new RenderedValue('null'), 'primary clusterIP can not be unset');
  } else if (before.length > 0 && now[0] !== before[0]) e.invalid(first, now, SET_ONCE);
  validateRelease(e, service.spec, now.length, before.length, 'clusterIP');
}

function validateRelease(
  e: FieldErrors,
  spec: ServiceSpec,
  count: number,
  oldCount: number,
  what: string,
): void {
  if (oldCount <= count || count !== 1 || spec.ipFamilyPolicy === 'SingleStack') return;
  const detail = `must be set to 'SingleStack' when releasing the secondary ${what}`;
  e.invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy ?? null, detail);
}

function validateFamiliesKept(e: FieldErrors, service: Service, old: Service): void {
  if (service.spec.type === 'ExternalName' || old.spec.type === 'ExternalName') return;
  if (isHeadless(service) || isHeadless(old)) return;
  const now = service.spec.ipFamilies ?? [];
  const before = old.spec.ipFamilies ?? [];
  const ips = service.spec.clusterIPs ?? [];
  const field = 'spec.ipFamilies[0]';
  if (now.length === before.length) {
    for (const [i, family] of before.entries()) {
      if (family !== now[i]) e.invalid(field, now, SET_ONCE);
    }
    return;
  }
  if (now.length < before.length && ips.length === 0) {
    e.invalid(field, now, 'primary ipFamily can not be unset');
  }
  if (now.length > 0 && before.length > 0 && now[0] !== before[0]) e.invalid(field, ips, SET_ONCE);
  validateRelease(e, service.spec, now.length, before.length, 'ipFamily');
}

function validatePortPairs(e: FieldErrors, spec: ServiceSpec): void {
  const ports = spec.ports ?? [];
  if (spec.type === 'ClusterIP') {
    for (const [i, port] of ports.entries()) {
      if ((port.nodePort ?? 0) === 0) continue;
      e.forbidden(`spec.ports[${i}].nodePort`, "may not be used when `type` is 'ClusterIP'");
    }
  }
  const nodePorts = new Set<string>();
  for (const [i, { protocol, nodePort = 0 }] of ports.entries()) {
    const key = `${protocol}/${nodePort}`;
    if (nodePort !== 0 && nodePorts.has(key)) e.duplicate(`spec.ports[${i}].nodePort`, nodePort);
    nodePorts.add(key);
  }
  const seen = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const key = `${port.protocol}/${port.port}`;
    if (seen.has(key)) {
      const value = {
        Name: '',
        Protocol: port.protocol,
        AppProtocol: null,
        Port: port.port,
        TargetPort: 0,
        NodePort: 0,
      };
      e.duplicate(`spec.ports[${i}]`, new RenderedValue(goJson(value)));
    }
    seen.add(key);
  }
}

function validateSourceRanges(e: FieldErrors, service: Service, old: Service | undefined): void {
  const { spec, metadata } = service;
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = metadata.annotations?.[SOURCE_RANGES];
  const isBalancer = spec.type === 'LoadBalancer';
  if (ranges.length > 0) {
    const field = 'spec.LoadBalancerSourceRanges';
    if (!isBalancer) e.forbidden(field, BALANCER_ONLY);
    const known = (old?.spec.loadBalancerSourceRanges ?? []).map((range) => range.trim());
    for (const [i, range] of ranges.entries()) {
      const value = range.trim();
      if (!known.includes(value)) e.invalidEach(`${field}[${i}]`, value, checkCidr(value));
    }
  } else if (annotation !== undefined) {
    const field = `metadata.annotations[${SOURCE_RANGES}]`;
    if (!isBalancer) e.forbidden(field, BALANCER_ONLY);
    if (old?.metadata.annotations?.[SOURCE_RANGES] === annotation || annotation.trim() === '')
      return;
    for (const range of annotation.trim().split(',')) {
      e.invalidEach(field, range.trim(), checkCidr(range.trim()));
    }
  }
}

function validateBalancerClass(e: FieldErrors, spec: ServiceSpec): void {
  const name = spec.loadBalancerClass;
  if (name === undefined) return;
  if (spec.type === 'LoadBalancer') {
    e.invalidEach('spec.loadBalancerClass', name, checkQualifiedName(name));
  } else e.forbidden('spec.loadBalancerClass', BALANCER_ONLY);
}

function validateTrafficPolicies(e: FieldErrors, service: Service): void {
  const { spec } = service;
  const policies = ['Cluster', 'Local'];
  const external = spec.externalTrafficPolicy ?? '';
  const field = 'spec.externalTrafficPolicy';
  if (!isExternallyAccessible(service)) {
    if (external !== '') {
      e.invalid(field, external, 'may only be set for externally-accessible services');
    }
  } else if (external === '') e.required(field);
  else if (!policies.includes(external)) e.notSupported(field, external, policies);
  validateHealthCheckPort(e, service);
  const internal = spec.internalTrafficPolicy;
  const hasInternal = ['NodePort', 'LoadBalancer', 'ClusterIP'].includes(spec.type ?? '');
  if (internal === undefined) {
    if (hasInternal) e.required('spec.internalTrafficPolicy');
  } else if (!policies.includes(internal)) {
    e.notSupported('spec.internalTrafficPolicy', internal, policies);
  }
  const distribution = spec.trafficDistribution;
  const known = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
  if (distribution !== undefined && !known.includes(distribution)) {
    e.notSupported('spec.trafficDistribution', distribution, known);
  }
}

function validateHealthCheckPort(e: FieldErrors, service: Service): void {
  const port = service.spec.healthCheckNodePort ?? 0;
  const field = 'spec.healthCheckNodePort';
  if (needsHealthCheckPort(service)) {
    if (port === 0) e.required(field);
    else e.invalidEach(field, port, checkPortNumber(port));
  } else if (port !== 0) {
    const detail =
      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    e.invalid(field, port, detail);
  }
}

export function validateServiceStatusUpdate(e: FieldErrors, service: Service, old: Service): void {
  validateMetaUpdate(e, service.metadata, old.metadata, { coreFinalizers: true });
  const path = 'status.loadBalancer.ingress';
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  if (service.spec.type !== 'LoadBalancer' && ingress.length > 0) {
    return e.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
  }
  const known = (old.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
  for (const [i, point] of ingress.entries()) {
    const at = `${path}[${i}]`;
    const { ip = '', ipMode, hostname = '' } = given(point);
    if (ip !== '' && !known.includes(ip)) e.invalidEach(`${at}.ip`, ip, checkIp(ip));
    if (ipMode === undefined) {
      if (ip !== '') e.required(`${at}.ipMode`, 'must be specified when `ip` is set');
    } else if (ip === '') e.forbidden(`${at}.ipMode`, 'may not be specified when `ip` is not set');
    else if (ipMode !== 'VIP' && ipMode !== 'Proxy') {
      e.notSupported(`${at}.ipMode`, ipMode, ['Proxy', 'VIP']);
    }
    if (hostname === '') continue;
    e.invalidEach(`${at}.hostname`, hostname, checkDnsSubdomain(hostname));
    if (parseIp(hostname) !== undefined) {
      e.invalid(`${at}.hostname`, hostname, 'must be a DNS name, not an IP address');
    }
  }
}
