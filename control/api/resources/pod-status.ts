/**
 * What an update of /status may do to a pod.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation (ValidatePodStatusUpdate).
 */
import type {
  Container,
  ContainerStatus,
  Pod,
  PodCondition,
  PodSpec,
} from '#base/kube/api/core-v1.gen.ts';
import { checkIp, ipFamily } from './addresses.ts';
import { type FieldErrors, RenderedValue, goJson } from './field-errors.ts';
import { checkDnsSubdomain, checkQualifiedName } from './formats.ts';
import { IMMUTABLE, validateMetaUpdate } from './meta.ts';
import { validatePodAnnotations, validatePodAnnotationUpdate } from './pod-annotations.ts';

const SYSTEM_CONDITIONS = new Set(['PodScheduled', 'Ready', 'Initialized']);
const NOT_NEGATIVE = 'must be a non-negative integer';

export function validatePodStatusUpdate(e: FieldErrors, pod: Pod, old: Pod): void {
  const { annotations } = pod.metadata;
  validateMetaUpdate(e, pod.metadata, old.metadata, { coreFinalizers: true });
  validatePodAnnotationUpdate(e, 'metadata.annotations', annotations, old.metadata.annotations);
  validatePodAnnotations(e, 'metadata.annotations', annotations, pod.spec);
  const status = pod.status ?? {};
  const before = old.status ?? {};
  validateConditions(e, 'status.conditions', status.conditions ?? []);
  if ((pod.spec.nodeName ?? '') !== (old.spec.nodeName ?? '')) {
    e.forbidden('status.nodeName', 'may not be changed directly');
  }
  validateNomination(e, pod, old);
  if ((status.observedGeneration ?? 0) < 0) {
    e.invalid('status.observedGeneration', status.observedGeneration, NOT_NEGATIVE);
  }
  if ((status.qosClass ?? '') !== (before.qosClass ?? '')) {
    e.invalid('status.qosClass', status.qosClass ?? '', IMMUTABLE);
  }
  for (const [field, list] of [
    ['containerStatuses', 'containers'],
    ['initContainerStatuses', 'initContainers'],
  ] as const) {
    validateTransitions(e, `status.${field}`, {
      statuses: status[field] ?? [],
      old: before[field] ?? [],
      mayRestart: (name, exitCode) => mayRestart(old.spec, list, name, exitCode),
    });
  }
  validateTransitions(e, 'status.ephemeralContainerStatuses', {
    statuses: status.ephemeralContainerStatuses ?? [],
    old: before.ephemeralContainerStatuses ?? [],
    mayRestart: () => false,
  });
  const podIps = (before.podIPs ?? []).map(({ ip }) => ip);
  validateIps(e, 'status.podIPs', status.podIPs ?? [], podIps);
  validateHostIps(e, pod, old);
}

function validateNomination(e: FieldErrors, pod: Pod, old: Pod): void {
  const node = pod.status?.nominatedNodeName ?? '';
  if (node === '' || node === (old.status?.nominatedNodeName ?? '')) return;
  e.invalidEach('status.nominatedNodeName', node, checkDnsSubdomain(node));
  if ((old.spec.nodeName ?? '') !== '') {
    const detail = 'may not be set on pods that are already bound to a node';
    e.forbidden('status.nominatedNodeName', detail);
  }
}

function validateConditions(
  e: FieldErrors,
  path: string,
  conditions: readonly PodCondition[],
): void {
  for (const [i, condition] of conditions.entries()) {
    const generation = condition.observedGeneration ?? 0;
    if (generation < 0) e.invalid(`${path}[${i}].observedGeneration`, generation, NOT_NEGATIVE);
    const type = condition.type ?? '';
    if (SYSTEM_CONDITIONS.has(type)) continue;
    e.invalidEach(`${path}[${i}].Type`, type, checkQualifiedName(type));
  }
}

/** A container that ended stays so, unless its restart policy brings it back. */
function validateTransitions(
  e: FieldErrors,
  path: string,
  what: {
    readonly statuses: readonly ContainerStatus[];
    readonly old: readonly ContainerStatus[];
    readonly mayRestart: (name: string, exitCode: number) => boolean;
  },
): void {
  for (const [i, before] of what.old.entries()) {
    const ended = before.state?.terminated;
    if (ended === undefined) continue;
    const now = what.statuses.find(({ name }) => name === before.name);
    if (now === undefined || now.state?.terminated !== undefined) continue;
    if (what.mayRestart(before.name, ended.exitCode ?? 0)) continue;
    e.forbidden(`${path}[${i}].state`, 'may not be transitioned to non-terminated state');
  }
}

function mayRestart(
  spec: PodSpec,
  list: 'containers' | 'initContainers',
  name: string,
  exitCode: number,
): boolean {
  const all = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const restartsAll = (container: Container): boolean =>
    (container.restartPolicyRules ?? []).some((rule) => rule.action === 'RestartAllContainers');
  if (all.some(restartsAll)) return true;
  const container = (spec[list] ?? []).find((other) => other.name === name);
  if (container === undefined) return false;
  for (const rule of container.restartPolicyRules ?? []) {
    const isListed = rule.exitCodes?.values?.includes(exitCode) ?? false;
    const matches = rule.exitCodes?.operator === 'In' ? isListed : !isListed;
    if (matches && rule.action === 'Restart') return true;
  }
  const policy = container.restartPolicy ?? spec.restartPolicy;
  if (policy === 'Always') return true;
  return policy === 'OnFailure' && exitCode !== 0;
}

function validateIps(
  e: FieldErrors,
  path: string,
  ips: readonly { ip: string }[],
  old: readonly string[],
): void {
  for (const [i, { ip }] of ips.entries()) {
    if (!old.includes(ip)) e.invalidEach(`${path}[${i}]`, ip, checkIp(ip));
  }
  if (ips.length < 2) return;
  const families = new Set(ips.map(({ ip }) => ipFamily(ip)));
  const at = ips.findIndex(({ ip }) => ipFamily(ip) === undefined);
  if (at >= 0) {
    const bad = ips[at]?.ip ?? '';
    e.internal(path, `failed to check for dual stack with error:invalid IP[${at}]: ${bad}`);
  }
  if (at >= 0 || families.size !== 2 || ips.length > 2) {
    const value = new RenderedValue(goJson(ips.map(({ ip }) => ({ IP: ip }))));
    e.invalid(path, value, 'may specify no more than one IP for each IP family');
  }
}

function validateHostIps(e: FieldErrors, pod: Pod, old: Pod): void {
  const ips = pod.status?.hostIPs ?? [];
  const [first] = ips;
  if (first === undefined) return;
  if ((pod.status?.hostIP ?? '') !== first.ip) {
    e.invalid('status.hostIPs[0].ip', first.ip, 'must be equal to `hostIP`');
  }
  validateIps(
    e,
    'status.hostIPs',
    ips,
    (old.status?.hostIPs ?? []).map(({ ip }) => ip),
  );
}
