/**
 * One contract for every Store: a table of requests with complete answers, and random requests whose
 * answers are compared with the twin's. Runs on the inline store, on the worker, on a follower of three
 * processes and of a simulated group of three, and on a real etcd.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { openStoreOn } from '#control/store/open.ts';
import { openStore, startStoreWorker } from '#control/store/store.ts';
import type { Store } from '#control/store/store.ts';
import { openSimulatedStore } from '../sim/simulated-store.ts';
import { EtcdServer } from './etcd-server.ts';
import { compareSteps } from './store-compare.ts';
import { StoreGroup } from './store-process.ts';
import { openOnEtcd } from './store-random.ts';
import { contractRows } from './store-rows.ts';
import { steps } from './store-steps.ts';

const { signal } = new AbortController();
const directories: string[] = [];

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'store-contract-'));
  directories.push(directory);
  return directory;
}

t.teardown(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

function openWorker(dataDir: string): Promise<Store> {
  const onFailure = (error: Error) => {
    throw error;
  };
  return startStoreWorker({ dataDir, logLevel: 'error', onFailure }, signal);
}

function openInline(dataDir: string): Promise<Store> {
  return openStore({ dataDir, clock: new RealClock(), log: silentLog });
}

function openProcesses(): Promise<StoreGroup> {
  return StoreGroup.start({}, new AbortController().signal);
}

/** The founder leads a group that was just made. */
function groupFollower(group: StoreGroup): Promise<Store> {
  return group.connect([1], new AbortController().signal);
}

/** A fresh store, and the end of what it stands on. */
interface Fresh {
  readonly store: Store;
  readonly dispose: () => Promise<void>;
}

const nothing = () => Promise.resolve();

let seed = 0;

const targets: Readonly<Record<string, () => Promise<Fresh>>> = {
  inline: async () => ({ store: await openInline(newDirectory()), dispose: nothing }),
  worker: async () => ({ store: await openWorker(newDirectory()), dispose: nothing }),
  'three processes': async () => {
    const group = await openProcesses();
    return { store: await groupFollower(group), dispose: () => group[Symbol.asyncDispose]() };
  },
  'simulated group': async () => {
    const { store, dispose } = await openSimulatedStore(++seed);
    return { store, dispose };
  },
  etcd: async () => {
    const server = await EtcdServer.start();
    const store = await openOnEtcd(server, '/contract/');
    return { store, dispose: () => server[Symbol.asyncDispose]() };
  },
};

for (const [name, open] of Object.entries(targets)) {
  t.test(`${name} store`, async (t) => {
    for (const row of contractRows) {
      await t.test(row.name, async (t) => {
        const { store, dispose } = await open();
        try {
          await row.run(store, t);
        } finally {
          await store.close();
          await dispose();
        }
      });
    }
  });
}

for (const [name, open] of Object.entries({ inline: openInline, worker: openWorker })) {
  t.test(`${name} store opens what it wrote`, async (t) => {
    const directory = newDirectory();
    const { signal } = new AbortController();
    const first = await open(directory);
    const request = { key: 'a', value: Buffer.from('1') };
    const txn = { compare: [], success: [{ kind: 'put', request }], failure: [] } as const;
    await first.txn(txn, signal);
    const { leaseId } = await first.leaseGrant(100, signal);
    await t.rejects(open(directory), { code: 'UNAVAILABLE' }, 'one directory, one store');
    await first.close();
    const second = await open(directory);
    t.equal((await second.range({ key: 'a' }, signal)).kvs[0]?.modRevision, 2);
    t.equal(await second.leaseKeepAlive(leaseId, signal), 100);
    await second.close();
  });
}

t.test('the inline store answers random requests like the twin, across restarts', async () => {
  await fc.assert(
    fc.asyncProperty(steps({ lengthMax: 120, restarts: true }), async (list) => {
      const disk = new MemoryDisk();
      const io = { disk, crc32, sha256, log: silentLog, monotonicMs: () => 0, random: () => 0.5 };
      const reopen = () => openStoreOn(io, { checkpointLogBytes: 300 });
      let store = reopen();
      const restart = async () => {
        await store.close();
        disk.crash({ keep: () => false });
        store = reopen();
        return store;
      };
      try {
        await compareSteps([{ name: 'inline', store, restart }], list);
      } finally {
        await store.close();
      }
    }),
    { numRuns: 200 },
  );
});

t.test('the store on a worker answers random requests like the twin', async () => {
  await fc.assert(
    fc.asyncProperty(steps({ lengthMax: 120, restarts: false }), async (list) => {
      const store = await openWorker(newDirectory());
      try {
        await compareSteps([{ name: 'worker', store }], list);
      } finally {
        await store.close();
      }
    }),
    { numRuns: 8 },
  );
});

t.test('a group of three answers random requests like the twin', { timeout: 120_000 }, async () => {
  const settings = { checkpointLogBytes: 3000, logTailEntries: 5 };
  await fc.assert(
    fc.asyncProperty(steps({ lengthMax: 120, restarts: false }), async (list) => {
      const { store, dispose } = await openSimulatedStore(++seed, settings);
      try {
        await compareSteps([{ name: 'group of three', store }], list);
      } finally {
        await store.close();
        await dispose();
      }
    }),
    { numRuns: 20 },
  );
});

t.test('three processes answer random requests like the twin', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(steps({ lengthMax: 120, restarts: false }), async (list) => {
      await using group = await openProcesses();
      const store = await groupFollower(group);
      await compareSteps([{ name: 'three processes', store }], list);
    }),
    { numRuns: 4 },
  );
});
