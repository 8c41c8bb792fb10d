import fc from 'fast-check';
import t from 'tap';
import { must } from '#base/assert.ts';
import { parseCidr, parseIp } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { type Change, type ElementValue, binaryOf, bytesOfBinary } from '#net/nftables/port.ts';
import { type TestEndpoint, testService, testSlice } from '#net/test-objects.ts';
import { ProxyState } from './state.ts';

const CONFIG = {
  family: 4 as const,
  tableName: 'kube-proxy',
  podCidr: must(parseCidr('10.244.0.0/16'), ''),
  serviceCidrs: [must(parseCidr('10.96.0.0/16'), '')],
  placement: { nodeName: 'here', zone: 'z1' },
  ownAddresses: new Set([binaryOf(must(parseIp('10.96.0.10'), ''))]),
};

/** `10.96.0.1 tcp 80`, `tcp 30000`, with a leading number for endpoint maps. */
function readKey(set: string, key: string): string {
  const bytes = [...bytesOfBinary(key)];
  const words: string[] = [];
  if (set.endsWith('-endpoints')) words.push(`#${bytes.splice(0, 4)[0]}`);
  const isPort = set.startsWith('port-') || set.endsWith('nodeports');
  if (!isPort) words.push(bytes.splice(0, 4).join('.'));
  if (bytes.length >= 8) {
    const [proto = 0, , , , high = 0, low = 0] = bytes.splice(0, 8);
    words.push(`${proto} ${high * 256 + low}`);
  }
  if (bytes.length > 0) words.push(readTarget(String.fromCharCode(...bytes)));
  return words.join(' ');
}

function readTarget(value: string): string {
  const [a, b, c, d, high = 0, low = 0] = bytesOfBinary(value);
  return value.length === 4
    ? [a, b, c, d].join('.')
    : `${[a, b, c, d].join('.')}:${high * 256 + low}`;
}

function readValue(value: ElementValue): string {
  if (typeof value !== 'string') return 'chain' in value ? value.chain : value.kind;
  return value === '' ? '' : readTarget(value);
}

function readTable(state: ProxyState): string[] {
  return state
    .table()
    .sets.flatMap(({ name, elements }) =>
      [...elements].map(([key, value]) =>
        `${name}: ${readKey(name, key)} ${readValue(value)}`.trim(),
      ),
    );
}

function planned(services: readonly Service[], slices: readonly EndpointSlice[]): string[] {
  const state = new ProxyState(CONFIG);
  for (const service of services) state.setService(service);
  for (const slice of slices) state.setSlice(slice);
  state.plan();
  return readTable(state).sort();
}

const here = (ip: string, more: Partial<TestEndpoint> = {}) => ({ ip, node: 'here', ...more });
const there = (ip: string, more: Partial<TestEndpoint> = {}) => ({ ip, node: 'there', ...more });
const VIP = '10.96.0.1';
const [P, Q] = ['10.244.0.2', '10.244.0.3'];
const nodePort = {
  type: 'NodePort',
  ports: [{ name: '', port: 80, protocol: 'TCP', nodePort: 30000 }],
};
const DUMMY = { cluster: 'vip-cluster-cluster', external: 'port-external-cluster' };

