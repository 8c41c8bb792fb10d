/** Admission, node affinity and the node's status, a row per rule. */
import t from 'tap';
import type { Node, NodeStatus, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { PressureType } from '../eviction/signals.ts';
import { refuse, refuseResize } from './admission.ts';
import { nodeAccepts } from './node-affinity.ts';
import {
  allocatableOf,
  newNode,
  nodeConditions,
  type NodeInput,
  nodeStatus,
  statusChanged,
  transitions,
} from './node-status.ts';

const node = { metadata: { name: 'n', labels: { zone: 'a', size: '5' } } } as unknown as Node; // Enough.

function pod(spec: object, name = 'p'): Pod {
  return { metadata: { name, uid: name }, spec: { containers: [], ...spec } } as unknown as Pod; // Enough.
}

const asks = (cpu: string, more: object = {}) =>
  pod({ containers: [{ name: 'c', resources: { requests: { cpu } }, ...more }] });
const hostPort = (port: object) => pod({ containers: [{ name: 'c', ports: [port] }] });

await t.test('refuse()', async (t) => {
  const allocatable = { cpu: '2', memory: '1Gi', pods: '3' };
  for (const [name, candidate, others, reason] of [
    ['room', asks('1'), [asks('1')], undefined],
    ['cpu', asks('1001m'), [asks('1')], 'OutOfcpu'],
    ['no request fits always', asks('0'), [asks('2')], undefined],
    [
      'memory',
      pod({ containers: [{ resources: { requests: { memory: '2Gi' } } }] }),
      [],
      'OutOfmemory',
    ],
    ['pods', pod({}), [pod({}), pod({}), pod({})], 'OutOfpods'],
    ['selector', pod({ nodeSelector: { zone: 'b' } }), [], 'NodeAffinity'],
    [
      'port taken',
      hostPort({ hostPort: 80, containerPort: 80 }),
      [hostPort({ hostPort: 80, containerPort: 1 })],
      'NodePorts',
    ],
    [
      'other protocol',
      hostPort({ hostPort: 80, protocol: 'UDP' }),
      [hostPort({ hostPort: 80 })],
      undefined,
    ],
    [
      'other address',
      hostPort({ hostPort: 80, hostIP: '10.0.0.1' }),
      [hostPort({ hostPort: 80, hostIP: '10.0.0.2' })],
      undefined,
    ],
    [
      'any address',
      hostPort({ hostPort: 80, hostIP: '10.0.0.1' }),
      [hostPort({ hostPort: 80 })],
      'NodePorts',
    ],
    [
      'safe sysctl',
      pod({ securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] } }),
      [],
      undefined,
    ],
    [
      'unsafe sysctl',
      pod({ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } }),
      [],
      'SysctlForbidden',
    ],
    [
      'sysctl of the host',
      pod({
        hostNetwork: true,
        securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem', value: '1' }] },
      }),
      [],
      'SysctlForbidden',
    ],
  ] as const) {
    const verdict = refuse({ pod: candidate, others, node, allocatable, pressures: [] });
    t.equal(verdict?.reason, reason, name);
    if (verdict !== undefined) t.match(verdict.message, /^Pod was rejected: /, name);
  }
  t.equal(refuseResize({ pod: asks('3'), others: [], allocatable })?.reason, 'Infeasible');
  t.equal(refuseResize({ pod: asks('2'), others: [asks('1')], allocatable })?.reason, 'Deferred');
  t.equal(refuseResize({ pod: asks('1'), others: [asks('1')], allocatable }), undefined);
});

await t.test('refuse() under pressure', async (t) => {
  const key = 'node.kubernetes.io/memory-pressure';
  const tolerates = (toleration: object) => pod({ tolerations: [toleration] });
  for (const [name, candidate, pressures, welcome] of [
    ['no pressure', pod({}), [], true],
    ['memory, BestEffort', pod({}), ['MemoryPressure'], false],
    ['memory, Burstable', asks('1'), ['MemoryPressure'], true],
    ['memory, tolerated', tolerates({ key, operator: 'Exists' }), ['MemoryPressure'], true],
    ['memory, all tolerated', tolerates({ operator: 'Exists' }), ['MemoryPressure'], true],
    ['memory, other value', tolerates({ key, value: 'x' }), ['MemoryPressure'], false],
    ['memory, other effect', tolerates({ key, effect: 'NoExecute' }), ['MemoryPressure'], false],
    ['disk, Burstable', asks('1'), ['DiskPressure'], false],
    ['disk, tolerated', tolerates({ operator: 'Exists' }), ['DiskPressure'], false],
    ['both', asks('1'), ['MemoryPressure', 'DiskPressure'], false],
    ['critical', pod({ priority: 2_000_000_000 }), ['DiskPressure', 'PIDPressure'], true],
  ] as const) {
    const allocatable = { cpu: '2', pods: '3' };
    const verdict = refuse({ pod: candidate, others: [], node, allocatable, pressures });
    const message = `Pod was rejected: The node had condition: [${pressures.join(' ')}]. `;
    t.same(verdict, welcome ? undefined : { reason: 'Evicted', message }, name);
  }
});

