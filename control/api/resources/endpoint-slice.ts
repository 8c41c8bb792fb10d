/** Rules of discovery.k8s.io/v1 EndpointSlices. Source: kubernetes v1.36.3 pkg/apis/discovery. */
import type {
  Endpoint,
  EndpointHints,
  EndpointPort,
  EndpointSlice,
} from '#base/kube/api/discovery-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { checkCanonicalIp, checkIp, ipFamily } from './addresses.ts';
import { validateEndpointIp } from './endpoints-validation.ts';
import { FieldErrors } from './field-errors.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkLabelValue,
  checkQualifiedName,
} from './formats.ts';
import { given } from './given.ts';
import { IMMUTABLE, subdomainName, validateLabels, validateMeta } from './meta.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, tableOf, UNSET } from './tables.ts';

const META = { namespaced: true, name: subdomainName, coreFinalizers: true };
const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const TOPOLOGY_LABELS_MAX = 16;
const ADDRESSES_MAX = 100;
const PORTS_MAX = 20_000;
const ENDPOINTS_MAX = 1000;
const HINTS_MAX = 8;
const SHOWN_MAX = 3;

function validate(e: FieldErrors, slice: EndpointSlice, old: EndpointSlice | undefined): void {
  validateMeta(e, slice.metadata, META);
  const { addressType = '', ports = [], endpoints = [] } = given(slice);
  if (addressType === '') e.required('addressType');
  else if (!ADDRESS_TYPES.includes(addressType)) {
    e.notSupported('addressType', addressType, ADDRESS_TYPES);
  }
  validatePorts(e, ports);
  const own = new FieldErrors();
  validateEndpoints(own, endpoints, addressType);
  // Old servers let more pass; what they stored may stay.
  if (old === undefined || !sameValue(old.endpoints, endpoints)) e.list.push(...own.list);
  if (old !== undefined && old.addressType !== addressType) {
    e.invalid('addressType', addressType, IMMUTABLE);
  }
}

function validatePorts(e: FieldErrors, ports: readonly EndpointPort[]): void {
  if (ports.length > PORTS_MAX) return e.tooMany('ports', ports.length, PORTS_MAX);
  const names = new Set<string>();
  for (const [i, { name = '', protocol, appProtocol }] of ports.entries()) {
    const at = `ports[${i}]`;
    if (name !== '') e.invalidEach(`${at}.name`, name, checkDnsLabel(name));
    if (names.has(name)) e.duplicate(`${at}.name`, name);
    names.add(name);
    if (protocol === undefined) e.required(`${at}.protocol`);
    else if (!PROTOCOLS.includes(protocol)) e.notSupported(`${at}.protocol`, protocol, PROTOCOLS);
    if (appProtocol !== undefined) {
      e.invalidEach(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol));
    }
  }
}

function validateEndpoints(
  e: FieldErrors,
  endpoints: readonly Endpoint[],
  addressType: string,
): void {
  if (endpoints.length > ENDPOINTS_MAX) {
    return e.tooMany('endpoints', endpoints.length, ENDPOINTS_MAX);
  }
  for (const [i, endpoint] of endpoints.entries()) {
    const at = `endpoints[${i}]`;
    const { addresses = [], deprecatedTopology = {}, nodeName, hostname } = given(endpoint);
    if (addresses.length === 0) e.required(`${at}.addresses`, 'must contain at least 1 address');
    else if (addresses.length > ADDRESSES_MAX) {
      e.tooMany(`${at}.addresses`, addresses.length, ADDRESSES_MAX);
    }
    for (const [j, address] of addresses.entries()) {
      validateAddress(
        e,
        { list: `${at}.addresses`, field: `${at}.addresses[${j}]` },
        address,
        addressType,
      );
    }
    if (nodeName !== undefined) {
      e.invalidEach(`${at}.nodeName`, nodeName, checkDnsSubdomain(nodeName));
    }
    const count = Object.keys(deprecatedTopology).length;
    if (count > TOPOLOGY_LABELS_MAX) {
      e.tooMany(`${at}.deprecatedTopology`, count, TOPOLOGY_LABELS_MAX);
    }
    validateLabels(e, `${at}.deprecatedTopology`, deprecatedTopology);
    if (hostname !== undefined) e.invalidEach(`${at}.hostname`, hostname, checkDnsLabel(hostname));
    if (endpoint.hints !== undefined) validateHints(e, `${at}.hints`, endpoint.hints);
  }
}

