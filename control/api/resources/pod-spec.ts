/**
 * Rules on the spec of a pod, for pods and for the templates of workloads.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation (ValidatePodSpec and what it calls).
 */
import type { PodResourceClaim, PodSpec, PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import { checkIp } from './addresses.ts';
import { validateFileKeyVolumes } from './container-env.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import {
  byteLength,
  checkDnsLabel,
  checkDnsSubdomain,
  checkDnsSubdomainWithUnderscore,
  checkQualifiedName,
  rangeMessage,
} from './formats.ts';
import { validateAnnotations, validateLabels } from './meta.ts';
import { MIRROR, validatePodAnnotations, validateProfilesMatch } from './pod-annotations.ts';
import {
  validateContainers,
  validateEphemeralContainers,
  validateInitContainers,
} from './pod-containers.ts';
import { allContainers } from './pod-containers-list.ts';
import { validateContainerResources, validatePodLevelResources } from './pod-resources.ts';
import { validateVolumes } from './pod-volumes.ts';
import {
  validateAffinity,
  validateTolerations,
  validateTopologySpread,
} from './scheduling-rules.ts';
import { validatePodSecurityContext } from './security-contexts.ts';
import { validateHostProcess, validatePodOs } from './windows-pods.ts';
import { given } from './given.ts';

export interface PodSpecContext {
  /** Set for real pods, absent for templates. */
  readonly podMeta?: Partial<ObjectMeta> | undefined;
}

const INT32_MAX = 2 ** 31 - 1;
const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];

export function validatePodTemplateSpec(
  e: FieldErrors,
  path: string,
  template: PodTemplateSpec | undefined,
): void {
  const spec = template?.spec ?? { containers: [] };
  const annotations = template?.metadata?.annotations;
  validateLabels(e, `${path}.labels`, template?.metadata?.labels);
  validateAnnotations(e, `${path}.annotations`, annotations);
  validatePodAnnotations(e, `${path}.annotations`, annotations, spec);
  validatePodSpec(e, `${path}.spec`, spec, {});
  validateProfilesMatch(e, `${path}.spec`, annotations, spec);
  if ((spec.ephemeralContainers ?? []).length > 0) {
    const detail = 'ephemeral containers not allowed in pod template';
    e.forbidden(`${path}.spec.ephemeralContainers`, detail);
  }
}

export function validatePodSpec(
  e: FieldErrors,
  path: string,
  spec: PodSpec,
  context: PodSpecContext,
): void {
  const volumes = validateVolumes(e, `${path}.volumes`, spec.volumes ?? [], context);
  const claims = spec.resourceClaims ?? [];
  const claimNames = new Set(claims.map(({ name }) => name).filter((name) => name !== ''));
  validateResourceClaims(e, `${path}.resourceClaims`, claims, context);
  const containers = { spec, volumes, claimNames };
  validateContainers(e, `${path}.containers`, containers);
  validateInitContainers(e, `${path}.initContainers`, containers);
  validateEphemeralContainers(e, `${path}.ephemeralContainers`, containers);
  validatePodLevelResources(e, path, spec);
  validateHostNetworkPorts(e, path, spec, context);
  requiredOneOf(e, `${path}.restartPolicy`, spec.restartPolicy, RESTART_POLICIES);
  requiredOneOf(e, `${path}.dnsPolicy`, spec.dnsPolicy, DNS_POLICIES);
  validateLabels(e, `${path}.nodeSelector`, spec.nodeSelector);
  validatePodSecurityContext(e, `${path}.securityContext`, spec);
  validateAffinity(e, `${path}.affinity`, spec.affinity);
  validateDnsConfig(e, `${path}.dnsConfig`, spec);
  validateGates(e, path, spec);
  validateTopologySpread(
    e,
    `${path}.topologySpreadConstraints`,
    spec.topologySpreadConstraints ?? [],
  );
  validateHostProcess(e, path, spec);
  validateUserNamespace(e, path, spec);
  validateNames(e, path, spec);
  validateTolerations(e, `${path}.tolerations`, spec.tolerations ?? []);
  validateHostAliases(e, `${path}.hostAliases`, spec);
  validateClasses(e, path, spec);
  validatePodOs(e, path, spec);
  validateSchedulingGroup(e, `${path}.schedulingGroup`, spec);
  validateFileKeyVolumes(e, path, spec);
}

