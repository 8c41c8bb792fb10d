/**
 * Rules on the security contexts of pods and containers.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
  Sysctl,
} from '#base/kube/api/core-v1.gen.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import { byteLength, rangeMessage } from './formats.ts';
import { validateDescendingPath } from './paths.ts';
import { validateWindowsOptions } from './windows-pods.ts';

const ID_MAX = 2 ** 31 - 1;
const PROFILE_TYPES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
const SYSCTL_SEGMENT = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const SYSCTL = `^(${SYSCTL_SEGMENT}[\\./])*${SYSCTL_SEGMENT}$`;
const SYSCTL_RE = new RegExp(SYSCTL);
const SYSCTL_MAX = 253;
const APP_ARMOR_PATH_MAX = 4095;

function validateId(e: FieldErrors, field: string, id: number | undefined): void {
  if (id !== undefined && (id < 0 || id > ID_MAX)) e.invalid(field, id, rangeMessage(0, ID_MAX));
}

export function validatePodSecurityContext(e: FieldErrors, at: string, spec: PodSpec): void {
  const context = spec.securityContext;
  if (context === undefined) return;
  validateId(e, `${at}.fsGroup`, context.fsGroup);
  validateId(e, `${at}.runAsUser`, context.runAsUser);
  validateId(e, `${at}.runAsGroup`, context.runAsGroup);
  for (const [i, id] of (context.supplementalGroups ?? []).entries()) {
    validateId(e, `${at}.supplementalGroups[${i}]`, id);
  }
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    const detail = 'ShareProcessNamespace and HostPID cannot both be enabled';
    e.invalid(`${at}.shareProcessNamespace`, true, detail);
  }
  validateSysctls(e, `${at}.sysctls`, context.sysctls ?? [], spec);
  oneOf(e, `${at}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ['Always', 'OnRootMismatch']);
  validateSeccomp(e, `${at}.seccompProfile`, context.seccompProfile);
  validateWindowsOptions(e, `${at}.windowsOptions`, context.windowsOptions);
  validateAppArmor(e, `${at}.appArmorProfile`, context.appArmorProfile);
  validatePolicies(e, at, context);
}

function validatePolicies(e: FieldErrors, at: string, context: PodSecurityContext): void {
  oneOf(e, `${at}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, ['Merge', 'Strict']);
  oneOf(e, `${at}.seLinuxChangePolicy`, context.seLinuxChangePolicy, ['MountOption', 'Recursive']);
}

function oneOf(
  e: FieldErrors,
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (value !== undefined && !supported.includes(value)) e.notSupported(field, value, supported);
}

/** The sysctls that belong to a network namespace, or to an IPC namespace. */
function sysctlNamespace(name: string): 'net' | 'ipc' | undefined {
  const dotted = /^[^/]*\./.test(name) ? name : name.replaceAll('/', '.');
  if (dotted.startsWith('net.')) return 'net';
  if (
    /^(kernel\.(sem|shm(all|max|mni|_rmid_forced)?|msg(max|mnb|mni)?)$|fs\.mqueue\.)/.test(dotted)
  )
    return 'ipc';
  return undefined;
}

function validateSysctls(
  e: FieldErrors,
  at: string,
  sysctls: readonly Sysctl[],
  spec: PodSpec,
): void {
  const seen = new Set<string>();
  for (const [i, sysctl] of sysctls.entries()) {
    const field = `${at}[${i}].name`;
    const name = sysctl.name ?? '';
    if (name === '') e.required(field);
    else if (byteLength(name) > SYSCTL_MAX || !SYSCTL_RE.test(name)) {
      e.invalid(
        field,
        name,
        `must have at most ${SYSCTL_MAX} characters and match regex ${SYSCTL}`,
      );
    } else if (seen.has(name)) e.duplicate(field, name);
    const namespace = sysctlNamespace(name);
    if (spec.hostNetwork === true && namespace === 'net') {
      e.invalid(field, name, "may not be specified when 'hostNetwork' is true");
    } else if (spec.hostIPC === true && namespace === 'ipc') {
      e.invalid(field, name, "may not be specified when 'hostIPC' is true");
    }
    seen.add(name);
  }
}

