/**
 * Power fails at a random change of the disk, with a random part of the unsynced sectors kept. Goal:
 * what was acknowledged is there afterwards, and the rest is a prefix of what was asked, in order.
 */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { silentLog } from '#base/log.ts';
import { MemoryDisk } from './disk/memory-disk.ts';
import { openStoreOn } from './open.ts';
import { StoreError } from './port.ts';
import type { Store } from './port.ts';

const signal = new AbortController().signal;

/** A small generator of [0, 1), so that a seed replays a run. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function keyOf(number: number): string {
  return `k${String(number).padStart(6, '0')}`;
}

class Run {
  readonly disk = new MemoryDisk();
  readonly random: () => number;
  asked = 0;
  acknowledged = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  open(): Store {
    const io = { disk: this.disk, crc32, log: silentLog, monotonicMs: () => 0 };
    return openStoreOn({ ...io, random: this.random }, { checkpointLogBytes: 2000 });
  }

  /** Writes keys in order, several at a time, until the power fails or `count` are asked. */
  async write(store: Store, count: number): Promise<void> {
    const puts: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      puts.push(this.#put(store, this.asked++));
      if (this.random() < 0.3) await puts[i];
    }
    await Promise.all(puts);
  }

  /** All acknowledged keys, then maybe some that were asked for, without a hole. */
  async check(store: Store): Promise<void> {
    const { kvs } = await store.range({ key: 'k', rangeEnd: 'l' }, signal);
    for (const [i, { key }] of kvs.entries()) {
      if (key !== keyOf(i)) throw new Error(`key ${i} is ${key}`);
    }
    if (kvs.length < this.acknowledged) {
      throw new Error(`${this.acknowledged} writes were acknowledged, ${kvs.length} are there`);
    }
    this.asked = kvs.length;
    this.acknowledged = kvs.length;
  }

  async #put(store: Store, number: number): Promise<void> {
    const value = new Uint8Array(Math.floor(this.random() * 600));
    const success = [{ kind: 'put', request: { key: keyOf(number), value } }] as const;
    try {
      await store.txn({ compare: [], success, failure: [] }, signal);
      this.acknowledged = Math.max(this.acknowledged, number + 1);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }
}

async function cutAndRecover(seed: number, cutsAt: readonly number[]): Promise<void> {
  const run = new Run(seed);
  for (const cutAt of cutsAt) {
    let left = cutAt;
    run.disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new Error('power cut');
    };
    let store: Store | undefined;
    try {
      store = run.open();
    } catch (error) {
      if (error instanceof StoreError) throw error;
    }
    if (store !== undefined) await run.write(store, 40);
    run.disk.faults.beforeChange = () => {};
    const share = run.random();
    run.disk.crash(() => run.random() < share);
    await store?.close();
    const recovered = run.open();
    await run.check(recovered);
    await recovered.close();
  }
}

t.test('a power cut at any change of the disk loses nothing acknowledged', async () => {
  const cuts = fc.array(fc.integer({ min: 0, max: 120 }), { minLength: 1, maxLength: 4 });
  await fc.assert(fc.asyncProperty(fc.integer(), cuts, cutAndRecover), {
    numRuns: Number(process.env['POWER_CUTS'] ?? 60),
  });
});

t.test('a failing sync ends the store, and its writes are unknown, not lost', async (t) => {
  const run = new Run(1);
  const store = run.open();
  await run.write(store, 5);
  run.disk.faults.failSync = () => true;
  const success = [{ kind: 'put', request: { key: 'x', value: new Uint8Array(1) } }] as const;
  const write = store.txn({ compare: [], success, failure: [] }, signal);
  await t.rejects(write, { code: 'OUTCOME_UNKNOWN' });
  await t.rejects(store.range({ key: 'x' }, signal), { code: 'CLOSED' });
  run.disk.faults.failSync = () => false;
  const reopened = run.open();
  t.equal((await reopened.range({ key: 'x' }, signal)).count, 1);
  run.disk.crash(() => false);
  await reopened.close();
  const again = run.open();
  t.equal((await again.range({ key: 'x' }, signal)).count, 1, 'what was read stays');
  await run.check(again);
  await again.close();
});

t.test('a full disk refuses writes, answers reads, and takes writes again', async (t) => {
  const run = new Run(2);
  const store = run.open();
  await run.write(store, 5);
  run.disk.faults.capacityBytes = 0;
  const value = new Uint8Array(1024 * 1024);
  const success = [{ kind: 'put', request: { key: 'x', value } }] as const;
  const request = { compare: [], success, failure: [] };
  await t.rejects(store.txn(request, signal), { code: 'NO_SPACE' });
  t.equal((await store.range({ key: 'k', rangeEnd: 'l' }, signal)).count, 5);
  run.disk.faults.capacityBytes = 1e9;
  await store.txn(request, signal);
  t.equal((await store.range({ key: 'x' }, signal)).count, 1);
  await store.close();
});
