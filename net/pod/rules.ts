/**
 * The table of the pod network: masquerading of pods that speak to the outside, host ports, and
 * what keeps 127.0.0.1 of the node private although host ports need it routed. Pure.
 *
 *   raw-prerouting   loopback addresses never come from, or go to, a pod by themselves
 *   nat-prerouting   host ports of this node's addresses, for the outside and for pods
 *   nat-output       the same for the node's own processes
 *   nat-postrouting  hairpins (a pod that reaches itself), the node's loopback, pods to the outside
 */
import { must } from '#base/assert.ts';
import { type Cidr, parseCidr, parseIp } from '#base/ip.ts';
import {
  type Expression,
  type Rule,
  type SetDeclaration,
  type Table,
  type TableFamily,
  addressRegisters,
  binaryOf,
  binaryU16be,
  binaryU8,
  daddr,
  daddrIsLocal,
  frontendKey,
  iifname,
  inCidr,
  oifname,
  portKey,
  saddr,
  verdict,
} from '#net/nftables/port.ts';
import type { Allocation } from './ipam.ts';

export interface PodRulesConfig {
  readonly family: 4 | 6;
  readonly tableName: string;
  readonly bridgeName: string;
  /** Pods of the whole cluster: never masqueraded to. */
  readonly clusterCidr: Cidr;
  /** Pods of this node. */
  readonly podCidr: Cidr;
}

/** IP protocol numbers by the names of the Kubernetes API. */
export const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

const LOOPBACK = { 4: '127.0.0.0/8', 6: '::1/128' } as const;
const MASQUERADE: Expression = { kind: 'masquerade' };
const DROP = verdict({ kind: 'drop' });

export function planPodTable(config: PodRulesConfig, allocations: Iterable<Allocation>): Table {
  const { family } = config;
  const nftFamily: TableFamily = family === 4 ? 'ip' : 'ip6';
  const address = family === 4 ? ('ipv4_addr' as const) : ('ipv6_addr' as const);
  const anyAddress = new Map<string, string>();
  const oneAddress = new Map<string, string>();
  const hairpins = new Map<string, string>();
  for (const { ip, hostPorts } of allocations) {
    if (hostPorts.length === 0) continue;
    const pod = binaryOf(must(parseIp(ip), `allocated address ${ip}`));
    hairpins.set(pod + pod, '');
    for (const port of hostPorts) {
      const key = binaryU8(PROTOCOL_NUMBERS[port.protocol]) + binaryU16be(port.hostPort);
      const value = pod + binaryU16be(port.containerPort);
      const hostIp = parseIp(port.hostIP);
      if (hostIp === undefined || hostIp.every((byte) => byte === 0)) anyAddress.set(key, value);
      else if (hostIp.length === (family === 4 ? 4 : 16)) {
        oneAddress.set(binaryOf(hostIp) + key, value);
      }
    }
  }
  const target = { data: [address, 'inet_service'] } as const;
  const portTypes = ['inet_proto', 'inet_service'] as const;
  const declarations = {
    anyAddress: { name: 'hostports', key: portTypes, ...target },
    oneAddress: { name: 'hostports-by-address', key: [address, ...portTypes], ...target },
    hairpins: { name: 'hairpins', key: [address, address] },
  } satisfies Record<string, SetDeclaration>;
  return {
    family: nftFamily,
    name: config.tableName,
    sets: [
      { ...declarations.anyAddress, elements: anyAddress },
      { ...declarations.oneAddress, elements: oneAddress },
      { ...declarations.hairpins, elements: hairpins },
    ],
    chains: podChains(config),
  };
}

function podChains(config: PodRulesConfig): Table['chains'] {
  const { family, bridgeName, clusterCidr, podCidr } = config;
  const loopback = must(parseCidr(LOOPBACK[family]), 'loopback prefix');
  const [source, destination] = [saddr(family), daddr(family)];
  const toHostPorts: Rule = [...daddrIsLocal(), verdict({ kind: 'jump', chain: 'hostports' })];
  return [
    {
      name: 'hostports',
      rules: [
        dnatByMap(family, frontendKey(family), 'hostports-by-address'),
        dnatByMap(family, portKey(), 'hostports'),
      ],
    },
    {
      name: 'raw-prerouting',
      base: { type: 'filter', hook: 'prerouting', priority: -300 },
      rules: [
        [...iifname(bridgeName), ...inCidr(destination, loopback), DROP],
        [...iifname(bridgeName), ...inCidr(source, loopback), DROP],
      ],
    },
    {
      name: 'nat-prerouting',
      base: { type: 'nat', hook: 'prerouting', priority: -100 },
      rules: [toHostPorts],
    },
    {
      name: 'nat-output',
      base: { type: 'nat', hook: 'output', priority: -100 },
      rules: [toHostPorts],
    },
    {
      name: 'nat-postrouting',
      base: { type: 'nat', hook: 'postrouting', priority: 100 },
      rules: [
        [
          source,
          daddr(family, addressRegisters(family)),
          { kind: 'lookup', set: 'hairpins', key: 0 },
          MASQUERADE,
        ],
        [...oifname(bridgeName), ...inCidr(source, loopback), MASQUERADE],
        [
          ...oifname(bridgeName, 'neq'),
          ...inCidr(source, podCidr),
          ...inCidr(destination, clusterCidr, 'neq'),
          MASQUERADE,
        ],
      ],
    },
  ];
}

/** `dnat to KEY map @set`, whose values are address . port. */
function dnatByMap(family: 4 | 6, key: readonly Expression[], set: string): Rule {
  return [
    ...key,
    { kind: 'lookup', set, key: 0, to: 0 },
    { kind: 'dnat', family, address: 0, port: addressRegisters(family) },
  ];
}
