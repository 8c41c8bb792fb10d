import t from 'tap';
import type { ContainerSpec, ImageConfig } from '../port.ts';
import { parseCapabilityMask, planCapabilities } from './capabilities.ts';
import { cgroupWrites, cpuWeight, ociResources } from './resources.ts';
import { defaultSeccompProfile } from './seccomp.ts';
import { type OciSpec, planArgs, planLimitations, planSpec, type SpecInput } from './spec.ts';

const IMAGE: ImageConfig = {
  user: '',
  env: ['PATH=/image/bin', 'A=image', 'B=image'],
  entrypoint: ['/entry'],
  cmd: ['default'],
  workingDir: '/srv',
  stopSignal: '',
  volumes: [],
  labels: {},
};

const SECURITY: ContainerSpec['security'] = {
  supplementalGroups: [],
  supplementalGroupsPolicy: 'Merge',
  privileged: false,
  readOnlyRootfs: false,
  noNewPrivileges: true,
  addCapabilities: [],
  dropCapabilities: [],
  seccomp: 'RuntimeDefault',
  maskedPaths: ['/proc/kcore'],
  readonlyPaths: ['/proc/sys'],
};

const CONTAINER: ContainerSpec = {
  sandboxId: 's',
  name: 'main',
  attempt: 0,
  imageId: 'i',
  image: 'i',
  command: [],
  args: [],
  workingDir: '',
  env: [
    { name: 'B', value: 'pod=1' },
    { name: 'EMPTY', value: '' },
  ],
  mounts: [],
  security: SECURITY,
  resources: {},
  tty: false,
  stdin: false,
  stdinOnce: false,
  logPath: 'l',
  labels: {},
  annotations: { note: 'x' },
};

const ALL = parseCapabilityMask('1ffffffffff');

function plan(
  container: Partial<ContainerSpec> = {},
  rest: Partial<Omit<SpecInput, 'container'>> = {},
): OciSpec {
  return planSpec({
    container: { ...CONTAINER, ...container },
    image: IMAGE,
    user: { uid: 5, gid: 6, supplementalGroups: [6, 7] },
    host: {
      cgroupVersion: 2,
      capabilities: ALL,
      arch: 'x64',
      oomScoreAdj: -100,
      openFilesMax: 1024,
    },
    namespaces: { network: '/ns/net', ipc: '/ns/ipc', uts: '/ns/uts', pid: 'new' },
    rootfs: '/bundle/rootfs',
    cgroupsPath: '/pods/a/b',
    shmPath: '/run/shm',
    hostnamePath: '/run/hostname',
    hostname: 'web-0',
    imageVolumes: [],
    devices: [],
    ...rest,
  });
}

await t.test('planArgs() follows the table of Kubernetes', (t) => {
  const rows: [string[], string[], string[]][] = [
    [[], [], ['/entry', 'default']],
    [['/cmd'], [], ['/cmd']],
    [[], ['x'], ['/entry', 'x']],
    [['/cmd'], ['x'], ['/cmd', 'x']],
  ];
  for (const [command, args, result] of rows) t.same(planArgs({ command, args }, IMAGE), result);
  t.same(planArgs({ command: [], args: [] }, { entrypoint: [], cmd: [] }), []);
  t.end();
});

await t.test('planSpec(): process', (t) => {
  const { process } = plan();
  t.same(process.env, ['PATH=/image/bin', 'HOSTNAME=web-0', 'A=image', 'B=pod=1', 'EMPTY=']);
  t.equal(process.cwd, '/srv');
  t.equal(plan({ workingDir: '/w' }).process.cwd, '/w');
  t.same(process.user, { uid: 5, gid: 6, umask: 0o022, additionalGids: [6, 7] });
  t.same(process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 1024 }]);
  t.equal(process.noNewPrivileges, true);
  t.ok(plan({ tty: true }).process.env.includes('TERM=xterm'));
  t.equal(process.oomScoreAdj, 0);
  t.equal(plan({ resources: { oomScoreAdj: -997 } }).process.oomScoreAdj, -997);
  const weak = new Set([...ALL].filter((name) => name !== 'SYS_RESOURCE'));
  const host = { cgroupVersion: 1, capabilities: weak, arch: 'x64', openFilesMax: 9 } as const;
  const clamped = plan(
    { resources: { oomScoreAdj: -997 } },
    { host: { ...host, oomScoreAdj: -100 } },
  );
  t.equal(clamped.process.oomScoreAdj, -100, 'no lower than ours without CAP_SYS_RESOURCE');
  t.notOk(clamped.process.capabilities['effective']?.includes('CAP_SYS_RESOURCE'));
  t.end();
});

