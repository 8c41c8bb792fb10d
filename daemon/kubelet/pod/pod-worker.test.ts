/** The pod worker on the fake runtime and a small API: from first sight to the last trace. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import type { Pod, PodSpec, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import { type KubeClient, KubeError } from '#base/kube/client.ts';
import { EventRecorder } from '#base/kube/event-recorder.ts';
import { silentLog } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { WatchedObjects } from '../api/objects.ts';
import { ImagePuller } from '../image/image-puller.ts';
import { Prober } from '../probe/prober.ts';
import type { Mounter } from '../volume/mounter.ts';
import { FakeImages, FakeRuntime } from './fake-runtime.ts';
import type { PodIo } from './io.ts';
import { lastLines } from './last-words.ts';
import { PodWorker } from './pod-worker.ts';

const clock = new RealClock();

/** Sources of all bind mounts so far. */
const bound: string[] = [];
const noMounts: Mounter = {
  tmpfs: () => undefined,
  bind: (source) => bound.push(readlinkSync(source)),
  unmount: () => undefined,
  isMountPoint: () => false,
  mountsBelow: () => [],
};

/** One pod in an API that knows nothing else. */
class World implements AsyncDisposable {
  readonly runtime = new FakeRuntime();
  readonly images = new FakeImages({ local: ['app:1'], remote: ['far:1'] });
  readonly dataDir = mkdtempSync(join(tmpdir(), 'bareboat-worker-'));
  readonly deletes: unknown[] = [];
  readonly patches: unknown[] = [];
  readonly events: string[] = [];
  readonly tasks = new TaskScope(new AbortController().signal);
  pod: Pod;
  finished = false;
  worker: PodWorker;

