/**
 * The chains of the proxy's table. Pure. Service data lies in flat maps (the kernel is quadratic in
 * sets per service: runtime.md section 2); a chain exists per *shape* of balancing, and is named
 * after it, so their number follows from how many different endpoint counts there are.
 *
 *   service-ips / service-nodeports   frontend -> goto the chain of its shape
 *   KIND-SCOPE-endpoints              random number . frontend -> endpoint
 *   KIND-SCOPE-affinity               client . frontend -> endpoint, filled by packets, times out
 *   KIND-SCOPE-affinity-valid         frontend . endpoint, so that an entry dies with its endpoint
 *
 * KIND is `vip` (the frontend is address . protocol . port) or `port` (protocol . port of any
 * address of the node); SCOPE is `cluster` or `local`.
 */
import type { Cidr } from '#base/ip.ts';
import {
  type Chain,
  type DataType,
  type Expression,
  type Load,
  type Rule,
  type SetDeclaration,
  addressRegisters,
  ctStateNew,
  daddr,
  daddrIsLocal,
  frontendKey,
  inCidr,
  mark,
  markOr,
  markXor,
  bitsSet,
  portKey,
  saddr,
  saddrIsLocal,
  verdict,
  vmap,
} from '#net/nftables/port.ts';
import { AFFINITY_ENTRIES_MAX, AFFINITY_TIMEOUT_MS } from './limits.ts';

export type Kind = 'vip' | 'port';
export type Scope = 'cluster' | 'local';

/**
 * cluster: from inside, masqueraded unless the client is a pod; external: always masqueraded; local:
 * the client's address is kept, and only endpoints of this node serve clients from outside.
 */
export type Shape =
  | {
      readonly kind: Kind;
      readonly policy: 'cluster' | 'external';
      readonly scope: Scope;
      readonly count: number;
      readonly affinitySeconds: number;
    }
  | {
      readonly kind: Kind;
      readonly policy: 'local';
      /** Of this node; 0 is possible. */
      readonly localCount: number;
      /** Of the cluster, for clients inside; at least 1. */
      readonly count: number;
      readonly affinitySeconds: number;
    };

export interface ChainConfig {
  readonly family: 4 | 6;
  /** Pods of the cluster: their traffic to cluster IPs keeps its source. */
  readonly podCidr: Cidr;
  readonly serviceCidrs: readonly Cidr[];
}

/** Bit of the packet mark that asks for masquerading, as upstream. */
const MASQUERADE_MARK = 0x4000;
const DROP = verdict({ kind: 'drop' });

export function shapeName(shape: Shape): string {
  const { kind, policy, count, affinitySeconds } = shape;
  const counts = policy === 'local' ? `${shape.localCount}-of-${count}` : `${shape.scope}-${count}`;
  return `${kind}-${policy}-${counts}${affinitySeconds > 0 ? `-for-${affinitySeconds}s` : ''}`;
}

/** Shapes that a chain of this shape goes to. */
export function shapesBelow(shape: Shape): Shape[] {
  if (shape.policy !== 'local') return [];
  const { kind, count, affinitySeconds } = shape;
  const inside = { kind, scope: 'cluster', count, affinitySeconds } as const;
  return [
    { ...inside, policy: 'cluster' },
    { ...inside, policy: 'external' },
  ];
}

export function chainOfShape(shape: Shape, config: ChainConfig): Chain {
  const { family, podCidr } = config;
  const rules: Rule[] = [];
  const { kind, affinitySeconds } = shape;
  if (shape.policy === 'local') {
    const [toCluster, toExternal] = shapesBelow(shape).map((below) =>
      verdict({ kind: 'goto', chain: shapeName(below) }),
    );
    if (toCluster !== undefined) rules.push([...inCidr(saddr(family), podCidr), toCluster]);
    if (toExternal !== undefined) rules.push([...saddrIsLocal(), toExternal]);
    if (shape.localCount > 0) {
      const { localCount: count } = shape;
      rules.push(...balance({ kind, scope: 'local', count, affinitySeconds, family }));
    }
    return { name: shapeName(shape), rules };
  }
  if (shape.policy === 'external') rules.push(markOr(MASQUERADE_MARK));
  else rules.push([...inCidr(saddr(family), podCidr, 'neq'), ...markOr(MASQUERADE_MARK)]);
  rules.push(...balance({ ...shape, family }));
  return { name: shapeName(shape), rules };
}