await t.test('nodeAccepts()', async (t) => {
  const terms = (...nodeSelectorTerms: object[]) =>
    pod({
      affinity: {
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
      },
    });
  const expression = (key: string, operator: string, ...values: string[]) => ({
    matchExpressions: [{ key, operator, values }],
  });
  for (const [candidate, want] of [
    [pod({}), true],
    [pod({ nodeSelector: { zone: 'a' } }), true],
    [terms(expression('zone', 'In', 'a', 'b')), true],
    [terms(expression('zone', 'NotIn', 'a')), false],
    [terms(expression('none', 'NotIn', 'a')), true],
    [terms(expression('zone', 'Exists')), true],
    [terms(expression('zone', 'DoesNotExist')), false],
    [terms(expression('size', 'Gt', '4')), true],
    [terms(expression('size', 'Lt', '4')), false],
    [terms(expression('zone', 'In', 'x'), expression('size', 'Exists')), true],
    [terms({}), false],
    [terms({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n'] }] }), true],
    [terms({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['m'] }] }), false],
  ] as const) {
    t.equal(nodeAccepts(candidate, node), want, JSON.stringify(candidate.spec));
  }
});

const input: NodeInput = {
  nodeName: 'n',
  addresses: ['192.0.2.1'],
  kubeletPort: 10250,
  machine: {
    cpuCount: 4,
    memoryBytes: 8 * 2 ** 30,
    diskBytes: 100 * 2 ** 30,
    architecture: 'amd64',
    kernelVersion: '6',
    osImage: 'Bareboat',
    machineId: '',
    systemUuid: '',
    bootId: '',
  },
  versions: { kubelet: 'v1.36.0', runtime: 'bareboat://0' },
  reserved: { cpuMilli: 500, memoryBytes: 2 ** 30 },
  evictionBytes: { memory: 100 * 2 ** 20, disk: 10 * 2 ** 30 },
};

await t.test('nodeStatus() keeps what others announced', async (t) => {
  t.match(allocatableOf(input), {
    cpu: '3500m',
    memory: '7068Mi',
    pods: '110',
  });
  const small = { ...input, reserved: { cpuMilli: 9000, memoryBytes: 9 * 2 ** 30 } };
  t.match(allocatableOf(small), { cpu: '0', memory: '0' }, 'never less than nothing');
  const machine = { ...input.machine, memoryBytes: 8 * 2 ** 30, diskBytes: 12 * 2 ** 30 };
  const round = { ...input, machine, evictionBytes: { memory: 2 ** 30, disk: 2 ** 31 } };
  const amounts = { memory: '6Gi', 'ephemeral-storage': '10737418240' };
  t.match(
    allocatableOf(round),
    amounts,
    'as the API writes it: else it would change at every look',
  );
  const of = (previous: NodeStatus) => nodeStatus(input, { previous, conditions: [], images: [] });
  const first = of({});
  t.match(first, {
    capacity: { cpu: '4' },
    addresses: [{ address: '192.0.2.1' }, { address: 'n' }],
  });
  const extended = of({ ...first, capacity: { ...first.capacity, 'x.com/f': '5' } });
  t.equal(extended.allocatable?.['x.com/f'], '5');
  const { 'x.com/f': _, ...capacity } = extended.capacity ?? {};
  t.equal(of({ ...extended, capacity }).allocatable?.['x.com/f'], undefined, 'and lets it go');
});

await t.test('nodeConditions()', async (t) => {
  const of = (pressures: readonly PressureType[], more: object = {}) =>
    nodeConditions({
      pressures,
      notReady: undefined,
      shortcomings: [],
      previous: [],
      nowMs: 0,
      ...more,
    });
  const status = (conditions: ReturnType<typeof of>) =>
    Object.fromEntries(conditions.map((c) => [c.type, c.status]));
  const well = {
    MemoryPressure: 'False',
    DiskPressure: 'False',
    PIDPressure: 'False',
    Ready: 'True',
  };
  t.same(status(of([])), well);
  t.same(status(of(['MemoryPressure'])), { ...well, MemoryPressure: 'True' });
  t.same(status(of(['DiskPressure'])), { ...well, DiskPressure: 'True' });
  t.same(status(of(['PIDPressure'])), { ...well, PIDPressure: 'True' });
  t.same(status(of([], { notReady: 'no network' })), { ...well, Ready: 'False' });
  t.match(of(['MemoryPressure', 'PIDPressure']), [
    {
      reason: 'KubeletHasInsufficientMemory',
      message: 'kubelet has insufficient memory available',
    },
    { reason: 'KubeletHasNoDiskPressure', message: 'kubelet has no disk pressure' },
    { reason: 'KubeletHasInsufficientPID', message: 'kubelet has insufficient PID available' },
    { reason: 'KubeletReady' },
  ]);
  const first = of([]);
  const later = of([], { previous: first, nowMs: 60_000 });
  t.equal(later[0]?.lastTransitionTime, '1970-01-01T00:00:00Z');
  t.equal(later[0]?.lastHeartbeatTime, '1970-01-01T00:01:00Z');
  t.notOk(statusChanged({ conditions: first }, { conditions: later }), 'a heartbeat is no news');
  t.ok(statusChanged({ conditions: first }, { conditions: of(['PIDPressure']) }));
  const foreign = { type: 'NetworkUnavailable', status: 'False' };
  t.ok(of([], { previous: [foreign] }).some((c) => c.type === 'NetworkUnavailable'));
  t.same(transitions([], of([], { previous: [foreign] })), [
    'NodeHasSufficientMemory',
    'NodeHasNoDiskPressure',
    'NodeHasSufficientPID',
    'NodeReady',
  ]);
  t.same(transitions(first, of(['DiskPressure'])), ['NodeHasDiskPressure']);
});

await t.test('newNode() begins with the labels and taints of the configuration', async (t) => {
  const taint = { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' };
  const registration = {
    labels: { disk: 'ssd', 'kubernetes.io/os': 'other' },
    annotations: { a: 'b' },
    taints: [taint],
  };
  const made = newNode({ ...input, registration });
  t.match(made.metadata, { labels: { disk: 'ssd', 'kubernetes.io/os': 'linux' } });
  t.same(made.metadata.annotations, { a: 'b' });
  t.same(made.spec?.taints, [taint]);
});
