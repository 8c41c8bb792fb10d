/**
 * What the proxy needs of a Service: one entry per port with its frontends, the addresses and ports
 * that clients use. Pure. Rules: kubernetes-api.md 4.4; Services without a cluster IP, of type
 * ExternalName, or handed to another proxy by label are none of ours.
 */
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import { type IpFamily, parseCidr, parseIp } from '#base/ip.ts';
import { binaryOf } from '#net/nftables/port.ts';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

export interface ServicePort {
  /** `NAMESPACE/NAME` of the Service. */
  readonly serviceKey: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** Addresses as binary strings. */
  readonly clusterIps: readonly string[];
  readonly externalIps: readonly string[];
  readonly loadBalancerIps: readonly string[];
  /** 0 for none. */
  readonly nodePort: number;
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** Seconds for which a client stays with an endpoint; 0 = no affinity. */
  readonly affinitySeconds: number;
  /** Who may use the load balancer's addresses; empty = everybody. */
  readonly sourceRanges: readonly string[];
}

const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
const AFFINITY_SECONDS_DEFAULT = 10800;

export function serviceKeyOf(service: Service): string {
  return `${service.metadata.namespace ?? ''}/${service.metadata.name ?? ''}`;
}

/** The ports of a Service in one family; empty when it is not to be proxied. */
export function parseService(service: Service, family: IpFamily): ServicePort[] {
  const spec = service.spec;
  const clusterIp = spec?.clusterIP ?? '';
  if (spec === undefined || clusterIp === '' || clusterIp === 'None') return [];
  if (spec.type === 'ExternalName') return [];
  if (service.metadata.labels?.[PROXY_NAME_LABEL] !== undefined) return [];
  const ofFamily = (texts: readonly string[]) => addressesOf(texts, family);
  const ingress = (service.status?.loadBalancer?.ingress ?? [])
    .filter(({ ipMode }) => ipMode !== 'Proxy')
    .map(({ ip }) => ip ?? '');
  const shared = {
    serviceKey: serviceKeyOf(service),
    clusterIps: ofFamily(spec.clusterIPs ?? [clusterIp]),
    externalIps: ofFamily(spec.externalIPs ?? []),
    loadBalancerIps: ofFamily(ingress),
    externalLocal: spec.externalTrafficPolicy === 'Local',
    internalLocal: spec.internalTrafficPolicy === 'Local',
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS_DEFAULT)
        : 0,
    sourceRanges: (spec.loadBalancerSourceRanges ?? [])
      .map((range) => range.trim())
      .filter((range) => parseCidr(range)?.family === family),
  };
  if (shared.clusterIps.length === 0) return [];
  return (spec.ports ?? []).flatMap((port) => {
    const protocol = port.protocol ?? 'TCP';
    if (!isProtocol(protocol)) return [];
    const { nodePort = 0 } = port;
    return [{ ...shared, portName: port.name ?? '', protocol, port: port.port, nodePort }];
  });
}

export function isProtocol(text: string): text is Protocol {
  return Object.hasOwn(PROTOCOL_NUMBERS, text);
}

function addressesOf(texts: readonly string[], family: IpFamily): string[] {
  const found: string[] = [];
  for (const text of texts) {
    const bytes = parseIp(text);
    if (bytes !== undefined && bytes.length === (family === 4 ? 4 : 16)) {
      found.push(binaryOf(bytes));
    }
  }
  return found;
}
