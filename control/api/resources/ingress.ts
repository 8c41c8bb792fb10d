/** Rules of networking.k8s.io/v1 Ingresses. Source: kubernetes v1.36.3 pkg/apis/networking. */
import type { Ingress, IngressBackend } from '#base/kube/api/networking-v1.gen.ts';
import { parseIp } from './addresses.ts';
import type { FieldErrors } from './field-errors.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPortName,
  checkPortNumber,
  checkWildcardSubdomain,
} from './formats.ts';
import { given } from './given.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { age, NONE, tableOf } from './tables.ts';

const GROUP = { group: 'networking.k8s.io', version: 'v1' } as const;
const HOSTS_SHOWN_MAX = 3;
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
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
