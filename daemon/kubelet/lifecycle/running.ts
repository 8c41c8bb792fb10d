/**
 * Keeping a pod running: volumes and sandbox, then init containers and sidecars one after the other,
 * then the main containers in order; restarts after a crash; stops of containers that fail a probe or
 * whose image changed; removal of records that nobody needs any more.
 */
import type { Container, Sandbox } from '../../runtime/port.ts';
import { durationText, nextCrash } from './backoff.ts';
import {
  containersOf,
  exitCodeOf,
  findContainer,
  history,
  latestSandbox,
  podText,
  type RoleContainer,
  restartsAfter,
} from './containers.ts';
import type { Draft } from './draft.ts';
import { planResize } from './resize.ts';
import { beginStop, continueStop } from './stop.ts';

/** After this long a failed pull is shown as a back-off. */
const PULL_FAILURE_SHOWN_MS = 1_000;
/** Dead instances of a container: upstream's maximum-dead-containers-per-container. */
const DEAD_KEPT = 1;

export function planRun(draft: Draft): void {
  planResize(draft);
  stopUnwanted(draft);
  const sandbox = planSandbox(draft);
  if (!draft.memory.volumesMounted && draft.due(draft.memory.volumes)) {
    draft.begin({ kind: 'mountVolumes' });
  }
  const wanted = startable(draft, sandbox);
  for (const container of wanted) planImage(draft, container);
  if (sandbox !== undefined && draft.memory.volumesMounted) planStarts(draft, sandbox, wanted);
  planRecords(draft, sandbox);
}

/** The ready sandbox, or undefined while there is none. */
function planSandbox(draft: Draft): Sandbox | undefined {
  const { view, memory } = draft;
  const latest = latestSandbox(view.sandboxes);
  if (latest?.state === 'ready') {
    if (memory.sandbox !== undefined) draft.remember({ sandbox: undefined });
    return latest;
  }
  const orphans = view.containers.filter((c) => c.state !== 'exited');
  if (latest !== undefined && orphans.length > 0) {
    draft.begin({ kind: 'stopSandbox', sandboxId: latest.id });
    return undefined;
  }
  const blocked = memory.volumes !== undefined && !memory.volumesMounted;
  if (blocked || draft.runningKind('runSandbox') || !draft.due(memory.sandbox)) return undefined;
  if (latest !== undefined && memory.sandbox === undefined) {
    draft.notice({
      type: 'Normal',
      reason: 'SandboxChanged',
      message: 'Pod sandbox changed, it will be killed and re-created.',
    });
  }
  draft.begin({ kind: 'runSandbox', attempt: latest === undefined ? 0 : latest.attempt + 1 });
  return undefined;
}

/** Containers that should be started now or as soon as image, sandbox and volumes are there. */
function startable(draft: Draft, sandbox: Sandbox | undefined): RoleContainer[] {
  const { view } = draft;
  const all = containersOf(view.pod);
  const here = (name: string) =>
    history(view.containers, name).find((c) => c.sandboxId === sandbox?.id);
  const wanted: RoleContainer[] = [];
  const initialised = all.some((c) => c.role === 'main' && here(c.spec.name) !== undefined);
  let blocked = false;
  for (const container of all) {
    const current = here(container.spec.name);
    if (container.role === 'ephemeral') {
      if (history(view.containers, container.spec.name).length === 0) wanted.push(container);
      continue;
    }
    if (blocked) continue;
    if (container.role === 'init') {
      if (initialised) continue;
      if (current?.state === 'exited' && exitCodeOf(current) === 0) continue;
      blocked = true;
    } else if (container.role === 'sidecar' && !initialised) {
      blocked = current?.state !== 'running' || !view.probe(current.id).started;
    }
    if (needsStart(draft, container, current)) wanted.push(container);
  }
  return wanted;
}

function needsStart(
  draft: Draft,
  container: RoleContainer,
  current: Container | undefined,
): boolean {
  const { view } = draft;
  const name = container.spec.name;
  if (current === undefined) {
    const last = history(view.containers, name)[0];
    if (last === undefined || container.role === 'init') return true;
    return last.state === 'exited' && restartsAfter(view.pod, container, exitCodeOf(last));
  }
  if (current.state === 'created') return true; // Left over: startContainer removes it first.
  if (current.state === 'running') return false;
  if (!restartsAfter(view.pod, container, exitCodeOf(current))) return false;
  return crashOver(draft, container, current);
}

/** Notes the wait that `ended` brings, and says whether it is over. */
function crashOver(draft: Draft, container: RoleContainer, ended: Container): boolean {
  const name = container.spec.name;
  const known = draft.container(name).crash;
  const finishedAtMs = ended.finishedAtMs ?? ended.createdAtMs;
  const crash =
    known?.containerId === ended.id ? known : nextCrash(known, { id: ended.id, finishedAtMs });
  if (crash !== known) {
    draft.rememberContainer(name, { crash });
    if (crash.restartAtMs > draft.view.nowMs) {
      const pod = podText(draft.view.pod);
      draft.notice({
        type: 'Warning',
        reason: 'BackOff',
        message: `Back-off restarting failed container ${name} in pod ${pod}`,
        container: name,
      });
    }
  }
  return draft.due({ retryAtMs: crash.restartAtMs });
}

/** What a container in back-off shows as its waiting message. */
export function crashMessage(delayMs: number, container: string, pod: string): string {
  return `back-off ${durationText(delayMs)} restarting failed container=${container} pod=${pod}`;
}

