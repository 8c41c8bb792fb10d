/** All containers of a pod with their field paths, in the order in which upstream visits them. */
import type { Container, EphemeralContainer, PodSpec } from '#base/kube/api/core-v1.gen.ts';

export interface ContainerAt {
  readonly container: Container | EphemeralContainer;
  readonly path: string;
}

export function allContainers(spec: PodSpec, at: string): ContainerAt[] {
  return (['initContainers', 'containers', 'ephemeralContainers'] as const).flatMap((list) =>
    (spec[list] ?? []).map((container, i) => ({ container, path: `${at}.${list}[${i}]` })),
  );
}
