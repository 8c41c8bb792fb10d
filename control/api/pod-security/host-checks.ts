/** Checks of what a pod takes of its host: namespaces, ports, paths, sysctls, hosts of probes. Pure. */
import type { Container } from '#base/kube/api/core-v1.gen.ts';
import { type CheckPod, containersOf, named, plural, quoted, sorted } from './checks.ts';

export const hostNamespaces: CheckPod = ({ spec }) => {
  const shared = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((key) => spec[key]);
  if (shared.length === 0) return undefined;
  return { reason: 'host namespaces', detail: shared.map((key) => `${key}=true`).join(', ') };
};

export const hostPathVolumes: CheckPod = ({ spec }) => {
  const bad = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined);
  if (bad.length === 0) return undefined;
  const names = bad.map(({ name }) => name);
  return { reason: 'hostPath volumes', detail: named(names, 'volume') };
};

/** `container "a" uses hostPort 80` */
function using(containers: readonly string[], noun: string, what: string, count: number): string {
  const verb = containers.length === 1 ? 'uses' : 'use';
  return `${named(containers)} ${verb} ${plural(noun, count)} ${what}`;
}

export const hostPorts: CheckPod = (pod) => {
  const portsOf = ({ ports = [] }: Container) =>
    ports.filter(({ hostPort = 0 }) => hostPort !== 0).map(({ hostPort }) => `${hostPort}`);
  const bad = containersOf(pod).filter((container) => portsOf(container).length > 0);
  if (bad.length === 0) return undefined;
  const ports = sorted(bad.flatMap(portsOf));
  const names = bad.map(({ name }) => name);
  return { reason: 'hostPort', detail: using(names, 'hostPort', ports.join(', '), ports.length) };
};

/** Hosts other than the pod that the kubelet would be made to ask. */
function askedHosts(container: Container): string[] {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const handlers = [
    livenessProbe,
    readinessProbe,
    startupProbe,
    lifecycle?.postStart,
    lifecycle?.preStop,
  ];
  return handlers
    .flatMap((handler) => [handler?.httpGet?.host ?? '', handler?.tcpSocket?.host ?? ''])
    .filter((host) => host !== '');
}

export const hostProbes: CheckPod = (pod) => {
  const bad = containersOf(pod).filter((container) => askedHosts(container).length > 0);
  if (bad.length === 0) return undefined;
  const hosts = sorted(bad.flatMap(askedHosts));
  const names = sorted(bad.map(({ name }) => name));
  const noun = 'probe or lifecycle host';
  return { reason: noun, detail: using(names, noun, quoted(hosts), hosts.length) };
};

const SAFE_SYSCTLS_1_0 = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
];
const SAFE_SYSCTLS_1_27 = [...SAFE_SYSCTLS_1_0, 'net.ipv4.ip_local_reserved_ports'];
const SAFE_SYSCTLS_1_29 = [
  ...SAFE_SYSCTLS_1_27,
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
];
const SAFE_SYSCTLS_1_32 = [...SAFE_SYSCTLS_1_29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'];

const sysctls =
  (safe: readonly string[]): CheckPod =>
  ({ spec }) => {
    const names = (spec.securityContext?.sysctls ?? []).map(({ name }) => name);
    const bad = names.filter((name) => !safe.includes(name));
    return bad.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: bad.join(', ') };
  };

export const sysctls1v0 = sysctls(SAFE_SYSCTLS_1_0);
export const sysctls1v27 = sysctls(SAFE_SYSCTLS_1_27);
export const sysctls1v29 = sysctls(SAFE_SYSCTLS_1_29);
export const sysctls1v32 = sysctls(SAFE_SYSCTLS_1_32);

const OPEN_VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
] as const;

export const restrictedVolumes: CheckPod = ({ spec }) => {
  const bad = (spec.volumes ?? []).filter((volume) =>
    OPEN_VOLUMES.every((type) => volume[type] === undefined),
  );
  if (bad.length === 0) return undefined;
  const types = sorted(bad.map(({ name: _, ...source }) => Object.keys(source)[0] ?? 'unknown'));
  const verb = bad.length === 1 ? 'uses' : 'use';
  const names = bad.map(({ name }) => name);
  return {
    reason: 'restricted volume types',
    detail: `${named(names, 'volume')} ${verb} ${named(types, 'restricted volume type')}`,
  };
};