const ROWS: readonly {
  name: string;
  service: Service;
  endpoints: readonly TestEndpoint[];
  wanted: readonly string[];
}[] = [
  {
    name: 'one endpoint elsewhere',
    service: testService('s', VIP),
    endpoints: [there(P)],
    wanted: [
      `cluster-ips: ${VIP}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
    ],
  },
  {
    name: 'an endpoint here can meet itself',
    service: testService('s', VIP),
    endpoints: [here(P)],
    wanted: [
      `cluster-ips: ${VIP}`,
      `hairpins: ${P} ${P}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
    ],
  },
  {
    name: 'no endpoint is rejected',
    service: testService('s', VIP, nodePort),
    endpoints: [],
    wanted: [
      `cluster-ips: ${VIP}`,
      'no-endpoint-nodeports: 6 30000 reject',
      `no-endpoint-services: ${VIP} 6 80 reject`,
    ],
  },
  {
    name: 'unready endpoints get nothing',
    service: testService('s', VIP),
    endpoints: [there(P, { ready: false }), there(Q, { ready: false, serving: true })],
    wanted: [`cluster-ips: ${VIP}`, `no-endpoint-services: ${VIP} 6 80 reject`],
  },
  {
    name: 'terminating endpoints serve when there is no ready one',
    service: testService('s', VIP),
    endpoints: [there(P, { ready: false, serving: true, terminating: true })],
    wanted: [
      `cluster-ips: ${VIP}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
    ],
  },
  {
    name: 'a ready endpoint goes before terminating ones',
    service: testService('s', VIP),
    endpoints: [there(P, { ready: false, serving: true, terminating: true }), there(Q)],
    wanted: [
      `cluster-ips: ${VIP}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${Q}:80`,
    ],
  },
  {
    name: 'internal local policy drops when only other nodes have endpoints',
    service: testService('s', VIP, { internalTrafficPolicy: 'Local' }),
    endpoints: [there(P)],
    wanted: [`cluster-ips: ${VIP}`, `no-endpoint-services: ${VIP} 6 80 drop`],
  },
  {
    name: 'external local policy prefers this node and keeps the way inside',
    service: testService('s', VIP, { ...nodePort, externalTrafficPolicy: 'Local' }),
    endpoints: [here(P), there(Q)],
    wanted: [
      `cluster-ips: ${VIP}`,
      `hairpins: ${P} ${P}`,
      `port-cluster-endpoints: #0 6 30000 ${P}:80`,
      `port-cluster-endpoints: #1 6 30000 ${Q}:80`,
      `port-local-endpoints: #0 6 30000 ${P}:80`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-2`,
      'service-nodeports: 6 30000 port-local-1-of-2',
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
      `vip-cluster-endpoints: #1 ${VIP} 6 80 ${Q}:80`,
    ],
  },
  {
    name: 'external local policy without local endpoint drops',
    service: testService('s', VIP, { ...nodePort, externalTrafficPolicy: 'Local' }),
    endpoints: [there(Q)],
    wanted: [
      `cluster-ips: ${VIP}`,
      'no-endpoint-nodeports: 6 30000 drop',
      `port-cluster-endpoints: #0 6 30000 ${Q}:80`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1`,
      'service-nodeports: 6 30000 port-local-0-of-1',
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${Q}:80`,
    ],
  },
  {
    name: 'hints for this node narrow the choice',
    service: testService('s', VIP),
    endpoints: [there(P, { forNodes: ['here'] }), there(Q, { forNodes: ['there'] })],
    wanted: [
      `cluster-ips: ${VIP}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
    ],
  },
  {
    name: 'hints that one endpoint lacks are ignored',
    service: testService('s', VIP),
    endpoints: [there(P, { forZones: ['z1'] }), there(Q)],
    wanted: [
      `cluster-ips: ${VIP}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-2`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
      `vip-cluster-endpoints: #1 ${VIP} 6 80 ${Q}:80`,
    ],
  },
  {
    name: 'affinity gives a chain of its own and valid pairs',
    service: testService('s', VIP, {
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10 } },
    }),
    endpoints: [there(P)],
    wanted: [
      `cluster-ips: ${VIP}`,
      `service-ips: ${VIP} 6 80 ${DUMMY.cluster}-1-for-10s`,
      `vip-cluster-affinity-valid: ${VIP} 6 80 ${P}:80`,
      `vip-cluster-endpoints: #0 ${VIP} 6 80 ${P}:80`,
    ],
  },
  { name: 'headless', service: testService('s', 'None'), endpoints: [there(P)], wanted: [] },
  {
    name: 'ExternalName',
    service: testService('s', VIP, { type: 'ExternalName', externalName: 'example.org' }),
    endpoints: [],
    wanted: [],
  },
  {
    name: 'an address of the node itself',
    service: testService('s', '10.96.0.10'),
    endpoints: [there(P)],
    wanted: [],
  },
  {
    name: 'a service of the other family',
    service: testService('s', 'fd00::1'),
    endpoints: [there(P)],
    wanted: [],
  },
];

for (const row of ROWS) {
  t.test(`ProxyState plans ${row.name}`, async (t) => {
    t.same(planned([row.service], [testSlice('s', row.endpoints)]), [...row.wanted].sort());
  });
}

t.test('ProxyState gives a frontend to the first and then to the next', async (t) => {
  const state = new ProxyState(CONFIG);
  const shared = { externalIPs: ['192.0.2.7'] };
  const [first, second] = [testService('a', VIP, shared), testService('b', '10.96.0.2', shared)];
  state.setService(first);
  state.setService(second);
  state.setSlice(testSlice('a', [there(P)]));
  state.setSlice(testSlice('b', [there(Q)]));
  state.plan();
  const owner = () =>
    readTable(state).filter((line) => line.startsWith('vip-cluster-endpoints: #0 192.0.2.7'));
  t.same(owner(), [`vip-cluster-endpoints: #0 192.0.2.7 6 80 ${P}:80`]);
  state.setService(testService('c', '10.96.0.3'));
  state.plan();
  state.deleteService(first);
  state.plan();
  t.same(owner(), [`vip-cluster-endpoints: #0 192.0.2.7 6 80 ${Q}:80`]);
});