function validateSeccomp(e: FieldErrors, at: string, profile: SeccompProfile | undefined): void {
  if (profile === undefined) return;
  const type = profile.type ?? '';
  if (type === '') e.required(`${at}.type`, 'type is required when seccompProfile is set');
  else if (!PROFILE_TYPES.includes(type)) e.notSupported(`${at}.type`, type, PROFILE_TYPES);
  const path = profile.localhostProfile;
  const field = `${at}.localhostProfile`;
  if (type === 'Localhost') {
    if (path === undefined) e.required(field, 'must be set when seccomp type is Localhost');
    else validateDescendingPath(e, field, path);
  } else if (path !== undefined) {
    const value = new RenderedValue(goJson({ Type: type, LocalhostProfile: path }));
    e.invalid(field, value, 'can only be set when seccomp type is Localhost');
  }
}

function validateAppArmor(e: FieldErrors, at: string, profile: AppArmorProfile | undefined): void {
  if (profile === undefined) return;
  const path = profile.localhostProfile;
  const field = `${at}.localhostProfile`;
  const needed = 'must be set when AppArmor type is Localhost';
  switch (profile.type ?? '') {
    case 'Localhost':
      if (path === undefined) return e.required(field, needed);
      if (path.trim() !== path) e.invalid(field, path, 'must not be padded with whitespace');
      else if (path === '') e.required(field, needed);
      if (byteLength(path) > APP_ARMOR_PATH_MAX) e.tooLong(field, APP_ARMOR_PATH_MAX);
      return;
    case 'RuntimeDefault':
    case 'Unconfined':
      if (path === undefined) return;
      return e.invalid(field, path, 'can only be set when AppArmor type is Localhost');
    case '':
      return e.required(`${at}.type`, 'type is required when appArmorProfile is set');
    default:
      e.notSupported(`${at}.type`, profile.type, PROFILE_TYPES);
  }
}

export function validateSecurityContext(
  e: FieldErrors,
  at: string,
  context: SecurityContext | undefined,
  pod: { readonly hostUsers: boolean },
): void {
  if (context === undefined) return;
  validateId(e, `${at}.runAsUser`, context.runAsUser);
  validateId(e, `${at}.runAsGroup`, context.runAsGroup);
  oneOf(e, `${at}.procMount`, context.procMount, ['Default', 'Unmasked']);
  if (pod.hostUsers && context.procMount === 'Unmasked') {
    e.invalid(`${at}.procMount`, 'Unmasked', '`hostUsers` must be false to use `Unmasked`');
  }
  validateSeccomp(e, `${at}.seccompProfile`, context.seccompProfile);
  if (context.allowPrivilegeEscalation === false) {
    const text = 'cannot set `allowPrivilegeEscalation` to false and';
    const value = new RenderedValue(goJson(internalSecurityContext(context)));
    if (context.privileged === true) e.invalid(at, value, `${text} \`privileged\` to true`);
    for (const capability of context.capabilities?.add ?? []) {
      if (capability === 'CAP_SYS_ADMIN') {
        e.invalid(at, value, `${text} \`capabilities.Add\` CAP_SYS_ADMIN`);
      }
    }
  }
  validateWindowsOptions(e, `${at}.windowsOptions`, context.windowsOptions);
  validateAppArmor(e, `${at}.appArmorProfile`, context.appArmorProfile);
}

/** Upstream prints its internal form: capitals, and null for what is not set. */
function internalSecurityContext(context: SecurityContext): unknown {
  const { capabilities, seLinuxOptions, seccompProfile, appArmorProfile } = context;
  return {
    Capabilities:
      capabilities === undefined
        ? null
        : { Add: capabilities.add ?? null, Drop: capabilities.drop ?? null },
    Privileged: context.privileged ?? null,
    SELinuxOptions:
      seLinuxOptions === undefined
        ? null
        : {
            User: seLinuxOptions.user ?? '',
            Role: seLinuxOptions.role ?? '',
            Type: seLinuxOptions.type ?? '',
            Level: seLinuxOptions.level ?? '',
          },
    WindowsOptions: context.windowsOptions ?? null,
    RunAsUser: context.runAsUser ?? null,
    RunAsGroup: context.runAsGroup ?? null,
    RunAsNonRoot: context.runAsNonRoot ?? null,
    ReadOnlyRootFilesystem: context.readOnlyRootFilesystem ?? null,
    AllowPrivilegeEscalation: context.allowPrivilegeEscalation ?? null,
    ProcMount: context.procMount ?? null,
    SeccompProfile: internalProfile(seccompProfile),
    AppArmorProfile: internalProfile(appArmorProfile),
  };
}

function internalProfile(profile: SeccompProfile | undefined): unknown {
  if (profile === undefined) return null;
  return { Type: profile.type, LocalhostProfile: profile.localhostProfile ?? null };
}
