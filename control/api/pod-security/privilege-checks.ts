/** Checks of rights within the container: capabilities, users, escalation, /proc, Windows. Pure. */
import {
  type CheckPod,
  containersOf,
  containersThat,
  named,
  quoted,
  setters,
  sorted,
} from './checks.ts';

export const privileged: CheckPod = (pod) => {
  const bad = containersThat(pod, ({ privileged }) => privileged === true);
  if (bad.length === 0) return undefined;
  return {
    reason: 'privileged',
    detail: `${named(bad)} must not set securityContext.privileged=true`,
  };
};

export const allowPrivilegeEscalation: CheckPod = (pod) => {
  const bad = containersThat(pod, (context) => context.allowPrivilegeEscalation !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${named(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

/** Those that runtimes give by default, but for NET_RAW. */
const DEFAULT_CAPABILITIES: ReadonlySet<string> = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);

function addedBeyond(
  isAllowed: (capability: string) => boolean,
): (pod: Parameters<CheckPod>[0]) => string {
  return (pod) => {
    const bad = containersThat(pod, ({ capabilities }) =>
      (capabilities?.add ?? []).some((one) => !isAllowed(one)),
    );
    if (bad.length === 0) return '';
    const added = containersOf(pod).flatMap((c) => c.securityContext?.capabilities?.add ?? []);
    const forbidden = sorted(added.filter((one) => !isAllowed(one)));
    return `${named(bad)} must not include ${quoted(forbidden)} in securityContext.capabilities.add`;
  };
}

const beyondDefault = addedBeyond((capability) => DEFAULT_CAPABILITIES.has(capability));
const beyondBinding = addedBeyond((capability) => capability === 'NET_BIND_SERVICE');

export const capabilitiesBaseline: CheckPod = (pod) => {
  const detail = beyondDefault(pod);
  return detail === '' ? undefined : { reason: 'non-default capabilities', detail };
};

export const capabilitiesRestricted: CheckPod = (pod) => {
  const keeping = containersThat(pod, (c) => !(c.capabilities?.drop ?? []).includes('ALL'));
  const details = [
    keeping.length === 0
      ? ''
      : `${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`,
    beyondBinding(pod),
  ].filter((detail) => detail !== '');
  if (details.length === 0) return undefined;
  return { reason: 'unrestricted capabilities', detail: details.join('; ') };
};

export const procMount: CheckPod = (pod) => {
  const isBad = (mount: string | undefined) => mount !== undefined && mount !== 'Default';
  const bad = containersThat(pod, ({ procMount }) => isBad(procMount));
  if (bad.length === 0) return undefined;
  const mounts = containersOf(pod).map((c) => c.securityContext?.procMount);
  const values = sorted(mounts.filter((mount) => mount !== undefined).filter(isBad));
  return {
    reason: 'procMount',
    detail: `${named(bad)} must not set securityContext.procMount to ${quoted(values)}`,
  };
};

export const runAsNonRoot: CheckPod = (pod) => {
  const own = pod.spec.securityContext?.runAsNonRoot;
  const reason = 'runAsNonRoot != true';
  const rooted = containersThat(pod, ({ runAsNonRoot }) => runAsNonRoot === false);
  const who = setters(own === false, rooted);
  if (who !== '') {
    return { reason, detail: `${who} must not set securityContext.runAsNonRoot=false` };
  }
  const open = own === true ? [] : containersThat(pod, (c) => c.runAsNonRoot === undefined);
  if (open.length === 0) return undefined;
  return { reason, detail: `pod or ${named(open)} must set securityContext.runAsNonRoot=true` };
};

export const runAsUser: CheckPod = (pod) => {
  const rooted = containersThat(pod, ({ runAsUser }) => runAsUser === 0);
  const who = setters(pod.spec.securityContext?.runAsUser === 0, rooted);
  if (who === '') return undefined;
  return { reason: 'runAsUser=0', detail: `${who} must not set runAsUser=0` };
};

export const windowsHostProcess: CheckPod = (pod) => {
  const bad = containersThat(pod, ({ windowsOptions }) => windowsOptions?.hostProcess === true);
  const who = setters(pod.spec.securityContext?.windowsOptions?.hostProcess === true, bad);
  if (who === '') return undefined;
  return {
    reason: 'hostProcess',
    detail: `${who} must not set securityContext.windowsOptions.hostProcess=true`,
  };
};
