/**
 * The OCI runtime spec of a container (config.json of runc), from what the kubelet asks, what the
 * image says and what the host has. Pure: every fact about the host is a parameter. Defaults are those
 * of containerd's CRI plugin, so that images meet what they know.
 */
import { assert } from '#base/assert.ts';
import type { ContainerSpec, ImageConfig, Mount } from '../port.ts';
import { planCapabilities } from './capabilities.ts';
import { type OciResources, ociResources } from './resources.ts';
import { defaultSeccompProfile, type Seccomp } from './seccomp.ts';
import type { ResolvedUser } from './user.ts';

export interface HostFacts {
  readonly cgroupVersion: 1 | 2;
  /** Capabilities that this process can give, without `CAP_`. */
  readonly capabilities: ReadonlySet<string>;
  /** `x64`, `arm64`: process.arch. */
  readonly arch: string;
  /** oom_score_adj of this process: the lowest to be had without CAP_SYS_RESOURCE. */
  readonly oomScoreAdj: number;
  /** Hard limit on open files. */
  readonly openFilesMax: number;
}

export const NEW_NAMESPACE = 'new';

/** Where the pod's namespaces are; undefined = the host's, NEW_NAMESPACE = one of the container's own. */
export interface NamespacePaths {
  readonly network: string | undefined;
  readonly ipc: string | undefined;
  readonly uts: string | undefined;
  readonly pid: string | undefined;
}

export interface Device {
  readonly type: 'c' | 'b';
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the device cgroup: some of `rwm`. */
  readonly access: string;
}

export interface SpecInput {
  readonly container: ContainerSpec;
  readonly image: ImageConfig;
  readonly user: ResolvedUser;
  readonly host: HostFacts;
  readonly namespaces: NamespacePaths;
  readonly rootfs: string;
  /** Absolute, from the cgroup mount. */
  readonly cgroupsPath: string;
  /** Directory mounted at /dev/shm. */
  readonly shmPath: string;
  /** File mounted at /etc/hostname, unless the pod mounts its own. */
  readonly hostnamePath: string;
  readonly hostname: string;
  /** Directories of the image that stay writable on a read-only root, resolved: no link is followed. */
  readonly imageVolumes: readonly { readonly containerPath: string; readonly hostPath: string }[];
  /** Nodes to make: all of the host's for a privileged container. */
  readonly devices: readonly Device[];
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface OciSpec {
  readonly ociVersion: string;
  readonly process: {
    readonly terminal: boolean;
    readonly user: { uid: number; gid: number; umask: number; additionalGids: readonly number[] };
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly capabilities: Readonly<Record<string, readonly string[]>>;
    readonly rlimits: readonly { type: string; soft: number; hard: number }[];
    readonly noNewPrivileges: boolean;
    readonly oomScoreAdj: number;
  };
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly mounts: readonly OciMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: {
    readonly namespaces: readonly { type: string; path?: string }[];
    readonly cgroupsPath: string;
    readonly resources: OciResources;
    readonly devices: readonly object[];
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
    readonly rootfsPropagation?: string;
    readonly seccomp?: Seccomp;
  };
}

const PATH_DEFAULT = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const OPEN_FILES_SOFT = 65_536;

export function planSpec(input: SpecInput): OciSpec {
  const { container, host, user } = input;
  const { security } = container;
  const args = planArgs(container, input.image);
  assert(args.length > 0, `container ${container.name} has a command`);
  const capabilities = planCapabilities(
    {
      privileged: security.privileged,
      add: security.addCapabilities,
      drop: security.dropCapabilities,
    },
    host.capabilities,
  );
  const filtered = security.seccomp === 'RuntimeDefault' && !security.privileged;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: container.tty,
      user: {
        uid: user.uid,
        gid: user.gid,
        umask: 0o022,
        additionalGids: user.supplementalGroups,
      },
      args,
      env: planEnv(input),
      cwd: planWorkingDir(container, input.image),
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [
        {
          type: 'RLIMIT_NOFILE',
          soft: Math.min(OPEN_FILES_SOFT, host.openFilesMax),
          hard: host.openFilesMax,
        },
      ],
      noNewPrivileges: security.noNewPrivileges,
      oomScoreAdj: planOomScoreAdj(container.resources.oomScoreAdj ?? 0, host),
    },
    root: { path: input.rootfs, readonly: security.readOnlyRootfs },
    mounts: planMounts(input),
    annotations: container.annotations,
    linux: {
      namespaces: planNamespaces(input),
      cgroupsPath: input.cgroupsPath,
      resources: planResources(input),
      devices: input.devices.map(({ access: _, ...device }) => device),
      maskedPaths: security.privileged ? [] : security.maskedPaths,
      readonlyPaths: security.privileged ? [] : security.readonlyPaths,
      ...planRootPropagation(container.mounts),
      ...(filtered ? { seccomp: defaultSeccompProfile(host.arch, new Set(capabilities)) } : {}),
    },
  };
}

/** What pods may ask for and such a host cannot do, a sentence each. */
export function planLimitations(
  host: HostFacts,
  missingControllers: readonly string[],
): readonly string[] {
  const result: string[] = [];
  if (!host.capabilities.has('SYS_RESOURCE')) {
    const least = `oom_score_adj of containers is at least ${host.oomScoreAdj}`;
    result.push(`CAP_SYS_RESOURCE is missing: ${least}, hard limits stay`);
  }
  if (host.cgroupVersion === 1) {
    result.push('cgroup v1: out of memory ends single processes, not the container as a whole');
  }
  for (const controller of missingControllers) {
    result.push(`cgroup controller ${controller} is missing: its limits are not enforced`);
  }
  return result;
}

