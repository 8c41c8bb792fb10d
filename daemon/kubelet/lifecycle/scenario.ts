/**
 * A pod in a box, driven by text: every `> command` changes the world, and what follows it is what
 * the plan then does. Operations end by themselves unless a `fail` or `hold` was asked for. Used by
 * scenario.test.ts; the texts are in testdata/.
 *
 * | command                   | effect                                                |
 * |---------------------------|-------------------------------------------------------|
 * | pod {json spec}           | the pod, with phase Pending and start time 0           |
 * | run                       | plan and execute until nothing changes                |
 * | tick SECONDS              | time passes, then run                                 |
 * | exit NAME CODE            | the newest container NAME ends, then run              |
 * | probe NAME WHAT           | WHAT: started, ready, unready, liveness, startup       |
 * | fail KEY REASON TEXT      | the next operation KEY fails                          |
 * | hold KEY / release KEY    | KEY runs until released                               |
 * | delete GRACE / removed    | deletion with grace; the object has gone              |
 * | lose                      | the sandbox dies with all containers (reboot)         |
 * | image NAME IMAGE          | the user changes the image                            |
 * | resources NAME {json}     | the user changes the resources                        |
 * | nodeEnd SECONDS           | the node goes down, with so much grace for the pod    |
 * | verdict REASON TEXT       | the node fails the pod, by no doing of the pod        |
 * | forget                    | the agent restarts: memory is lost                    |
 * | status                    | prints phase, conditions, containers                  |
 */
