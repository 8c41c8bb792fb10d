/** The units of a machine, as data: programs, users, dependencies, places. */
import type { UnitSpec } from './unit-runner.ts';

export const UID = { root: 0, gateway: 901, control: 902, chrony: 903, dhcpcd: 904 } as const;

export const PLACES = {
  state: '/var/lib/bareboat/state',
  control: '/var/lib/bareboat/control',
  audit: '/var/lib/bareboat/control/audit/audit.log',
  agent: '/var/lib/bareboat/agent',
  podLogs: '/var/log/pods',
  pki: '/run/bareboat/pki',
  config: '/run/bareboat/config',
  logs: '/run/bareboat/log',
  units: '/run/bareboat/units',
  ending: '/run/bareboat/ending',
  bootReason: '/run/bareboat/boot-reason',
  clock: '/var/lib/bareboat/state/clock',
  network: '/run/bareboat/network.json',
  sysctls: '/run/bareboat/sysctls.json',
  supervisorSocket: '/run/bareboat/supervisor/supervisor.sock',
  controlSocket: '/run/bareboat/control/control.sock',
  agentSocket: '/run/bareboat/agent/agent.sock',
} as const;

const STOP_MS = 10_000;

const MIB = 1 << 20;

/** A unit of the machine, and what the machine keeps for it. */
export interface MachineUnit extends Omit<UnitSpec, 'cgroupFiles'> {
  /** Never reclaimed while it is in use: what the process holds when idle. */
  readonly memoryMinBytes: number;
}

/**
 * Of each process of ours. A small young generation is collected often, and in little time; other threads
 * would help with it only when they get a processor.
 */
export const NODE_FLAGS = [
  '--no-warnings',
  '--disable-sigusr1',
  '--max-semi-space-size=2',
  '--no-parallel-scavenge',
] as const;

/** A process of ours: Node runs its bundle with its configuration file. */
function node(
  name: string,
  options: Pick<MachineUnit, 'uid' | 'dirs' | 'memoryMinBytes' | 'oomScoreAdj'> & {
    heapMiB?: number;
  },
): MachineUnit {
  const { heapMiB, ...rest } = options;
  const cache = `/var/cache/bareboat/${name}`;
  return {
    name,
    argv: [
      '/usr/bin/node',
      ...NODE_FLAGS,
      ...(heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`]),
      `/usr/lib/bareboat/${name}.js`,
      `${PLACES.config}/${name}.json`,
    ],
    env: {
      PATH: '/usr/bin:/usr/sbin',
      SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
      NODE_COMPILE_CACHE: cache,
    },
    after: [],
    stopTimeoutMs: STOP_MS,
    ...rest,
    dirs: [...rest.dirs, cache],
  };
}

/** A program of the distribution, started as root; it drops its rights itself. */
function program(name: string, argv: UnitSpec['argv'], dirs: readonly string[]): MachineUnit {
  return {
    name,
    argv,
    env: { PATH: '/usr/bin:/usr/sbin' },
    uid: UID.root,
    after: [],
    dirs,
    stopTimeoutMs: STOP_MS,
    memoryMinBytes: 4 * MIB,
    oomScoreAdj: -900,
  };
}

/**
 * In the order in which they start; they stop in the reverse order. Scores: what the node cannot do without
 * is ended last, as upstream protects its kubelet.
 */
export const UNIT_SPECS: readonly MachineUnit[] = [
  program(
    'dhcpcd',
    [
      '/usr/sbin/dhcpcd',
      '--nobackground',
      '--noconfigure',
      '--ipv4only',
      '--noarp',
      `--config=${PLACES.config}/dhcpcd.conf`,
      '--script=/usr/lib/bareboat/dhcp-event',
    ],
    ['/var/lib/dhcpcd', '/run/dhcpcd'],
  ),
  program(
    'chronyd',
    ['/usr/sbin/chronyd', '-d', '-u', 'chrony', '-f', `${PLACES.config}/chrony.conf`],
    ['/var/lib/chrony', '/run/chrony'],
  ),
  node('gateway', {
    uid: UID.gateway,
    dirs: [],
    heapMiB: 128,
    memoryMinBytes: 40 * MIB,
    oomScoreAdj: -900,
  }),
  node('control', {
    uid: UID.control,
    dirs: [PLACES.control],
    memoryMinBytes: 96 * MIB,
    oomScoreAdj: -998,
  }),
  node('agent', {
    uid: UID.root,
    dirs: [PLACES.agent, PLACES.podLogs],
    memoryMinBytes: 64 * MIB,
    oomScoreAdj: -999,
  }),
];