t.test('ProxyState names UDP frontends whose endpoints were lost or regained', async (t) => {
  const state = new ProxyState(CONFIG);
  const udp = { ports: [{ name: '', port: 53, protocol: 'UDP' }] };
  state.setService(testService('s', VIP, udp));
  state.setSlice(testSlice('s', [there(P), there(Q)], udp));
  t.same(
    state.plan().udpChanged.map(({ targets }) => targets.size),
    [2],
    'regained',
  );
  state.setSlice(testSlice('s', [there(P), there(Q), there('10.244.0.4')], udp));
  t.same(state.plan().udpChanged, [], 'one more');
  state.setSlice(testSlice('s', [there(P)], udp));
  t.same(
    state.plan().udpChanged.map(({ targets }) => targets.size),
    [1],
    'lost',
  );
  state.deleteService(testService('s', VIP, udp));
  t.same(
    state.plan().udpChanged.map(({ targets }) => targets.size),
    [0],
    'gone',
  );
});

function sorted(elements: ReadonlyMap<string, ElementValue>): string {
  return JSON.stringify([...elements].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The kernel's part of a batch: what it would refuse fails here. */
function applyTo(kernel: Map<string, Map<string, ElementValue>>, changes: readonly Change[]): void {
  for (const change of changes) {
    if (change.kind === 'deleteElements') {
      for (const key of change.keys) {
        if (kernel.get(change.set.name)?.delete(key) !== true) throw new Error('ENOENT');
      }
    } else if (change.kind === 'addElements') {
      const set = kernel.get(change.set.name) ?? new Map<string, ElementValue>();
      kernel.set(change.set.name, set);
      for (const [key, value] of change.elements) {
        if (set.has(key)) throw new Error('EEXIST');
        set.set(key, value);
      }
    }
  }
}

t.test('ProxyState: changes lead to the table of a fresh start', async (t) => {
  const endpoint = fc.record({
    ip: fc.constantFrom(P, Q, '10.244.0.4'),
    node: fc.constantFrom('here', 'there'),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
  });
  const name = fc.constantFrom('a', 'b', 'c');
  const service = fc.record({
    name,
    spec: fc.record({
      externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
      internalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
      sessionAffinity: fc.constantFrom('None', 'ClientIP'),
      externalIPs: fc.subarray(['192.0.2.7', '192.0.2.8']),
      ingress: fc.subarray(['192.0.2.8', '192.0.2.9']),
      loadBalancerSourceRanges: fc.subarray(['10.0.0.0/8', '192.0.0.0/16']),
      ports: fc.subarray([
        { name: '', port: 80, protocol: 'TCP', nodePort: 30000 },
        { name: 'd', port: 53, protocol: 'UDP' },
      ]),
    }),
  });
  const step = fc.oneof(
    fc.record({ kind: fc.constant('service' as const), service }),
    fc.record({
      kind: fc.constant('slice' as const),
      name,
      endpoints: fc.array(endpoint, { maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant('deleteService' as const), name }),
    fc.record({ kind: fc.constantFrom('plan' as const, 'whole' as const) }),
  );
  const ips: Record<string, string> = { a: '10.96.0.1', b: '10.96.0.2', c: '10.96.0.3' };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const state = new ProxyState(CONFIG);
      const kernel = new Map<string, Map<string, ElementValue>>();
      for (const s of steps) {
        if (s.kind === 'service') {
          const { name: which, spec } = s.service;
          state.setService(testService(which, ips[which] ?? '', spec));
        } else if (s.kind === 'slice') state.setSlice(testSlice(s.name, s.endpoints));
        else if (s.kind === 'deleteService')
          state.deleteService(testService(s.name, ips[s.name] ?? ''));
        else if (s.kind === 'plan') applyTo(kernel, state.plan().changes);
        else {
          for (const set of state.planWhole().table.sets)
            kernel.set(set.name, new Map(set.elements));
        }
      }
      applyTo(kernel, state.plan().changes);
      const table = state.table();
      const chains = new Set(table.chains.map((chain) => chain.name));
      for (const set of table.sets) {
        const present = kernel.get(set.name) ?? new Map<string, ElementValue>();
        if (sorted(present) !== sorted(set.elements)) {
          throw new Error(`set ${set.name} differs`);
        }
        for (const value of set.elements.values()) {
          if (typeof value !== 'string' && 'chain' in value && !chains.has(value.chain)) {
            throw new Error(`no chain ${value.chain}`);
          }
        }
      }
    }),
    { numRuns: 300 },
  );
  t.pass('300 histories');
});
