/**
 * Executes the operations of one pod's plan. Each kind has one method; a failure becomes an Outcome
 * with the reason that the status shows, and the events that upstream writes for it.
 */
import { mkdir, rm } from 'node:fs/promises';
import { assert } from '#base/assert.ts';
import { errorText } from '#base/errors.ts';
import { pods } from '#base/kube/api/resources.gen.ts';
import type { Pod, Secret } from '#base/kube/api/core-v1.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Container, Sandbox } from '../../runtime/port.ts';
import type { PodStatusWriter } from '../api/status-writer.ts';
import { ConfigError } from '../container/config-error.ts';
import type { ReferencedObjects } from '../container/env.ts';
import type { FieldFacts } from '../container/fields.ts';
import { amountOf, containerResources, podCgroup } from '../container/resources.ts';
import { findContainer, history } from '../lifecycle/containers.ts';
import type { AnyContainer, Notice, Operation, Outcome } from '../lifecycle/model.ts';
import type { ProbeTarget } from '../probe/prober.ts';
import type { PodPaths } from '../volume/paths.ts';
import type { PodVolumes } from '../volume/pod-volumes.ts';
import { containerSpec } from './container-spec.ts';
import { runHook } from './hooks.ts';
import type { PodIo } from './io.ts';
import { sandboxSpec, writeSandboxFiles } from './sandbox-spec.ts';

/** The pod as it is now; operations take long, and the pod may change meanwhile. */
export interface PodScene {
  readonly pod: Pod;
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
  readonly facts: FieldFacts;
}

export interface OperationsIo extends PodIo {
  readonly paths: PodPaths;
  readonly volumes: PodVolumes;
  readonly podObjects: ReferencedObjects;
  readonly writer: PodStatusWriter;
  readonly scene: () => PodScene;
  readonly notice: (notice: Notice) => void;
}

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>;
type Executors = {
  readonly [K in Operation['kind']]: (op: Of<K>, signal: AbortSignal) => Promise<Outcome>;
};

const OK: Outcome = { ok: true };

export class PodOperations {
  readonly #io: OperationsIo;
  readonly #executors: Executors;

