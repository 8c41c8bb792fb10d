/**
 * Rules on the annotations that mean something on a pod: mirror pods, deletion cost, and the seccomp
 * and AppArmor annotations that fields replaced.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { PodSpec, SeccompProfile } from '#base/kube/api/core-v1.gen.ts';
import { type FieldErrors, goQuote, sortedMap } from './field-errors.ts';
import { validateDescendingPath } from './paths.ts';
import { allContainers } from './pod-containers-list.ts';

type Annotations = Readonly<Record<string, string>> | undefined;

export const MIRROR = 'kubernetes.io/config.mirror';
const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';
const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';
const APP_ARMOR = 'container.apparmor.security.beta.kubernetes.io/';

export function validatePodAnnotations(
  e: FieldErrors,
  path: string,
  annotations: Annotations,
  spec: PodSpec,
): void {
  const mirror = annotations?.[MIRROR];
  if (mirror !== undefined && (spec.nodeName ?? '') === '') {
    const detail = 'must set spec.nodeName if mirror pod annotation is set';
    e.invalid(`${path}[${MIRROR}]`, mirror, detail);
  }
  const cost = annotations?.[DELETION_COST];
  if (cost !== undefined && !isDeletionCost(cost)) {
    e.invalid(`${path}[${DELETION_COST}]`, cost, 'must be a 32bit integer');
  }
  const names = new Set(allContainers(spec, '').map(({ container }) => container.name));
  for (const [key, value] of Object.entries(sortedMap(annotations))) {
    if (key === SECCOMP_POD || key.startsWith(SECCOMP_CONTAINER)) {
      validateSeccompText(e, `${path}.${key}`, value);
    }
  }
  for (const [key, value] of Object.entries(sortedMap(annotations))) {
    if (!key.startsWith(APP_ARMOR)) continue;
    const name = key.slice(APP_ARMOR.length);
    if (!names.has(name)) e.invalid(`${path}[${key}]`, name, 'container not found');
    if (!/^$|^runtime\/default$|^unconfined$|^localhost\//.test(value)) {
      e.invalid(`${path}[${key}]`, value, `invalid AppArmor profile name: ${goQuote(value)}`);
    }
  }
}

/** A 32-bit integer without a plus sign or leading zeros. */
function isDeletionCost(text: string): boolean {
  if (!/^(0|-?[1-9]\d*)$/.test(text)) return false;
  const value = Number(text);
  return value >= -(2 ** 31) && value < 2 ** 31;
}

function validateSeccompText(e: FieldErrors, field: string, profile: string): void {
  if (['runtime/default', 'docker/default', 'unconfined'].includes(profile)) return;
  if (profile.startsWith('localhost/')) {
    validateDescendingPath(e, field, profile.slice('localhost/'.length));
  } else e.invalid(field, profile, 'must be a valid seccomp profile');
}

/** An old annotation beside the new field must say the same. */
export function validateProfilesMatch(
  e: FieldErrors,
  path: string,
  annotations: Annotations,
  spec: PodSpec,
): void {
  const podSeccomp = annotations?.[SECCOMP_POD];
  const seccomp = spec.securityContext?.seccompProfile;
  if (podSeccomp !== undefined && seccomp !== undefined) {
    match(
      e,
      `${path}.securityContext.seccompProfile`,
      { text: podSeccomp, profile: seccomp },
      'seccomp',
    );
  }
  for (const { container, path: at } of allContainers(spec, path)) {
    const text = annotations?.[`${SECCOMP_CONTAINER}${container.name}`];
    const profile = container.securityContext?.seccompProfile;
    if (text === undefined || profile === undefined) continue;
    match(e, `${at}.securityContext.seccompProfile`, { text, profile }, 'seccomp');
  }
  if (spec.os?.name === 'windows') return;
  for (const { container, path: at } of allContainers(spec, path)) {
    const text = annotations?.[`${APP_ARMOR}${container.name}`];
    const profile =
      container.securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile;
    if (text === undefined || profile === undefined) continue;
    match(e, `${at}.securityContext.appArmorProfile`, { text, profile }, 'apparmor');
  }
}

function match(
  e: FieldErrors,
  at: string,
  pair: { readonly text: string; readonly profile: SeccompProfile },
  kind: 'seccomp' | 'apparmor',
): void {
  const { text, profile } = pair;
  const typeDetail = `${kind} type in annotation and field must match`;
  if (profile.type === 'Unconfined') {
    if (text !== 'unconfined') e.forbidden(`${at}.type`, typeDetail);
  } else if (profile.type === 'RuntimeDefault') {
    const isDefault =
      text === 'runtime/default' || (kind === 'seccomp' && text === 'docker/default');
    if (!isDefault) e.forbidden(`${at}.type`, typeDetail);
  } else if (profile.type === 'Localhost') {
    if (!text.startsWith('localhost/')) e.forbidden(`${at}.type`, typeDetail);
    else if (text.slice('localhost/'.length) !== profile.localhostProfile) {
      const detail = `${kind} profile in annotation and field must match`;
      e.forbidden(`${at}.localhostProfile`, detail);
    }
  }
}

/** What an update of a pod may not do to such annotations. */
export function validatePodAnnotationUpdate(
  e: FieldErrors,
  path: string,
  annotations: Annotations,
  old: Annotations,
): void {
  for (const [key, value] of Object.entries(sortedMap(old))) {
    if (annotations?.[key] === value) continue;
    if (key.startsWith(APP_ARMOR)) {
      e.forbidden(`${path}[${key}]`, 'may not remove or update AppArmor annotations');
    }
    if (key === MIRROR) {
      e.forbidden(`${path}[${key}]`, 'may not remove or update mirror pod annotation');
    }
  }
  for (const key of Object.keys(sortedMap(annotations))) {
    if (old?.[key] !== undefined) continue;
    if (key.startsWith(APP_ARMOR))
      e.forbidden(`${path}[${key}]`, 'may not add AppArmor annotations');
    if (key === MIRROR) e.forbidden(`${path}[${key}]`, 'may not add mirror pod annotation');
  }
}