  constructor(spec: Omit<PodSpec, 'containers'> & { containers: object[] }) {
    this.pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'ns', uid: 'u', generation: 1 } as Pod['metadata'], // Enough.
      spec: { terminationGracePeriodSeconds: 5, ...spec } as PodSpec, // idem
      status: { phase: 'Pending' },
    };
    this.worker = this.newWorker();
    this.runtime.onChange(() => this.worker.wake());
    this.worker.wake();
  }

  /** As a restarted agent would make it. */
  newWorker(): PodWorker {
    return new PodWorker(this.#io(), this.pod, {
      finished: () => {
        this.finished = true;
      },
    });
  }

  #io(): PodIo {
    const client = this.#client();
    const io = { client, clock, log: silentLog, tasks: this.tasks };
    const events = new EventRecorder(io, { component: 'kubelet' });
    events.record = (_about, event) => this.events.push(`${event.reason}: ${event.message}`);
    return {
      ...io,
      runtime: this.runtime,
      images: this.images,
      mounter: noMounts,
      puller: new ImagePuller({ images: this.images, clock }),
      prober: new Prober({ runtime: this.runtime, clock }),
      objects: new WatchedObjects(io),
      events,
      services: () => [],
      mayResize: () => undefined,
      node: { nodeName: 'n', hostIPs: ['192.0.2.1'], allocatable: {}, memoryBytes: 2 ** 30 },
      settings: {
        dataDir: this.dataDir,
        logDir: join(this.dataDir, 'logs'),
        clusterDns: [],
        clusterDomain: 'cluster.local',
        hostsFile: '/etc/hosts',
        resolvConf: '/etc/resolv.conf',
      },
    };
  }

  #client(): KubeClient {
    const known: Partial<KubeClient> = {
      patch: (async (_r: unknown, _at: unknown, { body }: { body: { status: PodStatus } }) => {
        this.patches.push(body);
        const conditions = new Map((this.pod.status?.conditions ?? []).map((c) => [c.type, c]));
        for (const c of body.status.conditions ?? []) conditions.set(c.type, c);
        const status = { ...this.pod.status, ...body.status, conditions: [...conditions.values()] };
        this.pod = { ...this.pod, status };
        return this.pod;
      }) as never, // Only pods are patched here.
      delete: async (_r, _at, options) => {
        this.deletes.push(options);
        queueMicrotask(() => this.worker.remove());
      },
      // Nothing else exists; informers keep asking.
      list: async () => {
        throw new KubeError({ code: 404, reason: 'NotFound' } as KubeError['status']); // Enough.
      },
    };
    return known as KubeClient; // What the worker uses.
  }

  change(change: (pod: Pod) => Pod): void {
    this.pod = change(structuredClone(this.pod));
    this.worker.update(this.pod);
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const deadlineMs = Date.now() + 5_000;
    while (!holds()) {
      if (Date.now() > deadlineMs) throw new Error(`not within 5 s: ${what}: ${this.#state()}`);
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
    }
  }

  #state(): string {
    return JSON.stringify([this.worker.status, this.runtime.calls], undefined, 1);
  }

  specs(): string[] {
    return this.runtime.specs.map((s) => `${s.name} #${s.attempt}`);
  }

  container(index = 0) {
    return this.pod.status?.containerStatuses?.[index];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tasks[Symbol.asyncDispose]();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

await t.test('runs a pod, restarts what crashes, deletes it by UID at the end', async (t) => {
  await using world = new World({ containers: [{ name: 'a', image: 'app:1' }] });
  await world.until('running', () => world.pod.status?.phase === 'Running');
  t.match(world.pod.status, { podIP: /^10\./, hostIP: '192.0.2.1', qosClass: 'BestEffort' });
  t.same(world.specs(), ['a #0']);
  world.runtime.exit('a', 1);
  await world.until('restarted', () => world.container()?.restartCount === 1);
  t.match(world.container(), {
    state: { running: {} },
    lastState: { terminated: { exitCode: 1 } },
  });
  world.runtime.exit('a', 2);
  await world.until('backs off', () => world.container()?.state?.waiting !== undefined);
  t.equal(world.container()?.state?.waiting?.reason, 'CrashLoopBackOff');
  world.change((pod) => {
    pod.metadata.deletionTimestamp = new Date().toISOString();
    pod.metadata.deletionGracePeriodSeconds = 5;
    return pod;
  });
  await world.until('finished', () => world.finished);
  t.same(world.deletes, [{ gracePeriodSeconds: 0, preconditions: { uid: 'u' } }]);
  t.equal(world.pod.status?.phase, 'Failed');
  t.same(readdirSync(join(world.dataDir, 'pods')), []);
  t.same(world.runtime.listSandboxes(), []);
});

await t.test('a restarted agent starts nothing anew, and keeps ready what was', async (t) => {
  const readinessProbe = { exec: { command: ['ready'] }, periodSeconds: 0.01 };
  await using world = new World({ containers: [{ name: 'a', image: 'app:1', readinessProbe }] });
  await world.until('ready', () => world.container()?.ready === true);
  const calls = () => world.runtime.calls.filter((call) => !call.startsWith('exec')).length;
  const before = calls();
  const patches = world.patches.length;
  world.worker = world.newWorker();
  world.worker.wake();
  await world.until('seen', () => world.worker.status.phase === 'Running');
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
  t.equal(calls(), before);
  t.equal(world.patches.length, patches, 'and says nothing new');
});

await t.test('a node that goes down stops a pod, and the next boot starts it', async (t) => {
  await using world = new World({ containers: [{ name: 'a', image: 'app:1' }] });
  await world.until('running', () => world.pod.status?.phase === 'Running');
  world.worker.endWithNode(1000);
  await world.until('still', () => world.worker.isStill);
  await world.worker.flush();
  t.ok(world.runtime.calls.includes('stopContainer a 1s'), 'with grace');
  t.equal(world.pod.status?.phase, 'Running', 'not failed');
  t.match(world.container()?.state, { terminated: {} });
  t.same(world.specs(), ['a #0'], 'nothing is started');
  world.worker = world.newWorker();
  world.worker.wake();
  await world.until('started anew', () => world.container()?.state?.running !== undefined);
});

await t.test('a node that goes down fails a pod that is not restarted by itself', async (t) => {
  const spec = { restartPolicy: 'Never', containers: [{ name: 'a', image: 'app:1' }] };
  await using world = new World(spec);
  await world.until('running', () => world.pod.status?.phase === 'Running');
  world.worker.endWithNode(1000);
  await world.until('failed', () => world.pod.status?.phase === 'Failed');
  t.match(world.pod.status, {
    reason: 'Terminated',
    message: 'Pod was terminated in response to imminent node shutdown.',
  });
  const disruption = world.pod.status?.conditions?.find((c) => c.type === 'DisruptionTarget');
  t.match(disruption, { status: 'True', reason: 'TerminationByKubelet' });
});

await t.test('pulls what is missing, and says why it cannot', async (t) => {
  await using world = new World({
    containers: [
      { name: 'a', image: 'far:1', imagePullPolicy: 'IfNotPresent' },
      { name: 'b', image: 'gone:1' },
      { name: 'c', image: 'app:1', imagePullPolicy: 'Never' },
      { name: 'd', image: 'missing:1', imagePullPolicy: 'Never' },
      { name: 'e', image: 'Bad//Name' },
    ],
  });
  const waits = (index: number) => world.container(index)?.state?.waiting?.reason;
  await world.until('all said', () => [1, 3, 4].every((i) => /^E|^I/.test(waits(i) ?? '')));
  await world.until('runs', () =>
    [0, 2].every((i) => world.container(i)?.state?.running !== undefined),
  );
  t.same([1, 3, 4].map(waits), ['ErrImagePull', 'ErrImageNeverPull', 'InvalidImageName']);
  t.same(world.images.pulls, ['far:1', 'gone:1']);
  t.equal(world.pod.status?.phase, 'Pending');
  t.ok(world.events.some((e) => e.startsWith('Failed: Failed to pull image "gone:1"')));
});

await t.test('hooks, last words and success', async (t) => {
  await using world = new World({
    restartPolicy: 'Never',
    containers: [
      {
        name: 'a',
        image: 'app:1',
        lifecycle: { postStart: { exec: { command: ['greet'] } } },
      },
    ],
  });
  await world.until('running', () => world.pod.status?.phase === 'Running');
  t.ok(world.runtime.calls.includes('exec greet'));
  const [spec] = world.runtime.specs;
  const words =
    spec?.mounts.find((m) => m.containerPath === '/dev/termination-log')?.hostPath ?? '';
  t.equal(readFileSync(words, 'utf8'), '');
  writeFileSync(words, 'good bye');
  world.runtime.exit('a', 0);
  await world.until('succeeded', () => world.pod.status?.phase === 'Succeeded');
  t.match(world.container()?.state?.terminated, {
    exitCode: 0,
    reason: 'Completed',
    message: 'good bye',
  });
});

await t.test('a preStop hook runs before the stop', async (t) => {
  await using world = new World({
    containers: [
      { name: 'a', image: 'app:1', lifecycle: { preStop: { exec: { command: ['leave'] } } } },
    ],
  });
  await world.until('running', () => world.pod.status?.phase === 'Running');
  world.change((pod) => ({
    ...pod,
    metadata: { ...pod.metadata, deletionTimestamp: 'x', deletionGracePeriodSeconds: 5 },
  }));
  await world.until('finished', () => world.finished);
  const calls = world.runtime.calls.filter((c) => /exec|stopContainer/.test(c));
  t.same(calls, ['exec leave', 'stopContainer a 5s']);
});

await t.test('liveness restarts, readiness does not', async (t) => {
  const probe = (command: string) => ({
    exec: { command: [command] },
    periodSeconds: 0.02,
    failureThreshold: 2,
  });
  await using world = new World({
    containers: [
      { name: 'a', image: 'app:1', livenessProbe: probe('alive'), readinessProbe: probe('ready') },
    ],
  });
  await world.until('ready', () => world.container()?.ready === true);
  world.runtime.execExits.set('ready', 1);
  await world.until('unready', () => world.container()?.ready === false);
  t.equal(world.container()?.restartCount, 0);
  world.runtime.execExits.set('alive', 1);
  await world.until('restarted', () => (world.container()?.restartCount ?? 0) > 0);
  t.ok(world.events.includes('Killing: Container a failed liveness probe, will be restarted'));
});

await t.test('lastLines()', async (t) => {
  const line = (text: string, tag = 'F') => `2026-11-23T05:32:19.5+00:00 stderr ${tag} ${text}\n`;
  for (const [log, want] of [
    ['', ''],
    [line('DONE'), 'DONE'],
    [line('DO', 'P') + line('NE'), 'DONE'],
    [line('a') + line('b'), 'a\nb'],
    [`cut off\n${line('a')}`, 'cut off\na'],
  ] as const) {
    t.equal(lastLines(log), want, log);
  }
  const many = Array.from({ length: 100 }, (_, i) => line(String(i))).join('');
  t.equal(lastLines(many).split('\n').length, 80);
  t.equal(lastLines(line('x'.repeat(5000))).length, 2048);
});

await t.test('what a subPath is bound to stays until its container has it', async (t) => {
  const held = Promise.withResolvers<void>();
  await using world = new World({
    containers: [
      {
        name: 'a',
        image: 'app:1',
        volumeMounts: [{ name: 'v', mountPath: '/v', subPath: 'notes' }],
      },
    ],
    volumes: [
      {
        name: 'v',
        downwardAPI: {
          items: [{ path: 'notes', fieldRef: { fieldPath: 'metadata.annotations' } }],
        },
      },
    ],
  });
  const start = world.runtime.startContainer.bind(world.runtime);
  let starting = false;
  world.runtime.startContainer = async (id) => {
    starting = true;
    await held.promise;
    return start(id);
  };
  await world.until('starting', () => starting);
  const source = bound.at(-1) ?? '';
  world.change((pod) => {
    pod.metadata.annotations = { colour: 'blue' };
    return pod;
  });
  await sleep(100); // It would be gone by now.
  t.ok(existsSync(source));
  held.resolve();
  const path = join(world.worker.paths.directory, 'volumes/v/notes');
  await world.until('follows', () => readFileSync(path, 'utf8').includes('blue'));
  t.notOk(existsSync(source), 'a version of its own');
});

await t.test('a pod that the node ends is Failed with the reason', async (t) => {
  await using world = new World({ containers: [{ name: 'a', image: 'app:1' }] });
  await world.until('running', () => world.pod.status?.phase === 'Running');
  t.equal(world.worker.evict({ reason: 'Evicted', message: 'too much' }), true);
  t.equal(world.worker.evict({ reason: 'Evicted', message: 'again' }), false);
  await world.until('failed', () => world.pod.status?.phase === 'Failed');
  t.match(world.pod.status, { reason: 'Evicted', message: 'too much' });
  t.ok(world.runtime.calls.includes('stopContainer a 1s'), 'with little grace');
  t.same(
    world.events.filter((event) => event.startsWith('Evicted')),
    ['Evicted: too much'],
  );
});

await t.test('a pod that takes its time to end is evicted nevertheless', async (t) => {
  await using world = new World({ containers: [{ name: 'a', image: 'app:1' }] });
  await world.until('running', () => world.pod.status?.phase === 'Running');
  const stopped: number[] = [];
  const release = Promise.withResolvers<void>();
  world.runtime.stopContainer = async (_id, graceSeconds) => {
    stopped.push(Math.round(graceSeconds));
    if (graceSeconds > 2) await release.promise;
    else world.runtime.exit('a', 137);
  };
  world.change((pod) => {
    pod.metadata.deletionTimestamp = new Date().toISOString();
    pod.metadata.deletionGracePeriodSeconds = 60;
    return pod;
  });
  await world.until('stopping', () => stopped.length === 1);
  t.equal(world.worker.evict({ reason: 'Evicted', message: 'too much' }), true);
  await world.until('finished', () => world.finished);
  t.same(stopped, [60, 1]);
  release.resolve();
});

await t.test('what a pod left that has ended can be forgotten; its status stays', async (t) => {
  const spec = { restartPolicy: 'Never', containers: [{ name: 'a', image: 'app:1' }] };
  await using world = new World(spec);
  await world.until('running', () => world.pod.status?.phase === 'Running');
  t.equal(world.worker.isForgettable, false);
  world.runtime.exit('a', 0);
  await world.until('succeeded', () => world.pod.status?.phase === 'Succeeded');
  world.worker.update(world.pod);
  await world.until('released', () => world.worker.isForgettable);
  const before = structuredClone(world.pod.status);
  const [sandbox] = world.runtime.listSandboxes();
  await world.runtime.removeSandbox(sandbox?.id ?? '');
  world.worker = world.newWorker(); // As after a restart, which knows it from the API alone.
  world.worker.wake();
  await world.until('ended', () => world.worker.isReleased);
  await world.worker.flush();
  t.same(world.pod.status, before);
  t.same(world.specs(), ['a #0']);
});