interface Balance {
  readonly kind: Kind;
  readonly scope: Scope;
  readonly count: number;
  readonly affinitySeconds: number;
  readonly family: 4 | 6;
}

function balance(shape: Balance): Rule[] {
  const { kind, scope, family, affinitySeconds } = shape;
  const a = addressRegisters(family);
  const key = (to: number) => (kind === 'vip' ? frontendKey(family, to) : portKey(to));
  const keyRegisters = kind === 'vip' ? a + 2 : 2;
  const dnat = (at: number): Expression => ({ kind: 'dnat', family, address: at, port: at + a });
  const prefix = `${kind}-${scope}`;
  /** A random endpoint of the frontend, put at register `to`. */
  const choose = (to: number): Expression[] => [
    { kind: 'random', modulus: shape.count, to: 0 },
    ...key(1),
    { kind: 'lookup', set: `${prefix}-endpoints`, key: 0, to },
  ];
  const plain: Rule = [...choose(0), dnat(0)];
  if (affinitySeconds === 0) return [plain];
  // Registers: client, frontend, endpoint. IPv6 fills 4 + 6 + 5 of the sixteen.
  const client: Expression[] = [saddr(family, 0), ...key(a)];
  const endpoint = a + keyRegisters;
  const set = `${prefix}-affinity`;
  const timeoutMs = affinitySeconds * 1000;
  const remember: Expression = { kind: 'update', set, key: 0, data: endpoint, timeoutMs };
  return [
    [
      ...client,
      { kind: 'lookup', set, key: 0, to: endpoint },
      { kind: 'lookup', set: `${prefix}-affinity-valid`, key: a },
      remember,
      dnat(endpoint),
    ],
    // An update keeps an entry's value, so one whose endpoint is gone is removed first.
    [
      ...client,
      { kind: 'lookup', set, key: 0, to: endpoint },
      { kind: 'forget', set, key: 0, data: endpoint },
    ],
    [...choose(endpoint), ...client, remember, dnat(endpoint)],
    plain, // The table of clients is full: balance without memory.
  ];
}

type SetKey = 'ip' | 'frontend' | 'port';

export function setDeclarations(family: 4 | 6): ReadonlyMap<string, SetDeclaration> {
  const address: DataType = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const port: DataType[] = ['inet_proto', 'inet_service'];
  const keys: Record<SetKey, DataType[]> = { ip: [address], port, frontend: [address, ...port] };
  const target: DataType[] = [address, 'inet_service'];
  const sets: SetDeclaration[] = [
    { name: 'service-ips', key: keys.frontend, data: 'verdict' },
    { name: 'service-nodeports', key: keys.port, data: 'verdict' },
    { name: 'no-endpoint-services', key: keys.frontend, data: 'verdict' },
    { name: 'no-endpoint-nodeports', key: keys.port, data: 'verdict' },
    { name: 'firewall-ips', key: keys.frontend, data: 'verdict' },
    { name: 'cluster-ips', key: keys.ip },
    { name: 'hairpins', key: [address, address] },
  ];
  for (const kind of ['vip', 'port'] as const) {
    const key = kind === 'vip' ? keys.frontend : keys.port;
    for (const scope of ['cluster', 'local'] as const) {
      const prefix = `${kind}-${scope}`;
      const dynamic = { timeoutMs: AFFINITY_TIMEOUT_MS, entriesMax: AFFINITY_ENTRIES_MAX };
      sets.push(
        { name: `${prefix}-endpoints`, key: ['mark', ...key], data: target },
        { name: `${prefix}-affinity`, key: [address, ...key], data: target, dynamic },
        { name: `${prefix}-affinity-valid`, key: [...key, ...target] },
      );
    }
  }
  return new Map(sets.map((set) => [set.name, set]));
}

