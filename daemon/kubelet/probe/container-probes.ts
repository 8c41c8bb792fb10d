/**
 * The probes of one pod's running containers: a task per container and kind, started and stopped to
 * match what runs. Verdicts are read by the plan; every change of one calls back.
 */
import type { Clock } from '#base/clock.ts';
import type { ContainerStatus, Pod, Probe } from '#base/kube/api/core-v1.gen.ts';
import type { TaskScope } from '#base/task-scope.ts';
import type { Container } from '../../runtime/port.ts';
import { CONTAINER_ID_PREFIX } from '../lifecycle/container-status.ts';
import { findContainer } from '../lifecycle/containers.ts';
import type { AnyContainer, Notice, ProbeVerdict } from '../lifecycle/model.ts';
import type { Prober } from './prober.ts';
import {
  initialProbeState,
  onProbeResult,
  type ProbeKind,
  type ProbeState,
} from './probe-state.ts';

export interface ProbesIo {
  readonly prober: Prober;
  readonly clock: Clock;
  readonly tasks: TaskScope;
  readonly notice: (notice: Notice) => void;
  readonly changed: () => void;
}

interface Running {
  readonly kind: ProbeKind;
  readonly containerId: string;
  readonly stop: AbortController;
  state: ProbeState;
}

/** How often a probe that waits for the startup probe looks. */
const STARTUP_LOOK_MS = 200;

const TITLES: Readonly<Record<ProbeKind, string>> = {
  startup: 'Startup',
  liveness: 'Liveness',
  readiness: 'Readiness',
};

export interface ProbeScene {
  readonly pod: Pod;
  readonly podIP: string;
  readonly containers: readonly Container[];
  /** Liveness and startup no longer matter for a pod that ends. */
  readonly ending: boolean;
}

export class ContainerProbes {
  readonly #io: ProbesIo;
  readonly #running = new Map<string, Running>();
  #scene: ProbeScene | undefined;

  constructor(io: ProbesIo) {
    this.#io = io;
  }

  /** Starts and stops probes so that each running container has those it should have now. */
  sync(scene: ProbeScene): void {
    this.#scene = scene;
    const wanted = new Set<string>();
    for (const container of scene.containers) {
      if (container.state !== 'running') continue;
      const spec = findContainer(scene.pod, container.name)?.spec;
      if (spec === undefined) continue;
      for (const kind of ['startup', 'liveness', 'readiness'] as const) {
        const probe = probeOf(spec, kind);
        if (probe === undefined || (scene.ending && kind !== 'readiness')) continue;
        if (kind === 'startup' && knownStatus(scene.pod, container)?.started === true) continue;
        const key = `${kind}:${container.id}`;
        wanted.add(key);
        if (!this.#running.has(key)) this.#start(key, container, kind, probe);
      }
    }
    for (const [key, running] of this.#running) {
      if (wanted.has(key)) continue;
      this.#running.delete(key);
      running.stop.abort(new Error('probe no longer wanted'));
    }
  }

  verdict(pod: Pod, container: Container): ProbeVerdict {
    const spec = findContainer(pod, container.name)?.spec;
    const stateOf = (kind: ProbeKind) => this.#running.get(`${kind}:${container.id}`)?.state;
    const of = (kind: ProbeKind) => stateOf(kind)?.verdict;
    const startup = of('startup');
    const hasStartup = spec?.startupProbe !== undefined;
    const known = knownStatus(pod, container);
    const started =
      !hasStartup ||
      startup === 'success' ||
      known?.started === true ||
      this.#scene?.ending === true;
    const failed =
      startup === 'failure' ? 'startup' : of('liveness') === 'failure' ? 'liveness' : undefined;
    const ready = started && (spec?.readinessProbe === undefined || of('readiness') === 'success');
    return { started, ready, failed };
  }

  stop(): void {
    for (const running of this.#running.values()) running.stop.abort(new Error('pod has ended'));
    this.#running.clear();
  }

  #start(key: string, container: Container, kind: ProbeKind, probe: Probe): void {
    const stop = new AbortController();
    const known = this.#scene === undefined ? undefined : knownStatus(this.#scene.pod, container);
    const state = initialProbeState(kind, known?.ready === true);
    const running: Running = { kind, containerId: container.id, stop, state };
    this.#running.set(key, running);
    this.#io.tasks.spawn(`${kind} probe of ${container.name}`, async (signal) => {
      const either = AbortSignal.any([signal, stop.signal]);
      try {
        await this.#loop(running, { container, probe, signal: either });
      } catch (error) {
        if (!stop.signal.aborted) throw error;
      }
    });
  }

  async #loop(
    running: Running,
    { container, probe, signal }: { container: Container; probe: Probe; signal: AbortSignal },
  ): Promise<void> {
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const firstAtMs =
      (container.startedAtMs ?? container.createdAtMs) + (probe.initialDelaySeconds ?? 0) * 1000;
    const waitMs = firstAtMs - this.#io.clock.nowMs();
    if (waitMs > 0) await this.#io.clock.sleep(waitMs, signal);
    for (;;) {
      const startedAtMs = this.#io.clock.monotonicMs();
      if (this.#mayProbe(running)) {
        await this.#once(running, { container, probe, signal });
        const { verdict } = running.state;
        if (running.kind === 'startup' && verdict === 'success') return;
        // The container will be killed; a new one starts from scratch.
        if (running.kind !== 'readiness' && verdict === 'failure') return;
      } else {
        await this.#io.clock.sleep(Math.min(periodMs, STARTUP_LOOK_MS), signal);
        continue;
      }
      const spentMs = this.#io.clock.monotonicMs() - startedAtMs;
      await this.#io.clock.sleep(Math.max(periodMs - spentMs, 1), signal);
    }
  }

  /** Liveness and readiness wait for the startup probe. */
  #mayProbe(running: Running): boolean {
    if (running.kind === 'startup') return true;
    const startup = this.#running.get(`startup:${running.containerId}`);
    return startup === undefined || startup.state.verdict === 'success';
  }

  async #once(
    running: Running,
    { container, probe, signal }: { container: Container; probe: Probe; signal: AbortSignal },
  ): Promise<void> {
    const scene = this.#scene;
    const spec = scene === undefined ? undefined : findContainer(scene.pod, container.name)?.spec;
    if (scene === undefined || spec === undefined) return;
    const target = {
      container: spec,
      pod: scene.pod,
      podIP: scene.podIP,
      containerId: container.id,
    };
    const { result, output } = await this.#io.prober.run(probe, target, signal);
    signal.throwIfAborted();
    if (result === 'failure') {
      const message = `${TITLES[running.kind]} probe failed: ${output.slice(0, 1024)}`;
      this.#io.notice({ type: 'Warning', reason: 'Unhealthy', message, container: container.name });
    }
    const before = running.state.verdict;
    running.state = onProbeResult(running.state, result, probe);
    if (running.state.verdict !== before) this.#io.changed();
  }
}

/** What the API says of this very container. */
function knownStatus(pod: Pod, container: Container): ContainerStatus | undefined {
  const { status } = pod;
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
    (s) => s.containerID === CONTAINER_ID_PREFIX + container.id,
  );
}

function probeOf(spec: AnyContainer, kind: ProbeKind): Probe | undefined {
  if (kind === 'startup') return spec.startupProbe;
  return kind === 'liveness' ? spec.livenessProbe : spec.readinessProbe;
}