await t.test('planSpec(): namespaces', (t) => {
  const types = (spec: OciSpec) => spec.linux.namespaces.map((ns) => [ns.type, ns.path ?? 'new']);
  t.same(types(plan()), [
    ['mount', 'new'],
    ['network', '/ns/net'],
    ['ipc', '/ns/ipc'],
    ['uts', '/ns/uts'],
    ['pid', 'new'],
    ['cgroup', 'new'],
  ]);
  const host = { network: undefined, ipc: undefined, uts: undefined, pid: undefined };
  t.same(types(plan({ security: { ...SECURITY, privileged: true } }, { namespaces: host })), [
    ['mount', 'new'],
  ]);
  t.end();
});

await t.test('planSpec(): mounts', (t) => {
  const at = (spec: OciSpec, path: string) => spec.mounts.find((m) => m.destination === path);
  const plain = plan();
  t.match(at(plain, '/dev/shm'), { source: '/run/shm', type: 'bind' });
  t.match(at(plain, '/sys'), { options: ['nosuid', 'noexec', 'nodev', 'ro'] });
  t.equal(at(plain, '/var/data'), undefined);
  const mount = { hostPath: '/h', readOnly: false, propagation: 'private' } as const;
  const own = plan({
    mounts: [
      { ...mount, containerPath: '/a/b/c/', readOnly: true },
      { ...mount, containerPath: '/a', propagation: 'hostToContainer' },
      { ...mount, containerPath: '/etc/hostname', readOnly: true, recursiveReadOnly: true },
    ],
  });
  t.same(
    own.mounts.slice(-3).map((m) => [m.destination, ...m.options]),
    [
      ['/a', 'rbind', 'rslave', 'rw'],
      ['/etc/hostname', 'rbind', 'rprivate', 'rro'],
      ['/a/b/c', 'rbind', 'rprivate', 'ro'],
    ],
    'outer before inner',
  );
  t.equal(own.mounts.filter((m) => m.destination === '/etc/hostname').length, 1);
  t.equal(own.linux.rootfsPropagation, 'rslave');
  const dev = plan({ mounts: [{ ...mount, containerPath: '/dev', propagation: 'bidirectional' }] });
  t.same(
    dev.mounts.filter((m) => m.destination.startsWith('/dev')).map((m) => m.source),
    ['/h'],
    'a /dev of the pod has no defaults below',
  );
  t.equal(dev.linux.rootfsPropagation, 'rshared');
  const readOnly = plan(
    {
      security: { ...SECURITY, readOnlyRootfs: true },
      mounts: [{ ...mount, containerPath: '/taken' }],
    },
    {
      imageVolumes: [
        { containerPath: '/var/data/', hostPath: '/bundle/rootfs/srv/data' },
        { containerPath: '/taken', hostPath: '/bundle/rootfs/taken' },
      ],
    },
  );
  t.equal(readOnly.root.readonly, true);
  t.match(at(readOnly, '/var/data'), { source: '/bundle/rootfs/srv/data', type: 'bind' });
  t.equal(readOnly.mounts.filter((m) => m.destination === '/taken').length, 1, 'the pod wins');
  t.end();
});

await t.test('planSpec(): privileged', (t) => {
  const device = {
    type: 'c',
    path: '/dev/kvm',
    major: 10,
    minor: 232,
    fileMode: 0o660,
    uid: 0,
    gid: 0,
    access: 'rwm',
  } as const;
  const spec = plan({ security: { ...SECURITY, privileged: true } }, { devices: [device] });
  t.same(spec.linux.maskedPaths, []);
  t.same(spec.linux.readonlyPaths, []);
  t.equal(spec.linux.seccomp, undefined);
  t.same(spec.linux.resources.devices, [{ allow: true, access: 'rwm' }]);
  t.equal(spec.process.capabilities['effective']?.length, 41);
  t.notOk('access' in (spec.linux.devices[0] ?? {}));
  const asked = plan({}, { devices: [{ ...device, access: 'r' }] });
  t.same(asked.linux.resources.devices, [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', major: 10, minor: 232, access: 'r' },
  ]);
  t.end();
});

