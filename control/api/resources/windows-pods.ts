/**
 * Rules on pods that say on which operating system they run: fields of the other system are refused.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  PodSpec,
  SecurityContext,
  WindowsSecurityContextOptions,
} from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { byteLength, checkDnsSubdomain } from './formats.ts';
import { allContainers } from './pod-containers-list.ts';

const SPEC_BYTES_MAX = 64 * 1024;
const DOMAIN_MAX = 256;
const USER_MAX = 104;
const NET_BIOS = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DNS_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const DNS_DOMAIN = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);

export function validateWindowsOptions(
  e: FieldErrors,
  at: string,
  options: WindowsSecurityContextOptions | undefined,
): void {
  const name = options?.gmsaCredentialSpecName;
  if (name !== undefined)
    e.invalidEach(`${at}.gmsaCredentialSpecName`, name, checkDnsSubdomain(name));
  const spec = options?.gmsaCredentialSpec;
  if (spec === '') {
    e.invalid(`${at}.gmsaCredentialSpec`, spec, 'gmsaCredentialSpec cannot be an empty string');
  } else if (spec !== undefined && byteLength(spec) > SPEC_BYTES_MAX) {
    e.invalid(`${at}.gmsaCredentialSpec`, spec, 'gmsaCredentialSpec size must be under 64 KiB');
  }
  const user = options?.runAsUserName;
  if (user !== undefined) e.invalidEach(`${at}.runAsUserName`, user, checkUserName(user));
}

/** `DOMAIN\USER`, the domain optional. */
function checkUserName(name: string): string[] {
  if (name === '') return ['runAsUserName cannot be an empty string'];
  if (/\p{Cc}/u.test(name)) return ['runAsUserName cannot contain control characters'];
  const parts = name.split('\\');
  if (parts.length > 2) return ['runAsUserName cannot contain more than one backslash'];
  const domain = parts.length === 2 ? (parts[0] ?? '') : undefined;
  const user = parts.at(-1) ?? '';
  const messages: string[] = [];
  if (byteLength(domain ?? '') >= DOMAIN_MAX) {
    messages.push(`runAsUserName's Domain length must be under ${DOMAIN_MAX} characters`);
  }
  if (domain !== undefined && !NET_BIOS.test(domain) && !DNS_DOMAIN.test(domain)) {
    messages.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user === '') messages.push("runAsUserName's User cannot be empty");
  else if (byteLength(user) > USER_MAX) {
    messages.push(`runAsUserName's User length must not be longer than ${USER_MAX} characters`);
  }
  if (/^[. ]+$/.test(user)) {
    messages.push("runAsUserName's User cannot contain only periods or spaces");
  }
  if (/["/\\:;|=,+*?<>@[\]]/.test(user)) {
    messages.push(
      'runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]',
    );
  }
  return messages;
}

/** Host-process containers: all of a pod or none, and only on the host's network. */
export function validateHostProcess(e: FieldErrors, at: string, spec: PodSpec): void {
  const podValue = spec.securityContext?.windowsOptions?.hostProcess;
  const containers = allContainers(spec, at);
  let count = 0;
  for (const { container, path } of containers) {
    const own = container.securityContext?.windowsOptions?.hostProcess;
    if (podValue !== undefined && own !== undefined && podValue !== own) {
      e.invalid(
        `${path}.securityContext.windowsOptions.hostProcess`,
        own,
        `pod hostProcess value must be identical if both are specified, was ${podValue}`,
      );
    }
    if ((own ?? podValue) === true) count += 1;
  }
  if (count === 0) return;
  if (count !== containers.length) {
    const detail =
      'If pod contains any hostProcess containers then all containers must be HostProcess containers';
    e.invalid(at, '', detail);
  }
  if (spec.hostNetwork !== true) {
    const detail = 'hostNetwork must be true if pod contains any hostProcess containers';
    e.invalid(`${at}.hostNetwork`, false, detail);
  }
}

export function validatePodOs(e: FieldErrors, at: string, spec: PodSpec): void {
  if (spec.os === undefined) return;
  const name = spec.os.name ?? '';
  if (name === '') e.required(`${at}.os.name`);
  else if (name === 'linux') validateLinux(e, at, spec);
  else if (name === 'windows') validateWindows(e, at, spec);
  else e.notSupported(`${at}.os`, name, ['linux', 'windows']);
}

function validateLinux(e: FieldErrors, at: string, spec: PodSpec): void {
  const detail = 'windows options cannot be set for a linux pod';
  if (spec.securityContext?.windowsOptions !== undefined) {
    e.forbidden(`${at}.securityContext.windowsOptions`, detail);
  }
  for (const { container, path } of allContainers(spec, at)) {
    if (container.securityContext?.windowsOptions !== undefined) {
      e.forbidden(`${path}.securityContext.windowsOptions`, detail);
    }
  }
}

const CONTAINER_FIELDS: readonly (keyof SecurityContext)[] = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'capabilities',
  'readOnlyRootFilesystem',
  'privileged',
  'allowPrivilegeEscalation',
  'procMount',
  'runAsUser',
  'runAsGroup',
];

function validateWindows(e: FieldErrors, at: string, spec: PodSpec): void {
  const context = spec.securityContext ?? {};
  const inContext = `${at}.securityContext`;
  const set: readonly (readonly [string, boolean])[] = [
    [`${inContext}.appArmorProfile`, context.appArmorProfile !== undefined],
    [`${inContext}.seLinuxOptions`, context.seLinuxOptions !== undefined],
    [`${at}.hostUsers`, spec.hostUsers !== undefined],
    [`${at}.hostPID`, spec.hostPID === true],
    [`${at}.hostIPC`, spec.hostIPC === true],
    [`${inContext}.seccompProfile`, context.seccompProfile !== undefined],
    [`${inContext}.fsGroup`, context.fsGroup !== undefined],
    [`${inContext}.fsGroupChangePolicy`, context.fsGroupChangePolicy !== undefined],
    [`${inContext}.sysctls`, (context.sysctls ?? []).length > 0],
    [`${at}.shareProcessNamespace`, spec.shareProcessNamespace !== undefined],
    [`${inContext}.runAsUser`, context.runAsUser !== undefined],
    [`${inContext}.runAsGroup`, context.runAsGroup !== undefined],
    [`${inContext}.supplementalGroups`, context.supplementalGroups !== undefined],
    [`${inContext}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy !== undefined],
    [`${inContext}.seLinuxChangePolicy`, context.seLinuxChangePolicy !== undefined],
  ];
  const detail = 'cannot be set for a windows pod';
  for (const [field, isSet] of set) if (isSet) e.forbidden(field, detail);
  for (const { container, path } of allContainers(spec, at)) {
    for (const field of CONTAINER_FIELDS) {
      if (container.securityContext?.[field] !== undefined) {
        e.forbidden(`${path}.securityContext.${field}`, detail);
      }
    }
  }
}