function requiredOneOf(
  e: FieldErrors,
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (value === undefined || value === '') e.required(field);
  else if (!supported.includes(value)) e.notSupported(field, value, supported);
}

function validateResourceClaims(
  e: FieldErrors,
  path: string,
  claims: readonly PodResourceClaim[],
  context: PodSpecContext,
): void {
  const names = new Set<string>();
  for (const [i, claim] of claims.entries()) {
    if (context.podMeta?.annotations?.[MIRROR] !== undefined) {
      e.forbidden('', 'static pods do not support resource claims');
      continue;
    }
    const at = `${path}[${i}]`;
    const { name = '', resourceClaimName, resourceClaimTemplateName } = given(claim);
    if (name === '') e.required(`${at}.name`);
    else if (names.has(name)) e.duplicate(`${at}.name`, name);
    else {
      e.invalidEach(`${at}.name`, name, checkDnsLabel(name));
      names.add(name);
    }
    const value = new RenderedValue(
      goJson({
        Name: name,
        ResourceClaimName: resourceClaimName ?? null,
        ResourceClaimTemplateName: resourceClaimTemplateName ?? null,
      }),
    );
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) {
      const detail =
        'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified';
      e.invalid(at, value, detail);
    }
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) {
      const detail = 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`';
      e.invalid(at, value, detail);
    }
    for (const field of ['resourceClaimName', 'resourceClaimTemplateName'] as const) {
      const own = claim[field];
      if (own !== undefined) e.invalidEach(`${at}.${field}`, own, checkDnsSubdomain(own));
    }
  }
}

function validateHostNetworkPorts(
  e: FieldErrors,
  path: string,
  spec: PodSpec,
  context: PodSpecContext,
): void {
  if (spec.hostNetwork !== true) return;
  const isPod = context.podMeta !== undefined;
  for (const [i, container] of (spec.containers ?? []).entries()) {
    for (const [j, port] of (container.ports ?? []).entries()) {
      const hostPort = port.hostPort ?? 0;
      // A template may leave the host port out: its pods get it by default.
      if ((isPod || hostPort !== 0) && hostPort !== port.containerPort) {
        const detail = 'must match `containerPort` when `hostNetwork` is true';
        e.invalid(`${path}.containers[${i}].ports[${j}].hostPort`, hostPort, detail);
      }
    }
  }
}

const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const SEARCH_CHARACTERS_MAX = 2048;

function validateDnsConfig(e: FieldErrors, at: string, spec: PodSpec): void {
  const config = spec.dnsConfig;
  const nameservers = config?.nameservers ?? [];
  if (spec.dnsPolicy === 'None') {
    if (config === undefined) {
      return e.required(at, 'must provide `dnsConfig` when `dnsPolicy` is None');
    }
    if (nameservers.length === 0) {
      const detail = 'must provide at least one DNS nameserver when `dnsPolicy` is None';
      return e.required(`${at}.nameservers`, detail);
    }
  }
  if (nameservers.length > NAMESERVERS_MAX) {
    const detail = `must not have more than ${NAMESERVERS_MAX} nameservers`;
    e.invalid(`${at}.nameservers`, nameservers, detail);
  }
  for (const [i, address] of nameservers.entries()) {
    e.invalidEach(`${at}.nameservers[${i}]`, address, checkIp(address));
  }
  const searches = config?.searches ?? [];
  if (searches.length > SEARCHES_MAX) {
    const detail = `must not have more than ${SEARCHES_MAX} search paths`;
    e.invalid(`${at}.searches`, searches, detail);
  }
  if (byteLength(searches.join(' ')) > SEARCH_CHARACTERS_MAX) {
    const detail = `must not have more than ${SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list`;
    e.invalid(`${at}.searches`, searches, detail);
  }
  for (const [i, search] of searches.entries()) {
    if (search === '.') continue;
    const name = search.replace(/\.$/, '');
    e.invalidEach(`${at}.searches[${i}]`, name, checkDnsSubdomainWithUnderscore(name));
  }
  for (const [i, option] of (config?.options ?? []).entries()) {
    if ((option.name ?? '') === '') e.required(`${at}.options[${i}]`, 'must not be empty');
  }
}

function validateGates(e: FieldErrors, path: string, spec: PodSpec): void {
  for (const [i, gate] of (spec.readinessGates ?? []).entries()) {
    const type = gate.conditionType ?? '';
    e.invalidEach(`${path}.readinessGates[${i}].conditionType`, type, checkQualifiedName(type));
  }
  const seen = new Set<string>();
  for (const [i, { name = '' }] of (spec.schedulingGates ?? []).entries()) {
    const at = `${path}.schedulingGates[${i}]`;
    e.invalidEach(at, name, checkQualifiedName(name));
    if (seen.has(name)) e.duplicate(at, name);
    seen.add(name);
  }
}

function validateUserNamespace(e: FieldErrors, path: string, spec: PodSpec): void {
  if (spec.hostUsers !== false) return;
  const detail = 'when `hostUsers` is false';
  if (spec.hostNetwork === true) e.forbidden(`${path}.hostNetwork`, detail);
  if (spec.hostPID === true) e.forbidden(`${path}.HostPID`, detail);
  if (spec.hostIPC === true) e.forbidden(`${path}.HostIPC`, detail);
  for (const { container, path: at } of allContainers(spec, path)) {
    if ((container.volumeDevices ?? []).length > 0) e.forbidden(`${at}.volumeDevices`, detail);
  }
}

function validateNames(e: FieldErrors, path: string, spec: PodSpec): void {
  const override = spec.hostnameOverride;
  if (override !== undefined) {
    const field = `${path}.hostnameOverride`;
    if (spec.setHostnameAsFQDN === true) {
      e.forbidden(field, 'may not be specified when setHostnameAsFQDN is true');
    }
    if (spec.hostNetwork === true) {
      e.forbidden(field, 'may not be specified when hostNetwork is true');
    }
    if (byteLength(override) > 64) e.tooLong(field, 64);
    e.invalidEach(field, override, checkDnsSubdomain(override));
  }
  for (const field of ['serviceAccountName', 'nodeName'] as const) {
    const name = spec[field] ?? '';
    if (name !== '') e.invalidEach(`${path}.${field}`, name, checkDnsSubdomain(name));
  }
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > INT32_MAX)) {
    e.invalid(`${path}.activeDeadlineSeconds`, deadline, rangeMessage(1, INT32_MAX));
  }
  for (const field of ['hostname', 'subdomain'] as const) {
    const name = spec[field] ?? '';
    if (name !== '') e.invalidEach(`${path}.${field}`, name, checkDnsLabel(name));
  }
}

function validateHostAliases(e: FieldErrors, path: string, spec: PodSpec): void {
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    e.invalidEach(`${path}[${i}].ip`, alias.ip ?? '', checkIp(alias.ip ?? ''));
    for (const [j, name] of (alias.hostnames ?? []).entries()) {
      e.invalidEach(`${path}[${i}].hostnames[${j}]`, name, checkDnsSubdomain(name));
    }
  }
}

function validateClasses(e: FieldErrors, path: string, spec: PodSpec): void {
  const priority = spec.priorityClassName ?? '';
  if (priority !== '') {
    e.invalidEach(`${path}.priorityClassName`, priority, checkDnsSubdomain(priority));
  }
  const runtime = spec.runtimeClassName;
  if (runtime !== undefined) {
    e.invalidEach(`${path}.runtimeClassName`, runtime, checkDnsSubdomain(runtime));
  }
  const preemption = spec.preemptionPolicy;
  if (preemption !== undefined) {
    const policies = ['PreemptLowerPriority', 'Never'];
    requiredOneOf(e, `${path}.preemptionPolicy`, preemption, policies);
  }
  if (spec.overhead !== undefined) {
    validateContainerResources(e, `${path}.overhead`, { limits: spec.overhead }, new Set());
  }
}

function validateSchedulingGroup(e: FieldErrors, at: string, spec: PodSpec): void {
  if (spec.schedulingGroup === undefined) return;
  const name = spec.schedulingGroup.podGroupName;
  const field = `${at}.podGroupName`;
  if (name === undefined) e.invalid(field, null, 'must specify one of: `podGroupName`');
  else e.invalidEach(field, name, checkDnsSubdomain(name));
}
