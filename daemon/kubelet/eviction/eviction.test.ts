/** The manager on a node that runs short: what it does first, whom it evicts, what it says. */
import t from 'tap';
import { type Clock, RealClock } from '#base/clock.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { silentLog } from '#base/log.ts';
import type { Container, Sandbox } from '../../runtime/port.ts';
import type { Verdict } from '../lifecycle/model.ts';
import type { PodWorker } from '../pod/pod-worker.ts';
import { EvictionManager } from './eviction.ts';

const GI = 2 ** 30;
const MI = 2 ** 20;
const { signal } = new AbortController();

interface FakePod {
  readonly name: string;
  readonly memory?: number;
  readonly disk?: number;
  readonly priority?: number;
  readonly limits?: object;
  readonly forgettable?: boolean;
}

/** A node with 1 Gi of memory and a disk of 100 Gi. */
function scene(pods: readonly FakePod[]) {
  let nowMs = 0;
  const done: string[] = [];
  const find = (id: string) => pods.find(({ name }) => name === id);
  const world = {
    memoryAvailable: GI / 2,
    diskAvailable: 50 * GI,
    imagesFree: 0,
    done,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
  const workers = pods.map(({ name, priority, limits, forgettable = false }) => ({
    uid: name,
    pod: {
      metadata: { name, namespace: 'ns' },
      spec: { priority, containers: [{ name, resources: { limits } }] },
    } as unknown as Pod, // Enough.
    ended: forgettable,
    isReleased: forgettable,
    isForgettable: forgettable,
    paths: { logDirectory: '/nonexistent', volume: () => '/nonexistent' },
    evict: ({ message, disruption }: Verdict) => {
      done.push(
        `evict ${name}${disruption === true ? '' : ' by its own doing'}: ${message.trim()}`,
      );
      return true;
    },
  })) as unknown as PodWorker[]; // What the manager uses.
  const manager = new EvictionManager(
    {
      clock: Object.assign(new RealClock(), { monotonicMs: () => nowMs }) as Clock,
      log: silentLog,
      runtime: {
        listContainers: () =>
          pods.map(({ name }) => ({ id: name, name, podUid: name }) as Container), // Enough.
        listSandboxes: () => pods.map(({ name }) => ({ id: name, podUid: name }) as Sandbox), // idem
        removeSandbox: async (id) => {
          done.push(`forget ${id}`);
        },
        stats: (id) => ({
          atMs: 0,
          cpuUsageNanos: 0,
          memoryUsageBytes: 0,
          memoryWorkingSetBytes: find(id)?.memory ?? 0,
          pids: 1,
        }),
        writableLayer: async (id) => ({ bytes: find(id)?.disk ?? 0, inodes: 1 }),
      },
      imageGc: {
        removeUnused: async () => {
          done.push('remove images');
          world.diskAvailable += world.imagesFree;
        },
      },
      pressure: () => ({
        memoryBytes: GI,
        memoryAvailableBytes: world.memoryAvailable,
        diskBytes: 100 * GI,
        diskAvailableBytes: world.diskAvailable,
        inodes: 0,
        inodesFree: 0,
        pidsMax: 1000,
        pidsFree: 900,
      }),
      notice: ({ reason, message }) => done.push(`${reason}: ${message}`),
    },
    {
      thresholds: {
        'memory.available': '100Mi',
        'allocatableMemory.available': '100Mi',
        'nodefs.available': '10%',
        'nodefs.inodesFree': '5%',
        'imagefs.available': '25%',
      },
      transitionMs: 300_000,
      podsMemoryBytes: 800 * MI,
    },
  );
  const dependants = { workers: () => workers, changed: () => done.push('changed') };
  const step = async () => {
    done.length = 0;
    const evicted = await manager.step(dependants, signal);
    return evicted.map(({ uid }) => uid);
  };
  return { ...world, world, manager, step };
}

t.test('step() on a node that has enough does nothing', async (t) => {
  const { step, done, manager } = scene([{ name: 'a', disk: 90 * GI }]);
  t.same(await step(), []);
  t.same(done, []);
  t.same(manager.pressures, []);
});

t.test('step() makes room on the disk before it evicts', async (t) => {
  const { step, done, manager, world } = scene([{ name: 'a' }, { name: 'old', forgettable: true }]);
  world.diskAvailable = 20 * GI;
  world.imagesFree = 10 * GI;
  t.same(await step(), []);
  const attempt = 'EvictionThresholdMet: Attempting to reclaim ephemeral-storage';
  t.same(done, ['changed', attempt, 'forget old', 'remove images']);
  t.same(manager.pressures, ['DiskPressure']);
  world.pass(299_000);
  await step();
  t.same([done, manager.pressures], [[], ['DiskPressure']], 'for a while');
  world.pass(2_000);
  await step();
  t.same([done, manager.pressures], [['changed'], []]);
});

t.test('step() evicts the pod that holds most of the disk', async (t) => {
  const { step, done, world } = scene([
    { name: 'small', disk: GI },
    { name: 'critical', disk: 9 * GI, priority: 2_000_000_000 },
    { name: 'large', disk: 3 * GI },
    { name: 'old', disk: 9 * GI, forgettable: true },
  ]);
  world.diskAvailable = 20 * GI;
  t.same(await step(), ['large']);
  t.equal(
    done.at(-1),
    'evict large: The node was low on resource: ephemeral-storage. Threshold quantity: 25Gi, available: 20Gi. ' +
      'Container large was using 3Gi, request is 0, has larger consumption of ephemeral-storage.',
  );
});

t.test('step() evicts for memory, of the node or of the pods', async (t) => {
  const { step, done, manager, world } = scene([
    { name: 'a', memory: 10 * MI },
    { name: 'b', memory: 20 * MI },
  ]);
  world.memoryAvailable = 50 * MI;
  t.same(await step(), ['b']);
  t.same(done.slice(0, 2), ['changed', 'EvictionThresholdMet: Attempting to reclaim memory']);
  t.match(
    done[2],
    /^evict b: The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi/,
  );
  t.same(manager.pressures, ['MemoryPressure']);

  const crowded = scene([
    { name: 'a', memory: 600 * MI },
    { name: 'b', memory: 150 * MI },
  ]);
  t.same(crowded.manager.pressures, ['MemoryPressure'], 'from the beginning');
  t.same(await crowded.step(), ['a']);
});

t.test('step() evicts pods beyond their own limits at any time', async (t) => {
  const limits = { 'ephemeral-storage': '1Gi' };
  const { step, done } = scene([
    { name: 'within', disk: GI, limits },
    { name: 'above', disk: GI + 4096, limits },
    { name: 'unlimited', disk: 5 * GI },
  ]);
  t.same(await step(), ['above']);
  t.same(done, [
    'evict above by its own doing: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.',
  ]);
});