/** Kubernetes' table: a command drops the image's entrypoint and cmd, args replace cmd only. */
export function planArgs(
  container: Pick<ContainerSpec, 'command' | 'args'>,
  image: Pick<ImageConfig, 'entrypoint' | 'cmd'>,
): readonly string[] {
  if (container.command.length > 0) return [...container.command, ...container.args];
  return [...image.entrypoint, ...(container.args.length > 0 ? container.args : image.cmd)];
}

function planEnv({ container, image, hostname }: SpecInput): readonly string[] {
  const env = new Map<string, string>();
  const set = (entry: string): void => {
    const equals = entry.indexOf('=');
    if (equals > 0) env.set(entry.slice(0, equals), entry.slice(equals + 1));
  };
  set(PATH_DEFAULT);
  if (container.tty) env.set('TERM', 'xterm');
  env.set('HOSTNAME', hostname);
  for (const entry of image.env) set(entry);
  for (const { name, value } of container.env) env.set(name, value);
  return [...env].map(([name, value]) => `${name}=${value}`);
}

function planWorkingDir(container: ContainerSpec, image: ImageConfig): string {
  const wanted = container.workingDir === '' ? image.workingDir : container.workingDir;
  return wanted.startsWith('/') ? wanted : `/${wanted}`;
}

/** Lowering it needs CAP_SYS_RESOURCE; without, it stays at what this process has. */
function planOomScoreAdj(wanted: number, host: HostFacts): number {
  if (host.capabilities.has('SYS_RESOURCE')) return wanted;
  return Math.max(wanted, host.oomScoreAdj);
}

function planNamespaces({
  namespaces,
  host,
  container,
}: SpecInput): OciSpec['linux']['namespaces'] {
  const { network, ipc, uts, pid } = namespaces;
  const result: { type: string; path?: string }[] = [{ type: 'mount' }];
  if (network !== undefined) result.push({ type: 'network', path: network });
  if (ipc !== undefined) result.push({ type: 'ipc', path: ipc });
  if (uts !== undefined) result.push({ type: 'uts', path: uts });
  if (pid === NEW_NAMESPACE) result.push({ type: 'pid' });
  else if (pid !== undefined) result.push({ type: 'pid', path: pid });
  if (host.cgroupVersion === 2 && !container.security.privileged) result.push({ type: 'cgroup' });
  return result;
}

function planResources({ container, host, devices }: SpecInput): OciResources {
  const rules = container.security.privileged
    ? [{ allow: true, access: 'rwm' }]
    : [
        { allow: false, access: 'rwm' },
        ...devices.map(({ type, major, minor, access }) => ({
          allow: true,
          type,
          major,
          minor,
          access,
        })),
      ];
  return { ...ociResources(container.resources, host.cgroupVersion), devices: rules };
}

function planRootPropagation(mounts: readonly Mount[]): { rootfsPropagation?: string } {
  if (mounts.some((mount) => mount.propagation === 'bidirectional')) {
    return { rootfsPropagation: 'rshared' };
  }
  if (mounts.some((mount) => mount.propagation === 'hostToContainer')) {
    return { rootfsPropagation: 'rslave' };
  }
  return {};
}

const PROPAGATION = {
  private: 'rprivate',
  hostToContainer: 'rslave',
  bidirectional: 'rshared',
} as const satisfies Record<Mount['propagation'], string>;

function defaultMounts({ container, shmPath, hostnamePath }: SpecInput): readonly OciMount[] {
  const access = container.security.privileged ? 'rw' : 'ro';
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    },
    {
      destination: '/sys',
      type: 'sysfs',
      source: 'sysfs',
      options: ['nosuid', 'noexec', 'nodev', access],
    },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', access],
    },
    { destination: '/dev/shm', type: 'bind', source: shmPath, options: ['rbind', 'rw'] },
    {
      destination: '/etc/hostname',
      type: 'bind',
      source: hostnamePath,
      options: ['rbind', 'rprivate', container.security.readOnlyRootfs ? 'ro' : 'rw'],
    },
  ];
}

function clean(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return `/${parts.join('/')}`;
}

/** Defaults that the pod does not override, then its own, outer before inner. */
function planMounts(input: SpecInput): readonly OciMount[] {
  const { container } = input;
  const given = new Set(container.mounts.map((mount) => clean(mount.containerPath)));
  const defaults = defaultMounts(input).filter(
    ({ destination }) =>
      !given.has(destination) && !(given.has('/dev') && destination.startsWith('/dev/')),
  );
  // A volume of the image stays writable on a read-only root: the same directory, mounted again.
  const volumes = input.imageVolumes
    .map(({ containerPath, hostPath }) => ({
      destination: clean(containerPath),
      type: 'bind',
      source: hostPath,
      options: ['rbind', 'rprivate', 'rw'],
    }))
    .filter(({ destination }) => !given.has(destination));
  const own = container.mounts.map((mount) => ({
    destination: clean(mount.containerPath),
    type: 'bind',
    source: mount.hostPath,
    options: ['rbind', PROPAGATION[mount.propagation], readOnlyOption(mount)],
  }));
  const depth = (mount: OciMount): number => mount.destination.split('/').length;
  return [...defaults, ...volumes, ...own.toSorted((a, b) => depth(a) - depth(b))];
}

function readOnlyOption(mount: Mount): string {
  if (!mount.readOnly) return 'rw';
  return mount.recursiveReadOnly === true ? 'rro' : 'ro';
}
