/** The units of a machine, as data: programs, users, dependencies, places. */
import type { UnitSpec } from './unit-runner.ts';

export const UID = { root: 0, gateway: 901, control: 902, chrony: 903, dhcpcd: 904 } as const;

export const PLACES = {
  state: '/var/lib/bareboat/state',
  control: '/var/lib/bareboat/control',
  agent: '/var/lib/bareboat/agent',
  pki: '/run/bareboat/pki',
  config: '/run/bareboat/config',
  logs: '/run/bareboat/log',
  units: '/run/bareboat/units',
  network: '/run/bareboat/network.json',
  sysctls: '/run/bareboat/sysctls.json',
  supervisorSocket: '/run/bareboat/supervisor/supervisor.sock',
  agentSocket: '/run/bareboat/agent/agent.sock',
  controlSocket: '/run/bareboat/control/control.sock',
} as const;

const STOP_MS = 10_000;

/** A process of ours: Node runs its bundle with its configuration file. */
function node(
  name: string,
  options: Pick<UnitSpec, 'uid' | 'after' | 'dirs'> & { heapMiB?: number },
): UnitSpec {
  const { heapMiB, ...rest } = options;
  const cache = `/var/cache/bareboat/${name}`;
  return {
    name,
    argv: [
      '/usr/bin/node',
      '--no-warnings',
      '--disable-sigusr1',
      '--max-semi-space-size=2',
      ...(heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`]),
      `/usr/lib/bareboat/${name}.js`,
      `${PLACES.config}/${name}.json`,
    ],
    env: {
      PATH: '/usr/bin:/usr/sbin',
      SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
      NODE_COMPILE_CACHE: cache,
    },
    stopTimeoutMs: STOP_MS,
    cgroupFiles: [`/sys/fs/cgroup/system.slice/${name}/cgroup.procs`],
    ...rest,
    dirs: [...rest.dirs, cache],
  };
}

function program(
  name: string,
  argv: UnitSpec['argv'],
  dirs: readonly string[],
  uid: number,
): UnitSpec {
  return {
    name,
    argv,
    env: { PATH: '/usr/bin:/usr/sbin' },
    uid,
    after: [],
    dirs,
    stopTimeoutMs: STOP_MS,
    cgroupFiles: [`/sys/fs/cgroup/system.slice/${name}/cgroup.procs`],
  };
}

/** In the order in which they start; they stop in the reverse order. */
export const UNIT_SPECS: readonly UnitSpec[] = [
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
    UID.root,
  ),
  program(
    'chronyd',
    ['/usr/sbin/chronyd', '-d', '-u', 'chrony', '-f', `${PLACES.config}/chrony.conf`],
    ['/var/lib/chrony', '/run/chrony'],
    UID.root,
  ),
  node('gateway', { uid: UID.gateway, after: [], dirs: [], heapMiB: 128 }),
  node('control', { uid: UID.control, after: [], dirs: [PLACES.control] }),
  node('agent', { uid: UID.root, after: [], dirs: [PLACES.agent, '/var/log/pods'] }),
];
