/** The rules that test/tidy checks, as data. */

/** What each top folder may import, beside itself (design: imports point down). */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  net: ['base'],
  daemon: ['base', 'net'],
  control: ['base'],
  cli: ['base'],
  image: ['base'],
  test: ['base', 'net', 'daemon', 'control', 'cli', 'image'],
};

export const FILE_LINES_MAX = 700;

/** Files that are longer, with their present length: may only shrink. */
export const LONG_FILES: Readonly<Record<string, number>> = {};

function inFolder(folder: string, names: string): string[] {
  return names.split(' ').map((name) => `${folder}/${name}.ts`);
}

/** Code that decides: no clock, no chance, no I/O of its own. Prefixes of paths. */
export const PURE: readonly string[] = [
  'base/assert.ts',
  'base/fnv1a.ts',
  'base/ip.ts',
  'base/kube/quantity.ts',
  'base/kube/selectors.ts',
  'control/api/resources/',
  'control/raft/',
  'control/store/checkpoint/',
  'control/store/codec/',
  'control/store/engine/',
  'control/store/limits.ts',
  'control/store/mvcc/',
  'control/store/port.ts',
  'control/store/wal/',
  'control/store/watch/',
  ...[
    'defaults diagnose discovery go-errors gvk json- merge-order normalise openapi patch',
    'proto- resources schema strategic-merge times types utf8 yaml-codec',
  ]
    .join(' ')
    .split(' ')
    .map((name) => `control/schema/${name}`),
  'daemon/kubelet/lifecycle/',
  ...inFolder('daemon/kubelet/container', 'env-file expand fields identity resources security'),
  ...inFolder('daemon/kubelet/eviction', 'rank signals'),
  ...inFolder('daemon/kubelet/node', 'admission node-affinity node-status'),
  ...inFolder('daemon/kubelet/probe', 'probe-state'),
  ...inFolder('net/netlink', 'address-codec flow link-codec port reader writer'),
  ...inFolder('net/nftables', 'binary decode digest encode expression model plan port rule'),
  ...inFolder('net/link', 'plan'),
  ...inFolder('net/pod', 'ipam rules'),
  ...inFolder(
    'net/proxy',
    'chains element-store endpoints health-check plan-service service state',
  ),
  ...inFolder('net/dns', 'cache compress names wire zone'),
];

export const PURE_BANNED: readonly RegExp[] = [
  /\bDate\.now\b/,
  /\bMath\.random\b/,
  /\bperformance\./,
  /\bAbortSignal\.timeout\b/,
  /\bWeakRef\b/,
  /\bsetTimeout\b/,
  /\bsetInterval\b/,
  /from 'node:/,
  /\basync\b/,
];

/** Lock files hold names, versions and hashes; the registries are the user's own. */
export const REGISTRY_HOSTS: readonly string[] = [
  'registry.npmjs.org',
  'deb.debian.org',
  'security.debian.org',
  'proxy.golang.org',
  'registry.yarnpkg.com',
];
