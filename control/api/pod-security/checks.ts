/**
 * What checks of the Pod Security Standards are made of: a violation's words, who sets what, and the
 * containers of a pod in upstream's order. Pure; facts and texts of k8s.io/pod-security-admission
 * v0.36.3 policy/.
 */
import type { Container, PodSpec, SecurityContext } from '#base/kube/api/core-v1.gen.ts';

/** A pod, or a template of pods. */
export interface PodLike {
  readonly metadata?:
    | { readonly annotations?: Readonly<Record<string, string>> | undefined }
    | undefined;
  readonly spec: PodSpec;
}

export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

/** The violation of one rule; undefined when the pod keeps it. */
export type CheckPod = (pod: PodLike) => Violation | undefined;

/** Every container, ephemeral ones as far as they are alike. */
export function containersOf({ spec }: PodLike): Container[] {
  const { initContainers = [], containers, ephemeralContainers = [] } = spec;
  return [...initContainers, ...containers, ...ephemeralContainers];
}

/** Names of the containers that `isBad` holds for. */
export function containersThat(
  pod: PodLike,
  isBad: (context: SecurityContext, container: Container) => boolean,
): string[] {
  return containersOf(pod)
    .filter((container) => isBad(container.securityContext ?? {}, container))
    .map(({ name }) => name);
}

export const plural = (singular: string, count: number): string =>
  count === 1 ? singular : `${singular}s`;

export const quoted = (items: Iterable<string>): string =>
  [...items].map((item) => `"${item}"`).join(', ');

/** `containers "a", "b"` */
export const named = (names: readonly string[], noun = 'container'): string =>
  `${plural(noun, names.length)} ${quoted(names)}`;

/** `pod and container "a"`; empty when nobody does. */
export function setters(isPod: boolean, containers: readonly string[]): string {
  return [...(isPod ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : [])].join(
    ' and ',
  );
}

/** Distinct values in the order of their code units, as Go sorts. */
export const sorted = (values: Iterable<string>): string[] => [...new Set(values)].sort();

export const isWindows = ({ spec }: PodLike): boolean => spec.os?.name === 'windows';

/** In a user namespace root is nobody on the host. */
export const hasUserNamespace = ({ spec }: PodLike): boolean => spec.hostUsers === false;

/** The check, which does not concern pods that `isExempt` holds for. */
export const unless =
  (isExempt: (pod: PodLike) => boolean, check: CheckPod): CheckPod =>
  (pod) =>
    isExempt(pod) ? undefined : check(pod);
