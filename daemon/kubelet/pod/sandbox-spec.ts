/** The sandbox of a pod for the runtime, and the files that every container of it sees. */
import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isErrno } from '#base/errors.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { PortMapping, SandboxSpec } from '../../runtime/port.ts';
import {
  formatResolvConf,
  hostsFile,
  parseResolvConf,
  podHostname,
  podResolvConf,
  utsHostname,
} from '../container/identity.ts';
import { podCgroup, podCgroupPath } from '../container/resources.ts';
import { containersOf } from '../lifecycle/containers.ts';
import type { PodPaths } from '../volume/paths.ts';
import type { PodSettings } from './io.ts';

export function sandboxSpec(
  pod: Pod,
  input: { attempt: number; paths: PodPaths; settings: PodSettings },
): SandboxSpec {
  const { metadata, spec } = pod;
  const sysctls = spec.securityContext?.sysctls ?? [];
  return {
    podUid: metadata.uid,
    podName: metadata.name,
    podNamespace: metadata.namespace ?? 'default',
    attempt: input.attempt,
    hostname: utsHostname(pod, podHostname(pod, input.settings.clusterDomain)),
    namespaces: {
      network: spec.hostNetwork === true ? 'node' : 'pod',
      pid:
        spec.hostPID === true ? 'node' : spec.shareProcessNamespace === true ? 'pod' : 'container',
      ipc: spec.hostIPC === true ? 'node' : 'pod',
    },
    sysctls: Object.fromEntries(
      sysctls.map(({ name, value }) => [name.replaceAll('/', '.'), value]),
    ),
    cgroupParent: podCgroupPath(pod),
    cgroup: podCgroup(pod),
    logDirectory: input.paths.logDirectory,
    portMappings: spec.hostNetwork === true ? [] : portMappings(pod),
    labels: {
      'io.kubernetes.pod.name': metadata.name,
      'io.kubernetes.pod.namespace': metadata.namespace ?? 'default',
      'io.kubernetes.pod.uid': metadata.uid,
    },
  };
}

function portMappings(pod: Pod): PortMapping[] {
  return containersOf(pod).flatMap(({ spec }) =>
    (spec.ports ?? []).flatMap((port) => {
      if (port.hostPort === undefined || port.hostPort === 0) return [];
      const protocol = port.protocol === 'UDP' || port.protocol === 'SCTP' ? port.protocol : 'TCP';
      const { containerPort, hostPort, hostIP = '' } = port;
      return [{ protocol, containerPort, hostPort, hostIP } as const];
    }),
  );
}

/** Writes /etc/hosts, hostname and resolv.conf of the pod. */
export async function writeSandboxFiles(
  pod: Pod,
  input: { podIPs: readonly string[]; paths: PodPaths; settings: PodSettings },
): Promise<void> {
  const { paths, settings, podIPs } = input;
  const name = podHostname(pod, settings.clusterDomain);
  const hostFile = pod.spec.hostNetwork === true ? await readHostFile(settings.hostsFile) : '';
  const host = parseResolvConf(await readHostFile(settings.resolvConf));
  const resolver = podResolvConf(pod, { ...settings, host });
  const uts = pod.spec.hostNetwork === true ? hostname() : utsHostname(pod, name);
  await writeFile(paths.file('hosts'), hostsFile(pod, { podIPs, name, hostFile }), { mode: 0o644 });
  await writeFile(paths.file('hostname'), `${uts}\n`, { mode: 0o644 });
  await writeFile(paths.file('resolv.conf'), formatResolvConf(resolver), { mode: 0o644 });
}

async function readHostFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return ''; // A node need not have one.
    throw error;
  }
}