import type { Pod, PodSpec, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import type { Container, Sandbox } from '../../runtime/port.ts';
import { completeOperation, hasEnded, planPod } from './lifecycle.ts';
import {
  EMPTY_MEMORY,
  type Operation,
  operationKey,
  type Outcome,
  type ProbeVerdict,
} from './model.ts';
import { podStatus } from './status.ts';

/** Commands after which nothing is planned. */
const QUIET: ReadonlySet<string> = new Set(['status', 'hold', 'fail', 'pod', 'verdict']);

export class PodBox {
  pod: Pod | undefined;
  memory = EMPTY_MEMORY;
  nowMs = 0;
  sandboxes: Sandbox[] = [];
  containers: Container[] = [];
  removed = false;
  readonly probes = new Map<string, ProbeVerdict>();
  readonly failures = new Map<string, Outcome>();
  readonly held = new Set<string>();
  inFlight: Operation[] = [];
  #next = 1;
  #out: string[] = [];

  /** Executes one command and returns what happened. */
  command(line: string): string[] {
    this.#out = [];
    const [word = '', ...args] = line.split(' ');
    this.#world(word, args);
    if (!QUIET.has(word)) this.#settle();
    return this.#out;
  }

  #world(word: string, args: readonly string[]): void {
    const [first = '', second = ''] = args;
    if (word === 'pod')
      this.pod = newPod(JSON.parse(args.join(' ')) as PodSpec); // Test input.
    else if (word === 'tick') this.nowMs += Number(first) * 1000;
    else if (word === 'exit') this.#exit(first, Number(second));
    else if (word === 'probe') this.#probe(first, second);
    else if (word === 'fail') {
      this.failures.set(first, { ok: false, reason: second, message: args.slice(2).join(' ') });
    } else if (word === 'hold') this.held.add(first);
    else if (word === 'release') this.#release(first);
    else if (word === 'delete') this.#delete(Number(first));
    else if (word === 'removed') this.removed = true;
    else if (word === 'lose') this.#lose();
    else if (word === 'image') this.#image(first, second);
    else if (word === 'resources') this.#resources(first, args.slice(1).join(' '));
    else if (word === 'nodeEnd') {
      this.memory = { ...this.memory, nodeEnd: { graceMsMax: Number(first) * 1000 } };
    } else if (word === 'verdict') {
      const message = args.slice(1).join(' ');
      this.memory = { ...this.memory, verdict: { reason: first, message, disruption: true } };
    } else if (word === 'forget') this.memory = EMPTY_MEMORY;
    else if (word === 'status') this.#printStatus();
    else if (word !== 'run') throw new Error(`unknown command ${word}`);
  }

  #view() {
    if (this.pod === undefined) throw new Error('no pod');
    return {
      pod: this.pod,
      removed: this.removed,
      sandboxes: this.sandboxes,
      containers: this.containers,
      inFlight: this.inFlight,
      nowMs: this.nowMs,
      probe: (id: string) => {
        const name = this.containers.find((c) => c.id === id)?.name ?? '';
        return this.probes.get(name) ?? { started: true, ready: true, failed: undefined };
      },
    };
  }

  #settle(): void {
    for (let round = 0; round < 50; round++) {
      const plan = planPod(this.#view(), this.memory);
      this.memory = plan.memory;
      for (const key of plan.cancel) this.#cancel(key);
      for (const n of plan.notices) this.#out.push(`event ${n.type} ${n.reason}: ${n.message}`);
      for (const op of plan.start) this.#begin(op);
      if (plan.done) this.#out.push('done');
      if (plan.done || (plan.start.length === 0 && plan.cancel.length === 0)) {
        if (plan.wakeAtMs !== undefined) this.#out.push(`wake at ${plan.wakeAtMs / 1000}s`);
        return;
      }
    }
    throw new Error('does not settle');
  }

  #begin(op: Operation): void {
    const key = operationKey(op);
    const detail =
      'deadlineMs' in op
        ? ` by ${op.deadlineMs / 1000}s`
        : 'attempt' in op
          ? ` #${op.attempt}`
          : '';
    this.#out.push(`${this.#readable(key)}${detail}`);
    if (this.held.has(this.#readable(key))) {
      this.inFlight = [...this.inFlight.filter((o) => operationKey(o) !== key), op];
      return;
    }
    this.#end(op);
  }

  /** Keys name containers and sandboxes by id; texts by name. */
  #readable(key: string): string {
    const [kind, id] = key.split(':');
    const name = this.containers.find((c) => c.id === id);
    return id === undefined ? key : `${kind}:${name === undefined ? id : name.name}`;
  }

  #cancel(key: string): void {
    this.#out.push(`cancel ${this.#readable(key)}`);
    this.inFlight = this.inFlight.filter((op) => operationKey(op) !== key);
  }

  #release(name: string): void {
    this.held.delete(name);
    for (const op of this.inFlight.filter((o) => this.#readable(operationKey(o)) === name)) {
      this.inFlight = this.inFlight.filter((o) => o !== op);
      this.#end(op);
    }
  }

  #end(op: Operation): void {
    const name = this.#readable(operationKey(op));
    const outcome = this.failures.get(name) ?? this.#apply(op);
    this.failures.delete(name);
    this.memory = completeOperation(this.memory, op, { outcome, nowMs: this.nowMs });
  }

  #apply(op: Operation): Outcome {
    if (op.kind === 'runSandbox') this.sandboxes.push(newSandbox(`s${this.#next++}`, op.attempt));
    else if (op.kind === 'ensureImage') return { ok: true, imageId: `id-of-${op.image}` };
    else if (op.kind === 'startContainer') this.#startContainer(op);
    else if (op.kind === 'stopContainer') this.#exit(op.container, 143);
    else if (op.kind === 'stopSandbox') {
      this.#replaceSandbox(op.sandboxId, { state: 'notReady' });
      for (const c of this.containers) {
        if (c.sandboxId === op.sandboxId && c.state !== 'exited') this.#exit(c.name, 137);
      }
    } else if (op.kind === 'removeSandbox') {
      this.sandboxes = this.sandboxes.filter((s) => s.id !== op.sandboxId);
      this.containers = this.containers.filter((c) => c.sandboxId !== op.sandboxId);
    } else if (op.kind === 'removeContainer') {
      this.containers = this.containers.filter((c) => c.id !== op.containerId);
    }
    return { ok: true };
  }

  #startContainer(op: Extract<Operation, { kind: 'startContainer' }>): void {
    const image = op.imageId.replace('id-of-', '');
    const made = { id: `c${this.#next++}`, name: op.container, attempt: op.attempt, image };
    this.containers.push({
      ...newContainer(this.nowMs),
      ...made,
      imageId: op.imageId,
      sandboxId: op.sandboxId,
    });
  }

  #replaceSandbox(id: string, change: Partial<Sandbox>): void {
    this.sandboxes = this.sandboxes.map((s) => (s.id === id ? { ...s, ...change } : s));
  }

  #exit(name: string, exitCode: number): void {
    const newest = this.containers.findLast((c) => c.name === name && c.state !== 'exited');
    this.containers = this.containers.map((c) =>
      c === newest ? { ...c, state: 'exited', exitCode, finishedAtMs: this.nowMs } : c,
    );
    this.probes.delete(name);
  }

  #probe(name: string, what: string): void {
    const failed = what === 'liveness' || what === 'startup' ? what : undefined;
    const started = what !== 'starting' && what !== 'startup';
    this.probes.set(name, { started, ready: started && what === 'ready', failed });
  }

  #delete(graceSeconds: number): void {
    const pod = this.#view().pod;
    pod.metadata.deletionTimestamp = new Date(this.nowMs + graceSeconds * 1000).toISOString();
    pod.metadata.deletionGracePeriodSeconds = graceSeconds;
  }

  #lose(): void {
    this.sandboxes = this.sandboxes.map((s) => ({ ...s, state: 'notReady' }));
    for (const c of this.containers) if (c.state === 'running') this.#exit(c.name, 137);
  }

  #image(name: string, image: string): void {
    const container = this.#view().pod.spec.containers.find((c) => c.name === name);
    if (container !== undefined) container.image = image;
  }

  #resources(name: string, json: string): void {
    const container = this.#view().pod.spec.containers.find((c) => c.name === name);
    if (container !== undefined) container.resources = JSON.parse(json); // Test input.
  }

  status(): PodStatus {
    const view = this.#view();
    return podStatus({
      view,
      memory: this.memory,
      image: () => undefined,
      terminationMessage: () => '',
      ended: hasEnded(view, this.memory),
      previous: view.pod.status,
      hostIPs: ['192.0.2.1'],
      qosClass: 'BestEffort',
    });
  }

  #printStatus(): void {
    const status = this.status();
    this.#view().pod.status = status;
    this.#out.push(
      `phase ${status.phase}${status.reason === undefined ? '' : ` ${status.reason}`}`,
    );
    const conditions = (status.conditions ?? []).filter((c) => c.type !== 'PodScheduled');
    for (const c of conditions) {
      this.#out.push(`${c.type} ${c.status} ${c.reason ?? ''}`.trimEnd());
    }
    const all = [
      ...(status.initContainerStatuses ?? []),
      ...(status.containerStatuses ?? []),
      ...(status.ephemeralContainerStatuses ?? []),
    ];
    for (const c of all) {
      const { running, waiting, terminated } = c.state ?? {};
      const state =
        running !== undefined
          ? 'running'
          : waiting !== undefined
            ? `waiting ${waiting.reason}${waiting.message === undefined ? '' : `: ${waiting.message}`}`
            : `${terminated?.reason} ${terminated?.exitCode}`;
      const last = c.lastState?.terminated;
      const was = last === undefined ? '' : `, was ${last.reason} ${last.exitCode}`;
      const flags = `${c.ready ? ' ready' : ''}${c.started === true ? ' started' : ''}`;
      this.#out.push(`${c.name}: ${state}${was}, restarts ${c.restartCount}${flags}`);
    }
  }
}

function newPod(spec: PodSpec): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'd', uid: 'u', generation: 1 } as Pod['metadata'], // Enough.
    spec,
    status: { phase: 'Pending', startTime: '1970-01-01T00:00:00Z' },
  };
}

function newSandbox(id: string, attempt: number): Sandbox {
  return {
    id,
    podUid: 'u',
    podName: 'p',
    podNamespace: 'd',
    attempt,
    state: 'ready',
    createdAtMs: 0,
    ips: ['10.0.0.9'],
    netnsPath: '',
    labels: {},
  };
}

function newContainer(nowMs: number): Container {
  return {
    id: '',
    sandboxId: '',
    podUid: 'u',
    name: '',
    attempt: 0,
    image: '',
    imageId: '',
    state: 'running',
    createdAtMs: nowMs,
    startedAtMs: nowMs,
    finishedAtMs: undefined,
    exitCode: undefined,
    signal: undefined,
    oomKilled: false,
    startError: undefined,
    pid: 1,
    logPath: '',
    labels: {},
    annotations: {},
    user: undefined,
  };
}