await t.test('planLimitations()', (t) => {
  const host = {
    cgroupVersion: 2,
    capabilities: ALL,
    arch: 'x64',
    oomScoreAdj: 0,
    openFilesMax: 9,
  } as const;
  t.same(planLimitations(host, []), []);
  t.same(planLimitations({ ...host, cgroupVersion: 1, capabilities: new Set() }, ['pids']), [
    'CAP_SYS_RESOURCE is missing: oom_score_adj of containers is at least 0, hard limits stay',
    'cgroup v1: out of memory ends single processes, not the container as a whole',
    'cgroup controller pids is missing: its limits are not enforced',
  ]);
  t.end();
});

await t.test('planCapabilities()', (t) => {
  const rows: { privileged?: boolean; add?: string[]; drop?: string[]; mask: bigint }[] = [
    { mask: 0xa80425fbn },
    { drop: ['ALL'], mask: 0n },
    { drop: ['ALL'], add: ['NET_BIND_SERVICE'], mask: 0x400n },
    { drop: ['cap_net_raw', 'MKNOD'], mask: 0xa00405fbn },
    { add: ['SYS_TIME'], mask: 0xaa0425fbn },
    { add: ['ALL'], mask: 0x1ffffffffffn },
    { add: ['ALL'], drop: ['SYS_ADMIN'], mask: 0x1ffffdfffffn },
    { add: ['NO_SUCH'], mask: 0xa80425fbn },
    { privileged: true, drop: ['ALL'], mask: 0x1ffffffffffn },
  ];
  for (const { privileged = false, add = [], drop = [], mask } of rows) {
    const wanted = [...parseCapabilityMask(mask.toString(16))].map((name) => `CAP_${name}`);
    t.same(planCapabilities({ privileged, add, drop }, ALL), wanted, JSON.stringify({ add, drop }));
  }
  t.end();
});

await t.test('limits', (t) => {
  for (const [shares, weight] of [
    [0, 1],
    [2, 1],
    [102, 4],
    [1024, 39],
    [262_144, 10_000],
    [1_000_000, 10_000],
  ] as const) {
    t.equal(cpuWeight(shares), weight);
  }
  t.same(ociResources({}, 2), {});
  const given = { cpuShares: 1, cpuQuotaMicros: 5000, memoryLimitBytes: 2 ** 33, pidsLimit: 7 };
  t.same(ociResources(given, 1), {
    cpu: { shares: 2, quota: 5000, period: 100_000 },
    memory: { limit: 2 ** 33 },
    pids: { limit: 7 },
  });
  t.same(ociResources(given, 2).unified, { 'memory.oom.group': '1' });
  t.same(
    cgroupWrites(given, 2).map((w) => `${w.file}=${w.value}`),
    ['cpu.weight=1', 'cpu.max=5000 100000', 'memory.max=8589934592', 'pids.max=7'],
  );
  t.same(
    cgroupWrites({}, 2).map((w) => `${w.file}=${w.value}`),
    ['cpu.weight=39', 'cpu.max=max 100000', 'memory.max=max', 'pids.max=max'],
  );
  t.same(
    cgroupWrites({}, 1).map((w) => `${w.file}=${w.value}`),
    [
      'cpu.shares=1024',
      'cpu.cfs_period_us=100000',
      'cpu.cfs_quota_us=-1',
      'memory.limit_in_bytes=-1',
      'pids.max=max',
    ],
  );
  t.end();
});

await t.test('defaultSeccompProfile()', (t) => {
  const allowed = (capabilities: string[], name: string) =>
    defaultSeccompProfile('x64', new Set(capabilities)).syscalls.filter(
      (rule) => rule.names.includes(name) && rule.action === 'SCMP_ACT_ALLOW',
    );
  t.equal(allowed([], 'read').length, 1);
  t.equal(allowed([], 'mount').length, 0);
  t.equal(allowed(['CAP_SYS_ADMIN'], 'mount').length, 1);
  t.match(allowed([], 'clone')[0]?.args, [{ op: 'SCMP_CMP_MASKED_EQ' }]);
  t.equal(allowed(['CAP_SYS_ADMIN'], 'clone')[0]?.args, undefined);
  t.equal(allowed([], 'clone3').length, 0);
  t.equal(allowed([], 'arch_prctl').length, 1);
  t.same(defaultSeccompProfile('arm64', new Set()).architectures, [
    'SCMP_ARCH_ARM',
    'SCMP_ARCH_AARCH64',
  ]);
  t.end();
});