/** Clients of a load balancer's address that are in none of `ranges` are dropped. */
export function firewallChain(name: string, ranges: readonly Cidr[]): Chain {
  const allow = ranges.map((range) => [
    ...inCidr(saddr(range.family), range),
    verdict({ kind: 'return' }),
  ]);
  return { name, rules: [...allow, [DROP]] };
}

/** The chains that are always there. */
export function fixedChains(config: ChainConfig): Chain[] {
  const { family, serviceCidrs } = config;
  const jump = (chain: string) => verdict({ kind: 'jump', chain });
  const whenNew = (...chains: string[]): Rule[] =>
    chains.map((chain) => [...ctStateNew(), jump(chain)]);
  const toNode = [...daddrIsLocal(), ...notLoopback(family)];
  const hairpin = [saddr(family), daddr(family, addressRegisters(family))];
  return [
    {
      name: 'services',
      rules: [
        vmap(frontendKey(family), 'service-ips'),
        [...toNode, ...vmap(portKey(), 'service-nodeports')],
      ],
    },
    { name: 'services-check', rules: [vmap(frontendKey(family), 'no-endpoint-services')] },
    {
      name: 'nodeports-check',
      rules: [[...toNode, ...vmap(portKey(), 'no-endpoint-nodeports')]],
    },
    { name: 'firewall-check', rules: [vmap(frontendKey(family), 'firewall-ips')] },
    {
      name: 'cluster-ips-check',
      rules: [
        [...daddrIsLocal(), verdict({ kind: 'return' })], // The node's own DNS address.
        [daddr(family), { kind: 'lookup', set: 'cluster-ips', key: 0 }, { kind: 'reject', family }],
        ...serviceCidrs.map((cidr) => [...inCidr(daddr(family), cidr), DROP]),
      ],
    },
    { name: 'reject', rules: [[{ kind: 'reject', family }]] },
    base('nat-prerouting', ['nat', 'prerouting', -100], [[jump('services')]]),
    base('nat-output', ['nat', 'output', -100], [[jump('services')]]),
    base(
      'nat-postrouting',
      ['nat', 'postrouting', 100],
      [
        [...bitsSet(mark(), MASQUERADE_MARK), ...markXor(MASQUERADE_MARK), { kind: 'masquerade' }],
        [...hairpin, { kind: 'lookup', set: 'hairpins', key: 0 }, { kind: 'masquerade' }],
      ],
    ),
    base('filter-prerouting', ['filter', 'prerouting', -110], whenNew('firewall-check')),
    base('filter-output', ['filter', 'output', -110], whenNew('firewall-check')),
    // After translation: what still has a frontend's address was not translated.
    base(
      'filter-output-post-dnat',
      ['filter', 'output', -90],
      whenNew('services-check', 'cluster-ips-check'),
    ),
    base('filter-input', ['filter', 'input', -110], whenNew('nodeports-check', 'services-check')),
    base(
      'filter-forward',
      ['filter', 'forward', -110],
      whenNew('services-check', 'cluster-ips-check'),
    ),
  ];
}

function base(
  name: string,
  [type, hook, priority]: readonly [
    'filter' | 'nat',
    'prerouting' | 'input' | 'forward' | 'output' | 'postrouting',
    number,
  ],
  rules: readonly Rule[],
): Chain {
  return { name, base: { type, hook, priority }, rules };
}

function notLoopback(family: 4 | 6): Expression[] {
  const load: Load = daddr(family);
  const loopback =
    family === 4
      ? { family, address: Uint8Array.of(127, 0, 0, 0), prefixLength: 8 }
      : { family, address: Uint8Array.of(...Array<number>(15).fill(0), 1), prefixLength: 128 };
  return inCidr(load, loopback, 'neq');
}