function planImage(draft: Draft, container: RoleContainer): void {
  const name = container.spec.name;
  const { imageId, pull } = draft.container(name);
  if (imageId !== undefined || draft.running(`startContainer:${name}`) !== undefined) return;
  const image = container.spec.image ?? '';
  if (pull?.reason === 'ErrImagePull') {
    const shownUntilMs = pull.failedAtMs + PULL_FAILURE_SHOWN_MS;
    if (draft.due({ retryAtMs: shownUntilMs })) {
      const message = `Back-off pulling image ${JSON.stringify(image)}`;
      draft.rememberContainer(name, {
        pull: {
          ...pull,
          reason: 'ImagePullBackOff',
          message: `${message}: ErrImagePull: ${pull.message}`,
        },
      });
      draft.notice({ type: 'Normal', reason: 'BackOff', message, container: name });
      const failed = { reason: 'Failed', message: 'Error: ImagePullBackOff' };
      draft.notice({ type: 'Warning', ...failed, container: name });
    }
  }
  if (draft.due(draft.container(name).start) && draft.due(pull)) {
    draft.begin({ kind: 'ensureImage', container: name, image });
  }
}

/** Main containers start one after the other, because a postStart hook may hold up the next. */
function planStarts(draft: Draft, sandbox: Sandbox, wanted: readonly RoleContainer[]): void {
  const { view } = draft;
  let held = false;
  for (const container of containersOf(view.pod)) {
    const name = container.spec.name;
    const serial = container.role !== 'ephemeral';
    if (draft.running(`startContainer:${name}`) !== undefined) {
      held ||= serial;
      continue;
    }
    if (!wanted.some((w) => w.spec.name === name)) continue;
    const { imageId, start } = draft.container(name);
    if (imageId === undefined) {
      // A pull that runs holds its place; one that waits to be tried again does not.
      held ||= serial && draft.container(name).pull === undefined && start === undefined;
      continue;
    }
    if ((serial && held) || !draft.due(start)) continue;
    const last = history(view.containers, name)[0];
    const attempt = last === undefined ? restartCountOf(draft, name) : nextAttempt(last);
    draft.begin({
      kind: 'startContainer',
      container: name,
      attempt,
      sandboxId: sandbox.id,
      imageId,
    });
    held ||= serial;
  }
}

const nextAttempt = (last: Container) =>
  last.state === 'created' ? last.attempt : last.attempt + 1;

/** Restarts so far when the runtime has no record left: one more than the API knows, or none. */
function restartCountOf(draft: Draft, name: string): number {
  const { status } = draft.view.pod;
  const known = [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
  ].find((s) => s.name === name);
  const ran = known?.state?.running ?? known?.state?.terminated ?? known?.lastState?.terminated;
  return known === undefined || ran === undefined ? 0 : known.restartCount + 1;
}

/** Stops running containers that failed a probe or whose definition changed. */
function stopUnwanted(draft: Draft): void {
  const { view } = draft;
  for (const container of view.containers) {
    if (container.state !== 'running') continue;
    const reason = unwantedReason(draft, container);
    if (reason !== undefined) {
      beginStop(draft, container, {
        graceMs: reason.graceSeconds * 1000,
        message: `Container ${container.name} ${reason.text}, will be restarted`,
      });
    }
    continueStop(draft, container, true);
  }
}

function unwantedReason(
  draft: Draft,
  container: Container,
): { text: string; graceSeconds: number } | undefined {
  const { view, memory } = draft;
  if (memory.stops[container.id] !== undefined) return undefined;
  const found = findContainer(view.pod, container.name);
  if (found === undefined) return undefined;
  const podGrace = view.pod.spec.terminationGracePeriodSeconds ?? 30;
  const { failed } = view.probe(container.id);
  if (failed !== undefined) {
    const probe = failed === 'liveness' ? found.spec.livenessProbe : found.spec.startupProbe;
    const graceSeconds = probe?.terminationGracePeriodSeconds ?? podGrace;
    return { text: `failed ${failed} probe`, graceSeconds };
  }
  if (found.role !== 'ephemeral' && found.spec.image !== container.image) {
    return { text: 'definition changed', graceSeconds: podGrace };
  }
  return undefined;
}

/** Removes records of older runs, and sandboxes that hold none that is kept. */
function planRecords(draft: Draft, sandbox: Sandbox | undefined): void {
  const { view } = draft;
  if (sandbox === undefined) return;
  const kept = new Set<string>();
  for (const { spec } of containersOf(view.pod)) {
    const all = history(view.containers, spec.name);
    const dead = all.filter((c) => c.state === 'exited');
    for (const { id } of all.filter((c) => !dead.slice(DEAD_KEPT).includes(c))) kept.add(id);
  }
  const starting = draft.runningKind('startContainer');
  for (const container of view.containers) {
    if (kept.has(container.id) || starting) continue;
    draft.begin({ kind: 'removeContainer', containerId: container.id });
  }
  for (const old of view.sandboxes) {
    if (old.id === sandbox.id) continue;
    if (view.containers.some((c) => c.sandboxId === old.id && kept.has(c.id))) {
      if (old.state === 'ready') draft.begin({ kind: 'stopSandbox', sandboxId: old.id });
      continue;
    }
    draft.begin({ kind: 'removeSandbox', sandboxId: old.id });
  }
}
