/**
 * Which containers a pod has, which runtime container is the current one of each, and whether an
 * exited one is started again (pod and container restart policy, restart rules).
 */
import type { Container as SpecContainer, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { Container, Sandbox } from '../../runtime/port.ts';
import type { AnyContainer } from './model.ts';

export type ContainerRole = 'init' | 'sidecar' | 'main' | 'ephemeral';

/** An init container that runs beside the others: restartPolicy Always. */
export function isSidecar(container: SpecContainer): boolean {
  return container.restartPolicy === 'Always';
}

export interface RoleContainer {
  readonly role: ContainerRole;
  readonly spec: AnyContainer;
}

/** Every container of the pod with its role, in the order of starting. */
export function containersOf(pod: Pod): RoleContainer[] {
  return [
    ...(pod.spec.initContainers ?? []).map((spec) => ({
      role: isSidecar(spec) ? ('sidecar' as const) : ('init' as const),
      spec,
    })),
    ...pod.spec.containers.map((spec) => ({ role: 'main' as const, spec })),
    ...(pod.spec.ephemeralContainers ?? []).map((spec) => ({ role: 'ephemeral' as const, spec })),
  ];
}

export function findContainer(pod: Pod, name: string): RoleContainer | undefined {
  return containersOf(pod).find((c) => c.spec.name === name);
}

/** Newest first: by sandbox-independent attempt, then by time. */
export function history(containers: readonly Container[], name: string): Container[] {
  return containers
    .filter((c) => c.name === name)
    .toSorted((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
}

export function latestSandbox(sandboxes: readonly Sandbox[]): Sandbox | undefined {
  return sandboxes.toSorted((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs)[0];
}

/** Exit code as the API shows it; a container that never ran has 128 as containerd reports it. */
export function exitCodeOf(container: Container): number {
  return container.exitCode ?? (container.startError === undefined ? 137 : 128);
}

/** Whether a container of this role is started again after `exitCode`. */
export function restartsAfter(pod: Pod, container: RoleContainer, exitCode: number): boolean {
  const { spec, role } = container;
  if (role === 'ephemeral') return false;
  if (role === 'sidecar') return true;
  for (const rule of spec.restartPolicyRules ?? []) {
    const codes = rule.exitCodes;
    if (rule.action !== 'Restart' || codes === undefined) continue;
    const listed = (codes.values ?? []).includes(exitCode);
    if (codes.operator === 'In' ? listed : !listed) return true;
  }
  const policy = spec.restartPolicy ?? pod.spec.restartPolicy ?? 'Always';
  if (role === 'init') return exitCode !== 0 && policy !== 'Never';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

/** `name_namespace(uid)`, as upstream writes pods in messages. */
export function podText(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
}
