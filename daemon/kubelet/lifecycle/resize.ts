/**
 * Resizing a running pod in place (KEP-1287): containers whose resources in the spec differ from what
 * they have are given the new ones, or restarted where their resizePolicy says so. What the node
 * cannot give is shown as PodResizePending, what is under way as PodResizeInProgress.
 */
import type { ContainerStatus, Pod, ResourceRequirements } from '#base/kube/api/core-v1.gen.ts';
import type { Container } from '../../runtime/port.ts';
import { containersOf, findContainer, history, latestSandbox } from './containers.ts';
import type { Draft } from './draft.ts';
import type { AnyContainer, PodMemory, PodView, ResizedContainer } from './model.ts';
import { beginStop } from './stop.ts';

/** The resources of a spec, without what cannot be resized. */
export function resourcesOf(spec: AnyContainer): ResourceRequirements {
  const { requests, limits } = spec.resources ?? {};
  return {
    ...(limits === undefined ? {} : { limits }),
    ...(requests === undefined ? {} : { requests }),
  };
}

type Amounts = Readonly<Record<string, string>> | undefined;

function sameAmounts(a: Amounts = {}, b: Amounts = {}): boolean {
  return [...Object.keys(a), ...Object.keys(b)].every((name) => a[name] === b[name]);
}

/** The API server writes quantities in one way, so equal amounts are equal texts. */
function sameResources(a: ResourceRequirements, b: ResourceRequirements): boolean {
  return sameAmounts(a.requests, b.requests) && sameAmounts(a.limits, b.limits);
}

/** What a running container has: as remembered, as the API says of it, or as it was made. */
export function appliedResources(
  pod: Pod,
  container: Container,
  memory: PodMemory,
): ResourceRequirements {
  const known = memory.applied[container.id] ?? statusOf(pod, container)?.resources;
  if (known !== undefined) return known;
  const spec = findContainer(pod, container.name)?.spec;
  return spec === undefined ? {} : resourcesOf(spec);
}

function statusOf(pod: Pod, container: Container): ContainerStatus | undefined {
  const { status } = pod;
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
    (s) => s.containerID?.endsWith(`//${container.id}`) === true,
  );
}

/** Running containers that do not have what their spec says. */
export function resizeWanted(view: PodView, memory: PodMemory): ResizedContainer[] {
  const wanted: ResizedContainer[] = [];
  for (const { spec, role } of containersOf(view.pod)) {
    if (role !== 'main' && role !== 'sidecar') continue;
    const [current] = history(view.containers, spec.name);
    if (current?.state !== 'running') continue;
    const resources = resourcesOf(spec);
    if (sameResources(appliedResources(view.pod, current, memory), resources)) continue;
    wanted.push({ name: spec.name, containerId: current.id, resources });
  }
  return wanted;
}

/** Before stops are carried on: a restart that a resize asks for is one. */
export function planResize(draft: Draft): void {
  const sandbox = latestSandbox(draft.view.sandboxes);
  if (sandbox?.state !== 'ready') return;
  rememberNew(draft);
  const wanted = resizeWanted(draft.view, draft.memory);
  if (wanted.length === 0 || draft.view.resizeRefusal !== undefined) return;
  const inPlace = wanted.filter((resized) => !restartIfAsked(draft, resized));
  if (inPlace.length === 0 || !draft.due(draft.memory.resize)) return;
  draft.begin({ kind: 'resizePod', sandboxId: sandbox.id, containers: inPlace });
}

/** A container seen for the first time has what its spec said; forgets those that are gone. */
function rememberNew(draft: Draft): void {
  const { view, memory } = draft;
  const running = view.containers.filter((c) => c.state === 'running');
  const known = Object.keys(memory.applied);
  if (running.length === known.length && running.every((c) => known.includes(c.id))) return;
  const applied = running.map((c) => [c.id, appliedResources(view.pod, c, memory)]);
  draft.remember({ applied: Object.fromEntries(applied) });
}

function restartIfAsked(draft: Draft, resized: ResizedContainer): boolean {
  const { view, memory } = draft;
  const found = findContainer(view.pod, resized.name);
  const container = view.containers.find((c) => c.id === resized.containerId);
  if (found === undefined || container === undefined) return false;
  const has = appliedResources(view.pod, container, memory);
  const restart = (found.spec.resizePolicy ?? []).some(
    ({ resourceName, restartPolicy }) =>
      restartPolicy === 'RestartContainer' &&
      (has.requests?.[resourceName] !== resized.resources.requests?.[resourceName] ||
        has.limits?.[resourceName] !== resized.resources.limits?.[resourceName]),
  );
  if (!restart) return false;
  if (memory.stops[container.id] === undefined) {
    beginStop(draft, container, {
      graceMs: (view.pod.spec.terminationGracePeriodSeconds ?? 30) * 1000,
      message: `Container ${container.name} resize requires restart`,
    });
  }
  return true;
}
