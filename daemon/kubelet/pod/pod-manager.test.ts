/** Admission and the company of other pods, on the fake runtime. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RealClock } from '#base/clock.ts';
import { pods } from '#base/kube/api/resources.gen.ts';
import type { Node, Pod, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import type { KubeClient, WatchEvent } from '#base/kube/client.ts';
import { EventRecorder } from '#base/kube/event-recorder.ts';
import { Informer } from '#base/kube/informer.ts';
import { silentLog } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { WatchedObjects } from '../api/objects.ts';
import { ImagePuller } from '../image/image-puller.ts';
import { Prober } from '../probe/prober.ts';
import { FakeImages, FakeRuntime } from './fake-runtime.ts';
import { PodManager } from './pod-manager.ts';

const clock = new RealClock();

/** An API that has only pods, and tells of every change. */
class PodApi {
  readonly #pods = new Map<string, Pod>();
  readonly #watchers = new Set<(event: WatchEvent<Pod>) => void>();
  #revision = 1;

  get(name: string): Pod | undefined {
    return this.#pods.get(name);
  }

  put(written: Pod): void {
    const resourceVersion = String(++this.#revision);
    const pod = { ...written, metadata: { ...written.metadata, resourceVersion } };
    const type = this.#pods.has(pod.metadata.name) ? 'MODIFIED' : 'ADDED';
    this.#pods.set(pod.metadata.name, pod);
    for (const tell of this.#watchers) tell({ type, object: pod });
  }

  remove(name: string): void {
    const pod = this.#pods.get(name);
    this.#pods.delete(name);
    if (pod !== undefined)
      for (const tell of this.#watchers) tell({ type: 'DELETED', object: pod });
  }

  client(): KubeClient {
    const api: Partial<KubeClient> = {
      list: (async () => ({
        metadata: { resourceVersion: '1' },
        items: [...this.#pods.values()],
      })) as never, // Only pods.
      watch: ((_r: unknown, options: { sendInitialEvents?: boolean }, signal: AbortSignal) =>
        this.#watch(options.sendInitialEvents === true, signal)) as never, // idem
      patch: (async (
        _r: unknown,
        at: { name: string },
        { body }: { body: { status: PodStatus } },
      ) => {
        const pod = this.#pods.get(at.name);
        if (pod === undefined) throw new Error('gone');
        const conditions = new Map((pod.status?.conditions ?? []).map((c) => [c.type, c]));
        for (const c of body.status.conditions ?? []) {
          if ('$patch' in c) conditions.delete(c.type);
          else conditions.set(c.type, c);
        }
        const status = { ...pod.status, ...body.status, conditions: [...conditions.values()] };
        const next = { ...pod, status };
        this.put(next);
        return this.#pods.get(at.name);
      }) as never, // idem
      delete: async (_r, at) => this.remove(at.name),
    };
    return api as KubeClient; // What is used here.
  }

  async *#watch(initial: boolean, signal: AbortSignal): AsyncGenerator<WatchEvent<Pod>> {
    const queue: WatchEvent<Pod>[] = initial
      ? [
          ...[...this.#pods.values()].map((object) => ({ type: 'ADDED' as const, object })),
          {
            type: 'BOOKMARK',
            object: {
              apiVersion: 'v1',
              kind: 'Pod',
              metadata: {
                resourceVersion: '1',
                annotations: { 'k8s.io/initial-events-end': 'true' },
              } as never, // A bookmark has no more.
            },
          },
        ]
      : [];
    let wake = Promise.withResolvers<void>();
    this.#watchers.add((event) => {
      queue.push(event);
      wake.resolve();
    });
    signal.addEventListener('abort', () => wake.resolve());
    while (!signal.aborted) {
      yield* queue.splice(0);
      await wake.promise;
      wake = Promise.withResolvers<void>();
    }
    throw signal.reason;
  }
}

function pod(name: string, cpu: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'ns', uid: `uid-${name}`, generation: 1 } as Pod['metadata'], // Enough.
    spec: { containers: [{ name: 'c', image: 'app:1', resources: { requests: { cpu } } }] },
    status: { phase: 'Pending' },
  };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > deadlineMs) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

/** A manager that runs, with an API of its own. */
function startManager(t: Test, tasks: TaskScope) {
  const dataDir = mkdtempSync(join(tmpdir(), 'bareboat-manager-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const api = new PodApi();
  const runtime = new FakeRuntime();
  const io = { client: api.client(), clock, log: silentLog, tasks };
  const images = new FakeImages({ local: ['app:1'], remote: [] });
  const informer = new Informer(io, pods);
  const node = { metadata: { name: 'n' } } as Node; // Enough.
  const mounter = {
    tmpfs: () => undefined,
    bind: () => undefined,
    unmount: () => undefined,
    isMountPoint: () => false,
    mountsBelow: () => [],
  };
  const manager = new PodManager(
    {
      ...io,
      runtime,
      images,
      mounter,
      puller: new ImagePuller({ images, clock }),
      prober: new Prober({ runtime, clock }),
      objects: new WatchedObjects(io),
      events: new EventRecorder(io, { component: 'kubelet' }),
      services: () => [],
      node: {
        nodeName: 'n',
        hostIPs: ['192.0.2.1'],
        allocatable: { cpu: '2', pods: '10' },
        memoryBytes: 2 ** 30,
      },
      settings: {
        dataDir,
        logDir: join(dataDir, 'logs'),
        clusterDns: [],
        clusterDomain: 'cluster.local',
        hostsFile: '/etc/hosts',
        resolvConf: '/etc/resolv.conf',
      },
    },
    informer,
    { node: () => node, pressures: () => [] },
  );
  tasks.spawn('informer', (signal) => informer.run(signal));
  tasks.spawn('manager', (signal) => manager.run(signal));
  return { api, runtime, manager, dataDir };
}

await t.test('removes what pods left that the API does not know', async (t) => {
  await using tasks = new TaskScope(new AbortController().signal);
  const { api, dataDir } = startManager(t, tasks);
  const left = [join(dataDir, 'pods/old'), join(dataDir, 'logs/ns_name_old/c')];
  for (const path of left) mkdirSync(path, { recursive: true });
  mkdirSync(join(dataDir, 'logs/not-a-pod'));
  api.put(pod('a', '100m'));
  await until('it runs', () => api.get('a')?.status?.phase === 'Running');
  await until('the rest is gone', () => !existsSync(join(dataDir, 'logs/ns_name_old')));
  await until('the directory too', () => !existsSync(join(dataDir, 'pods/old')));
  t.same(readdirSync(join(dataDir, 'logs')).length, 2, 'of the pod that runs, and what is no pod');
});

await t.test('refuses what does not fit, resizes within what is left', async (t) => {
  await using tasks = new TaskScope(new AbortController().signal);
  const { api } = startManager(t, tasks);
  api.put(pod('a', '500m'));
  api.put(pod('b', '500m'));
  const phase = (name: string) => api.get(name)?.status?.phase;
  await until('both run', () => phase('a') === 'Running' && phase('b') === 'Running');
  api.put(pod('big', '1500m'));
  await until('refused', () => phase('big') === 'Failed');
  t.equal(api.get('big')?.status?.reason, 'OutOfcpu');
  t.match(api.get('big')?.status?.message, /requested: 1500, used: 1000, capacity: 2000/);

  const resize = (name: string, cpu: string) => {
    const old = api.get(name);
    const metadata = { ...old?.metadata, generation: (old?.metadata.generation ?? 1) + 1 };
    api.put({
      ...pod(name, cpu),
      metadata: metadata as Pod['metadata'],
      status: old?.status ?? {},
    }); // As read.
  };
  const resources = (name: string) => api.get(name)?.status?.containerStatuses?.[0]?.resources;
  resize('a', '1');
  resize('b', '600m');
  await until('a has more', () => resources('a')?.requests?.cpu === '1');
  await until('b has more', () => resources('b')?.requests?.cpu === '600m');
  resize('b', '1500m');
  const pending = () =>
    api.get('b')?.status?.conditions?.find((c) => c.type === 'PodResizePending');
  await until('deferred', () => pending()?.reason === 'Deferred');
  t.equal(resources('b')?.requests?.cpu, '600m');
  resize('b', '5');
  await until('infeasible', () => pending()?.reason === 'Infeasible');
});

await t.test(
  'a node that goes down ends ordinary pods, then critical ones, and starts none',
  async (t) => {
    await using tasks = new TaskScope(new AbortController().signal);
    const { api, runtime, manager } = startManager(t, tasks);
    const critical = pod('critical', '100m');
    critical.spec.priority = 2_000_001_000;
    api.put(critical);
    api.put(pod('ordinary', '100m'));
    const phase = (name: string) => api.get(name)?.status?.phase;
    await until(
      'both run',
      () => phase('critical') === 'Running' && phase('ordinary') === 'Running',
    );
    const order: string[] = [];
    const nameOf = (uid: string) => uid.replace('uid-', '');
    using _ = runtime.onChange(() => {
      for (const { podUid, state } of runtime.listContainers()) {
        if (state === 'exited' && !order.includes(nameOf(podUid))) order.push(nameOf(podUid));
      }
    });
    const ending = manager.endWithNode(3000, tasks.signal);
    api.put(pod('late', '100m'));
    t.same(await ending, [], 'nothing runs');
    t.same(order, ['ordinary', 'critical']);
    t.match(api.get('ordinary')?.status?.containerStatuses?.[0]?.state, { terminated: {} });
    await until('seen', () => phase('late') === 'Pending');
    t.equal(runtime.specs.length, 2, 'the late one is not started');
  },
);