function validateAddress(
  e: FieldErrors,
  at: { readonly list: string; readonly field: string },
  address: string,
  addressType: string,
): void {
  if (addressType === 'FQDN') return validateDomainName(e, at.field, address);
  if (addressType !== 'IPv4' && addressType !== 'IPv6') return;
  const messages = addressType === 'IPv4' ? checkIp(address) : checkCanonicalIp(address);
  e.invalidEach(at.field, address, messages);
  if (messages.length > 0) return;
  if (`IPv${ipFamily(address)}` !== addressType) {
    e.invalid(at.list, address, `must be an ${addressType} address`);
  }
  validateEndpointIp(e, at.field, address);
}

function validateDomainName(e: FieldErrors, field: string, text: string): void {
  if (text === '') return e.required(field);
  const name = text.replace(/\.$/, '');
  const messages = checkDnsSubdomain(name);
  if (messages.length > 0) return e.invalid(field, name, messages.join(','));
  const labels = name.split('.');
  if (labels.length < 2) {
    const detail = 'should be a domain with at least two segments separated by dots';
    return e.invalid(field, name, detail);
  }
  const bad = labels.find((label) => checkDnsLabel(label).length > 0);
  if (bad !== undefined) e.invalid(field, bad, checkDnsLabel(bad).join(','));
}

function validateHints(e: FieldErrors, at: string, hints: EndpointHints): void {
  for (const [field, check] of [
    ['forZones', checkLabelValue],
    ['forNodes', checkDnsSubdomain],
  ] as const) {
    const list = hints[field] ?? [];
    if (list.length > HINTS_MAX) return e.tooMany(`${at}.${field}`, list.length, HINTS_MAX);
    const names = new Set<string>();
    for (const [i, { name }] of list.entries()) {
      const path = `${at}.${field}[${i}].name`;
      if (names.has(name)) e.duplicate(path, name);
      names.add(name);
      e.invalidEach(path, name, check(name));
    }
  }
}

/** The first few, and how many more there are. */
function shorten(texts: readonly string[]): string {
  const shown = texts.slice(0, SHOWN_MAX).join(',');
  if (texts.length > SHOWN_MAX) return `${shown} + ${texts.length - SHOWN_MAX} more...`;
  return shown === '' ? UNSET : shown;
}

export const endpointSliceRules: ResourceRules<EndpointSlice> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  resource: 'endpointslices',
  hasGeneration: true,
  default(slice) {
    for (const port of slice.ports ?? []) {
      port.name ??= '';
      port.protocol ??= 'TCP';
    }
  },
  prepareForCreate(slice) {
    for (const endpoint of slice.endpoints ?? []) delete endpoint.deprecatedTopology;
  },
  validate: (slice) => collect((e) => validate(e, slice, undefined)),
  prepareForUpdate(slice, old) {
    if (sameValue(slice.endpoints, old.endpoints)) return;
    for (const endpoint of slice.endpoints ?? []) delete endpoint.deprecatedTopology;
  },
  validateUpdate: (slice, old) => collectUpdate(slice, old, META, (e) => validate(e, slice, old)),
  bumpsGeneration: (slice, old) =>
    !sameValue({ ...slice, metadata: {} }, { ...old, metadata: {} }) ||
    !sameValue(slice.metadata.labels, old.metadata.labels),
  table: tableOf('Name,AddressType,Ports,Endpoints,Age', (slice, nowMs) => [
    slice.metadata.name,
    slice.addressType,
    shorten(
      (slice.ports ?? []).map(({ port, name }) => (port === undefined ? (name ?? '*') : `${port}`)),
    ),
    shorten((slice.endpoints ?? []).flatMap(({ addresses }) => addresses)),
    age(slice.metadata.creationTimestamp, nowMs),
  ]),
};
