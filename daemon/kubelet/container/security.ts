/**
 * Security of a container: pod and container security context merged, with upstream's defaults and
 * refusals. Pure.
 */
import type { Capabilities, Pod, SecurityContext } from '#base/kube/api/core-v1.gen.ts';
import type { ContainerSecurity, ImageConfig } from '../../runtime/port.ts';
import { podText } from '../lifecycle/containers.ts';
import type { AnyContainer } from '../lifecycle/model.ts';
import { ConfigError } from './config-error.ts';

/** Hidden from containers, because they show the host or let it be changed. */
const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Throws ConfigError when the pod demands what the image or this node cannot give. */
export function containerSecurity(
  pod: Pod,
  container: AnyContainer,
  image: ImageConfig,
): ContainerSecurity {
  const podContext = pod.spec.securityContext ?? {};
  const own: SecurityContext = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? podContext.runAsUser;
  const runAsGroup = own.runAsGroup ?? podContext.runAsGroup;
  if (own.runAsNonRoot ?? podContext.runAsNonRoot ?? false) {
    checkNonRoot(pod, { container: container.name, runAsUser, imageUser: image.user });
  }
  const privileged = own.privileged ?? false;
  const exposed = privileged || own.procMount === 'Unmasked';
  return {
    ...(runAsUser === undefined ? {} : { runAsUser }),
    ...(runAsGroup === undefined ? {} : { runAsGroup }),
    supplementalGroups: [
      ...(podContext.supplementalGroups ?? []),
      ...(podContext.fsGroup === undefined ? [] : [podContext.fsGroup]),
    ],
    supplementalGroupsPolicy: podContext.supplementalGroupsPolicy === 'Strict' ? 'Strict' : 'Merge',
    privileged,
    readOnlyRootfs: own.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own.allowPrivilegeEscalation === false && !privileged,
    addCapabilities: capabilityNames(own.capabilities, 'add'),
    dropCapabilities: capabilityNames(own.capabilities, 'drop'),
    seccomp: privileged ? 'Unconfined' : seccompOf(own, pod),
    maskedPaths: exposed ? [] : MASKED_PATHS,
    readonlyPaths: exposed ? [] : READONLY_PATHS,
  };
}

function capabilityNames(capabilities: Capabilities | undefined, kind: 'add' | 'drop'): string[] {
  return (capabilities?.[kind] ?? []).map((name) => name.toUpperCase().replace(/^CAP_/, ''));
}

function seccompOf(own: SecurityContext, pod: Pod): 'RuntimeDefault' | 'Unconfined' {
  const profile = own.seccompProfile ?? pod.spec.securityContext?.seccompProfile;
  switch (profile?.type) {
    case undefined:
    case 'Unconfined':
      return 'Unconfined';
    case 'RuntimeDefault':
      return 'RuntimeDefault';
    default:
      throw new ConfigError(`seccomp profile type ${profile?.type} is not supported on this node`);
  }
}

function checkNonRoot(
  pod: Pod,
  who: { container: string; runAsUser: number | undefined; imageUser: string },
): void {
  const where = `(pod: ${JSON.stringify(podText(pod))}, container: ${who.container})`;
  if (who.runAsUser !== undefined) {
    if (who.runAsUser !== 0) return;
    throw new ConfigError(`container's runAsUser breaks non-root policy ${where}`);
  }
  const user = who.imageUser.split(':')[0] ?? '';
  if (user === '' || Number(user) === 0) {
    throw new ConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  }
  if (/^\d+$/.test(user)) return;
  const text = `container has runAsNonRoot and image has non-numeric user (${user})`;
  throw new ConfigError(`${text}, cannot verify user is non-root ${where}`);
}