  constructor(io: OperationsIo) {
    this.#io = io;
    this.#executors = {
      mountVolumes: (_op, signal) => this.#mountVolumes(signal),
      unmountVolumes: () => this.#unmountVolumes(),
      runSandbox: (op, signal) => this.#runSandbox(op, signal),
      stopSandbox: (op, signal) =>
        this.#io.runtime.stopSandbox(op.sandboxId, signal).then(() => OK),
      removeSandbox: (op, signal) =>
        this.#io.runtime.removeSandbox(op.sandboxId, signal).then(() => OK),
      ensureImage: (op, signal) => this.#ensureImage(op, signal),
      startContainer: (op, signal) => this.#startContainer(op, signal),
      preStop: (op, signal) => this.#preStop(op, signal),
      stopContainer: (op, signal) => this.#stopContainer(op, signal),
      resizePod: (op, signal) => this.#resizePod(op, signal),
      removeContainer: (op, signal) =>
        this.#io.runtime.removeContainer(op.containerId, signal).then(() => OK),
      deletePod: (_op, signal) => this.#deletePod(signal),
    };
  }

  /** Never throws: cancellation and failure are outcomes. */
  async execute(op: Operation, signal: AbortSignal): Promise<Outcome> {
    try {
      // The table gives each kind its own executor; TypeScript cannot follow that through a union.
      const run = this.#executors[op.kind] as (o: Operation, s: AbortSignal) => Promise<Outcome>;
      return await run(op, signal);
    } catch (error) {
      if (signal.aborted) return { ok: false, reason: 'Cancelled', message: '', cancelled: true };
      const { name, namespace } = this.#io.scene().pod.metadata;
      const pod = `${namespace}/${name}`;
      this.#io.log.warn('operation failed', { pod, operation: op.kind, error: errorText(error) });
      return { ok: false, reason: 'Failed', message: errorText(error) };
    }
  }

  async #mountVolumes(signal: AbortSignal): Promise<Outcome> {
    const { pod } = this.#io.scene();
    await mkdir(this.#io.paths.directory, { recursive: true, mode: 0o750 });
    try {
      await this.#io.volumes.mountAll(pod, signal);
      return OK;
    } catch (error) {
      signal.throwIfAborted();
      const message = errorText(error);
      this.#io.notice({ type: 'Warning', reason: 'FailedMount', message });
      return { ok: false, reason: 'FailedMount', message };
    }
  }

  async #unmountVolumes(): Promise<Outcome> {
    await this.#io.volumes.unmountAll();
    return OK;
  }

  async #runSandbox(op: Of<'runSandbox'>, signal: AbortSignal): Promise<Outcome> {
    const { pod } = this.#io.scene();
    const { paths, settings } = this.#io;
    await mkdir(paths.logDirectory, { recursive: true, mode: 0o755 });
    try {
      await this.#io.runtime.runSandbox(
        sandboxSpec(pod, { attempt: op.attempt, paths, settings }),
        signal,
      );
      return OK;
    } catch (error) {
      signal.throwIfAborted();
      const message = errorText(error);
      this.#io.notice({
        type: 'Warning',
        reason: 'FailedCreatePodSandBox',
        message: `Failed to create pod sandbox: ${message}`,
      });
      return { ok: false, reason: 'CreatePodSandboxError', message };
    }
  }

  async #ensureImage(op: Of<'ensureImage'>, signal: AbortSignal): Promise<Outcome> {
    const { pod } = this.#io.scene();
    const secrets: Secret[] = [];
    const missing: string[] = [];
    for (const { name = '' } of pod.spec.imagePullSecrets ?? []) {
      const secret = await this.#io.podObjects.secret(name, signal);
      if (secret === undefined) missing.push(name);
      else secrets.push(secret);
    }
    if (missing.length > 0) {
      const which = `Unable to retrieve some image pull secrets (${missing.join(', ')})`;
      const message = `${which}; attempting to pull the image may not succeed.`;
      this.#io.notice({ type: 'Warning', reason: 'FailedToRetrieveImagePullSecret', message });
    }
    const policy = this.#container(op.container).imagePullPolicy ?? 'IfNotPresent';
    const { image, container } = op;
    const { notice } = this.#io;
    return this.#io.puller.ensure({ container, image, policy, secrets, notice }, signal);
  }

  #container(name: string): AnyContainer {
    const found = findContainer(this.#io.scene().pod, name);
    assert(found !== undefined, `pod has no container ${name}`);
    return found.spec;
  }

  async #startContainer(op: Of<'startContainer'>, signal: AbortSignal): Promise<Outcome> {
    const container = this.#container(op.container);
    await this.#removeLeftover(op, signal);
    const started = await this.#io.volumes.whileStill(() => this.#start(op, container, signal));
    return typeof started === 'string' ? this.#postStart(container, started, signal) : started;
  }

  /** Gives the id of the container that runs, or why none does. */
  async #start(
    op: Of<'startContainer'>,
    container: AnyContainer,
    signal: AbortSignal,
  ): Promise<string | Outcome> {
    let containerId: string;
    try {
      const spec = await this.#containerSpec(op, this.#io.scene(), signal);
      containerId = (await this.#io.runtime.createContainer(spec, signal)).id;
    } catch (error) {
      signal.throwIfAborted();
      const config = error instanceof ConfigError;
      const reason = config ? 'CreateContainerConfigError' : 'CreateContainerError';
      return this.#failed(container, reason, errorText(error));
    }
    this.#tell(container, 'Normal', 'Created', 'Container created');
    try {
      await this.#io.runtime.startContainer(containerId, signal);
    } catch (error) {
      signal.throwIfAborted();
      return this.#failed(container, 'RunContainerError', errorText(error));
    }
    this.#tell(container, 'Normal', 'Started', 'Container started');
    return containerId;
  }

  #failed(container: AnyContainer, reason: string, message: string): Outcome {
    this.#tell(container, 'Warning', 'Failed', `Error: ${message}`);
    return { ok: false, reason, message };
  }

  #tell(container: AnyContainer, type: Notice['type'], reason: string, message: string): void {
    this.#io.notice({ type, reason, message, container: container.name });
  }

  /** A container that an agent before this one created and did not come to start. */
  async #removeLeftover(op: Of<'startContainer'>, signal: AbortSignal): Promise<void> {
    const [last] = history(this.#io.scene().containers, op.container);
    if (last?.state === 'created') await this.#io.runtime.removeContainer(last.id, signal);
  }

  async #containerSpec(op: Of<'startContainer'>, scene: PodScene, signal: AbortSignal) {
    const { pod, facts } = scene;
    const { paths, settings } = this.#io;
    const sandbox = scene.sandboxes.find((s) => s.id === op.sandboxId);
    assert(sandbox !== undefined, `sandbox ${op.sandboxId} of a container to start is gone`);
    const image = this.#io.images.find(op.imageId);
    if (image === undefined) throw new Error(`image ${op.imageId} has gone`);
    await writeSandboxFiles(pod, { podIPs: facts.podIPs, paths, settings });
    const container = this.#container(op.container);
    return containerSpec(
      {
        io: this.#io,
        pod,
        container,
        attempt: op.attempt,
        sandbox,
        image,
        volumes: this.#io.volumes,
        paths,
        objects: this.#io.podObjects,
        facts,
        pidTargetContainerId: this.#pidTarget(container, scene),
      },
      signal,
    );
  }

  #pidTarget(container: AnyContainer, scene: PodScene): string | undefined {
    if (!('targetContainerName' in container)) return undefined;
    const target = container.targetContainerName;
    if (target === undefined || target === '') return undefined;
    const running = history(scene.containers, target).find((c) => c.state === 'running');
    if (running === undefined) throw new ConfigError(`unable to find target container ${target}`);
    return running.id;
  }

  async #postStart(
    container: AnyContainer,
    containerId: string,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const hook = container.lifecycle?.postStart;
    if (hook === undefined) return OK;
    const { pod } = this.#io.scene();
    try {
      await runHook(this.#io, hook, { target: this.#target(container, containerId), signal });
      return OK;
    } catch (error) {
      signal.throwIfAborted();
      this.#tell(container, 'Warning', 'FailedPostStartHook', 'PostStartHook failed');
      this.#tell(container, 'Normal', 'Killing', 'FailedPostStartHook');
      const graceSeconds = pod.spec.terminationGracePeriodSeconds ?? 30;
      await this.#io.runtime.stopContainer(containerId, graceSeconds, signal);
      return { ok: false, reason: 'PostStartHookError', message: errorText(error) };
    }
  }

  #target(container: AnyContainer, containerId: string): ProbeTarget {
    const { pod, facts } = this.#io.scene();
    return { container, pod, podIP: facts.podIPs[0] ?? '', containerId };
  }

  async #preStop(op: Of<'preStop'>, signal: AbortSignal): Promise<Outcome> {
    const container = this.#container(op.container);
    const hook = container.lifecycle?.preStop;
    if (hook === undefined) return OK;
    try {
      await runHook(this.#io, hook, { target: this.#target(container, op.containerId), signal });
    } catch (error) {
      signal.throwIfAborted();
      this.#tell(container, 'Warning', 'FailedPreStopHook', 'PreStopHook failed');
      this.#io.log.info('preStop hook failed', { error: errorText(error) });
    }
    return OK;
  }

  async #stopContainer(op: Of<'stopContainer'>, signal: AbortSignal): Promise<Outcome> {
    const graceMs = Math.max(0, op.deadlineMs - this.#io.clock.nowMs());
    await this.#io.runtime.stopContainer(op.containerId, graceMs / 1000, signal);
    return OK;
  }

  /** The pod's own limits make room first and close in last: no child may exceed its parent. */
  async #resizePod(op: Of<'resizePod'>, signal: AbortSignal): Promise<Outcome> {
    const { pod } = this.#io.scene();
    const { runtime, node } = this.#io;
    for (const { name, containerId, resources } of op.containers) {
      const limit = amountOf(resources.limits, 'memory');
      const used = runtime.stats(containerId)?.memoryWorkingSetBytes ?? 0;
      if (limit === 0 || used <= limit) continue;
      const message = `attempting to set container ${JSON.stringify(name)} memory limit (${limit}) below current usage (${used})`;
      return { ok: false, reason: 'ResizeError', message };
    }
    const { cpuShares } = podCgroup(pod);
    await runtime.updateSandbox(op.sandboxId, { cpuShares }, signal);
    for (const { name, containerId } of op.containers) {
      const limits = containerResources(pod, this.#container(name), node.memoryBytes);
      await runtime.updateResources(containerId, limits, signal);
    }
    await runtime.updateSandbox(op.sandboxId, podCgroup(pod), signal);
    return OK;
  }

  /** The object goes once the server has its last status; another pod of that name is left alone. */
  async #deletePod(signal: AbortSignal): Promise<Outcome> {
    await this.#io.writer.flush();
    const { name, namespace, uid } = this.#io.scene().pod.metadata;
    try {
      await this.#io.client.delete(
        pods,
        { name, namespace },
        { gracePeriodSeconds: 0, preconditions: { uid } },
        signal,
      );
    } catch (error) {
      if (!isKubeError(error, 'NotFound', 'Conflict')) throw error;
    }
    return OK;
  }

  /** After the pod has gone: logs were kept until then. */
  async removeLogs(): Promise<void> {
    await rm(this.#io.paths.logDirectory, { recursive: true, force: true });
  }
}
