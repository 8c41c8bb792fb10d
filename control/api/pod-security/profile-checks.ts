/** Checks of the profiles that confine containers: AppArmor, seccomp and SELinux. Pure. */
import type { SELinuxOptions } from '#base/kube/api/core-v1.gen.ts';
import { goQuote } from '../resources/field-errors.ts';
import {
  type CheckPod,
  containersOf,
  containersThat,
  named,
  plural,
  quoted,
  setters,
  sorted,
} from './checks.ts';

const CONFINED: ReadonlySet<string> = new Set(['RuntimeDefault', 'Localhost']);

interface Profile {
  readonly type: string;
}

const isBad = (profile: Profile | undefined): boolean =>
  profile !== undefined && !CONFINED.has(profile.type);

const APP_ARMOR_ANNOTATION = 'container.apparmor.security.beta.kubernetes.io/';

const isAppArmorAnnotationBad = (value: string): boolean =>
  value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/');

export const appArmorProfile: CheckPod = (pod) => {
  const own = pod.spec.securityContext?.appArmorProfile;
  const containers = containersThat(pod, ({ appArmorProfile }) => isBad(appArmorProfile));
  const profiles = [
    own,
    ...containersOf(pod).map(({ securityContext }) => securityContext?.appArmorProfile),
  ];
  const annotations = Object.entries(pod.metadata?.annotations ?? {})
    .filter(
      ([key, value]) => key.startsWith(APP_ARMOR_ANNOTATION) && isAppArmorAnnotationBad(value),
    )
    .map(([key, value]) => `${key}=${goQuote(value)}`);
  const who = [
    setters(isBad(own), containers),
    annotations.length === 0 ? '' : plural('annotation', annotations.length),
  ].filter((part) => part !== '');
  if (who.length === 0) return undefined;
  const values = [
    ...sorted(profiles.filter(isBad).map((p) => p?.type ?? '')),
    ...sorted(annotations),
  ];
  return {
    reason: plural('forbidden AppArmor profile', values.length),
    detail: `${who.join(' and ')} must not set AppArmor profile type to ${quoted(values)}`,
  };
};

const SECCOMP_POD_ANNOTATION = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER_ANNOTATION = 'container.seccomp.security.alpha.kubernetes.io/';

const isSeccompAnnotationBad = (value: string): boolean =>
  value !== 'runtime/default' && value !== 'docker/default' && !value.startsWith('localhost/');

/** Before there were fields for it. */
export const seccompAnnotations: CheckPod = (pod) => {
  const { annotations = {} } = pod.metadata ?? {};
  const keys = [
    SECCOMP_POD_ANNOTATION,
    ...containersOf(pod).map(({ name }) => SECCOMP_CONTAINER_ANNOTATION + name),
  ];
  const bad = keys.flatMap((key) => {
    const value = annotations[key];
    if (value === undefined || !isSeccompAnnotationBad(value)) return [];
    return [`${key}=${goQuote(value)}`];
  });
  if (bad.length === 0) return undefined;
  const values = sorted(bad);
  return {
    reason: 'seccompProfile',
    detail: `forbidden ${plural('annotation', values.length)} ${values.join(', ')}`,
  };
};

/** Profiles that are set must confine. */
export const seccompSet: CheckPod = (pod) => {
  const own = pod.spec.securityContext?.seccompProfile;
  const containers = containersThat(pod, ({ seccompProfile }) => isBad(seccompProfile));
  const who = setters(isBad(own), containers);
  if (who === '') return undefined;
  const profiles = [
    own,
    ...containersOf(pod).map(({ securityContext }) => securityContext?.seccompProfile),
  ];
  const values = sorted(profiles.filter(isBad).map((profile) => profile?.type ?? ''));
  return {
    reason: 'seccompProfile',
    detail: `${who} must not set securityContext.seccompProfile.type to ${quoted(values)}`,
  };
};

/** And every container must have one, or its pod. */
export const seccompRequired: CheckPod = (pod) => {
  const wrong = seccompSet(pod);
  if (wrong !== undefined) return wrong;
  if (pod.spec.securityContext?.seccompProfile !== undefined) return undefined;
  const bare = containersThat(pod, ({ seccompProfile }) => seccompProfile === undefined);
  if (bare.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `pod or ${named(bare)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
};

const SELINUX_TYPES_1_0 = ['', 'container_t', 'container_init_t', 'container_kvm_t'];
const SELINUX_TYPES_1_31 = [...SELINUX_TYPES_1_0, 'container_engine_t'];

function seLinuxOptions(types: readonly string[]): CheckPod {
  const hasType = ({ type = '' }: SELinuxOptions) => !types.includes(type);
  const isForbidden = (options: SELinuxOptions | undefined) =>
    options !== undefined &&
    (hasType(options) || (options.user ?? '') !== '' || (options.role ?? '') !== '');
  return (pod) => {
    const own = pod.spec.securityContext?.seLinuxOptions;
    const containers = containersThat(pod, ({ seLinuxOptions }) => isForbidden(seLinuxOptions));
    const who = setters(isForbidden(own), containers);
    if (who === '') return undefined;
    const all = [
      own,
      ...containersOf(pod).map(({ securityContext }) => securityContext?.seLinuxOptions),
    ].filter((options) => options !== undefined);
    const bad = sorted(all.filter(hasType).map(({ type = '' }) => type));
    const what = [
      ...(bad.length > 0 ? [named(bad, 'type')] : []),
      ...(all.some(({ user = '' }) => user !== '') ? ['user may not be set'] : []),
      ...(all.some(({ role = '' }) => role !== '') ? ['role may not be set'] : []),
    ];
    return {
      reason: 'seLinuxOptions',
      detail: `${who} set forbidden securityContext.seLinuxOptions: ${what.join('; ')}`,
    };
  };
}

export const seLinuxOptions1v0 = seLinuxOptions(SELINUX_TYPES_1_0);
export const seLinuxOptions1v31 = seLinuxOptions(SELINUX_TYPES_1_31);
