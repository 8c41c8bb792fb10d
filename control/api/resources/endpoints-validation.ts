/**
 * Rules on addresses that receive traffic: of Endpoints, EndpointSlices and external IPs of Services.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { Endpoints, EndpointAddress, EndpointPort } from '#base/kube/api/core-v1.gen.ts';
import { checkIp, parseIp } from './addresses.ts';
import { FieldErrors } from './field-errors.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPortNumber,
  checkQualifiedName,
} from './formats.ts';
import { given } from './given.ts';
import { subdomainName, validateMeta } from './meta.ts';
import { sameValue } from './same-value.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
export const META = { namespaced: true, name: subdomainName, coreFinalizers: true };

/** Refuses addresses that cannot be another machine's. */
export function validateEndpointIp(e: FieldErrors, field: string, text: string): void {
  const ip = parseIp(text);
  if (ip === undefined) return e.invalid(field, text, 'must be a valid IP address');
  const [first = 0, second = 0, third = 0] = ip.bytes;
  const isV4 = ip.family === 4;
  const rest = ip.bytes.slice(0, -1);
  const isZero = (bytes: readonly number[]): boolean => bytes.every((byte) => byte === 0);
  if (isZero(ip.bytes)) e.invalid(field, text, `may not be unspecified (${text})`);
  if (isV4 ? first === 127 : isZero(rest) && ip.bytes.at(-1) === 1) {
    e.invalid(field, text, 'may not be in the loopback range (127.0.0.0/8, ::1/128)');
  }
  if (isV4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80) {
    e.invalid(field, text, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)');
  }
  const isMulticast = isV4
    ? first === 224 && second === 0 && third === 0
    : first === 0xff && (second & 0x0f) === 2;
  if (isMulticast) {
    const detail = 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)';
    e.invalid(field, text, detail);
  }
}

export function validateEndpoints(
  e: FieldErrors,
  endpoints: Endpoints,
  old: Endpoints | undefined,
): void {
  validateMeta(e, endpoints.metadata, META);
  const own = new FieldErrors();
  for (const [i, subset] of (endpoints.subsets ?? []).entries()) {
    const at = `subsets[${i}]`;
    const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
    if (addresses.length + notReadyAddresses.length === 0) {
      own.required(at, 'must specify `addresses` or `notReadyAddresses`');
    }
    for (const [j, address] of addresses.entries()) {
      validateAddress(own, `${at}.addresses[${j}]`, address);
    }
    for (const [j, address] of notReadyAddresses.entries()) {
      validateAddress(own, `${at}.notReadyAddresses[${j}]`, address);
    }
    for (const [j, port] of ports.entries()) {
      validatePort(own, `${at}.ports[${j}]`, port, { needsName: ports.length > 1 });
    }
  }
  // Old servers let more pass; what they stored may stay.
  if (old === undefined || !sameValue(old.subsets, endpoints.subsets)) e.list.push(...own.list);
}

function validateAddress(e: FieldErrors, at: string, address: EndpointAddress): void {
  const { ip = '', hostname = '', nodeName } = given(address);
  e.invalidEach(`${at}.ip`, ip, checkIp(ip));
  if (hostname !== '') e.invalidEach(`${at}.hostname`, hostname, checkDnsLabel(hostname));
  if (nodeName !== undefined) {
    e.invalidEach(`${at}.nodeName`, nodeName, checkDnsSubdomain(nodeName));
  }
  validateEndpointIp(e, `${at}.ip`, ip);
}

function validatePort(
  e: FieldErrors,
  at: string,
  port: EndpointPort,
  options: { readonly needsName: boolean },
): void {
  const { name = '', port: number = 0, protocol = '', appProtocol } = given(port);
  if (name !== '') e.invalidEach(`${at}.name`, name, checkDnsLabel(name));
  else if (options.needsName) e.required(`${at}.name`);
  e.invalidEach(`${at}.port`, number, checkPortNumber(number));
  if (protocol === '') e.required(`${at}.protocol`);
  else if (!PROTOCOLS.includes(protocol)) e.notSupported(`${at}.protocol`, protocol, PROTOCOLS);
  if (appProtocol !== undefined) {
    e.invalidEach(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol));
  }
}
