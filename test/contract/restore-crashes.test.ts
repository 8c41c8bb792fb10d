/**
 * Power lost at any point of `Restore`: behind the next start there is either a cluster with what the
 * snapshot holds, or none and nothing that bars the next attempt. The supervisor's part and control's own
 * program, on directories copied at each point.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { takeRestored } from '#control/restored-store.ts';
import { saveSnapshot } from '#control/store/snapshot-file.ts';
import { openStore } from '#control/store/store.ts';
import { ClusterRestore } from '#daemon/supervisor/restore-cluster.ts';
import type { NodeCluster } from '#daemon/supervisor/restore-cluster.ts';

const { signal } = new AbortController();
const MAIN = new URL('../../control/main.ts', import.meta.url).pathname;
const HALVES = 2;

/** A machine's two volumes, STATE with the record and STORE. */
class Machine implements NodeCluster {
  readonly #root: string;
  readonly dir: string;
  readonly restore: ClusterRestore;
  readonly events = { add: () => {} };
  /** What happens when the record is about to be written. */
  beforeRecord = () => {};

  constructor(root: string) {
    this.#root = root;
    this.dir = join(root, 'control');
    mkdirSync(this.dir, { recursive: true });
    const [program, args] = [process.execPath, ['--no-warnings', MAIN]];
    const uid = process.getuid?.() ?? 0;
    this.restore = new ClusterRestore(this, {
      dir: this.dir,
      configFile: '',
      uid,
      program,
      args,
      env: {},
    });
  }

  get state() {
    return { bootstrapped: existsSync(join(this.#root, 'bootstrapped')) };
  }

  requireNoCluster(): void {
    if (this.state.bootstrapped) throw new Error('the cluster was bootstrapped already');
  }

  bootstrap(): Promise<void> {
    this.beforeRecord();
    writeFileSync(join(this.#root, 'bootstrapped'), '');
    return Promise.resolve();
  }

  /** What is on the disks now, after a power cut, in the hands of the next start. */
  copy(to: string): Machine {
    cpSync(this.#root, to, { recursive: true });
    return new Machine(to);
  }
}

async function openIn(dir: string) {
  return openStore({ dataDir: join(dir, 'store'), clock: new RealClock(), log: silentLog });
}

async function snapshotIn(dir: string): Promise<Buffer> {
  const store = await openIn(join(dir, 'origin'));
  const request = { key: 'k', value: Buffer.from('kept') };
  await store.txn({ compare: [], success: [{ kind: 'put', request }], failure: [] }, signal);
  await saveSnapshot(store, join(dir, 'a.snapshot'), signal);
  await store.close();
  return readFileSync(join(dir, 'a.snapshot'));
}

async function* inHalves(bytes: Buffer, between: (half: number) => void = () => {}) {
  const middle = Math.floor(bytes.length / HALVES);
  for (const [half, data] of [bytes.subarray(0, middle), bytes.subarray(middle)].entries()) {
    yield { data };
    between(half);
  }
}

/** As control does at its start. */
async function hasTaken(t: Test, machine: Machine, name: string): Promise<void> {
  takeRestored(machine.dir);
  t.same(readdirSync(machine.dir), ['store'], `${name}: nothing is left over`);
  const store = await openIn(machine.dir);
  const { kvs } = await store.range({ key: 'k' }, signal);
  t.equal(Buffer.from(kvs[0]?.value ?? '').toString(), 'kept', `${name}: it holds the snapshot`);
  await store.close();
}

t.test('power is lost at each point of a restore', async (t) => {
  const dir = t.testdir();
  const bytes = await snapshotIn(dir);
  const machine = new Machine(join(dir, 'machine'));
  const cuts = new Map<string, Machine>();
  const cut = (name: string) => {
    const copy = machine.copy(join(dir, `cut ${cuts.size}`));
    cuts.set(name, copy);
    return copy;
  };
  machine.beforeRecord = () => {
    const made = cut('before the record');
    const making = cut('while the store is made');
    renameSync(join(making.dir, 'restore/store'), join(making.dir, 'restore/store.restoring'));
    t.notOk(existsSync(join(made.dir, 'store')), 'control has no store before the record');
  };
  const halves = inHalves(bytes, (half) => cut(half === 0 ? 'while it comes in' : 'when it came'));
  await machine.restore.run(halves, signal);
  cut('behind the record');
  const taken = cut('when control has taken it');
  renameSync(join(taken.dir, 'restore/store'), join(taken.dir, 'store'));
  t.equal(cuts.size, 6);
  for (const [name, after] of cuts) {
    after.restore.tidy();
    if (!after.state.bootstrapped) {
      t.same(readdirSync(after.dir), [], `${name}: a start removes what was left`);
      const { revision } = await after.restore.run(inHalves(bytes), signal);
      t.ok((revision ?? 0) > 1_000_000_000, `${name}: the next attempt succeeds`);
    }
    await hasTaken(t, after, name);
  }
});

t.test('a failure leaves nothing, and bars nothing', async (t) => {
  const dir = t.testdir();
  const bytes = await snapshotIn(dir);
  const machine = new Machine(join(dir, 'machine'));
  const cutShort = inHalves(bytes.subarray(0, bytes.length - 50));
  await t.rejects(machine.restore.run(cutShort, signal), { code: 'INVALID_ARGUMENT' });
  t.same(readdirSync(machine.dir), []);
  machine.beforeRecord = () => {
    throw new Error('STATE is full');
  };
  await t.rejects(machine.restore.run(inHalves(bytes), signal), { message: 'STATE is full' });
  t.same(readdirSync(machine.dir), [], 'no store without its record');
  machine.beforeRecord = () => {};
  await machine.restore.run(inHalves(bytes), signal);
  await hasTaken(t, machine, 'then');
});

t.test('a cluster is not begun in two ways at once', async (t) => {
  const dir = t.testdir();
  const bytes = await snapshotIn(dir);
  const machine = new Machine(join(dir, 'machine'));
  const others: Promise<unknown>[] = [];
  const meanwhile = () => {
    others.push(machine.restore.bootstrap(), machine.restore.run(inHalves(bytes), signal));
    for (const other of others) other.catch(() => {});
  };
  await machine.restore.run(
    inHalves(bytes, (half) => half === 0 && meanwhile()),
    signal,
  );
  t.equal(others.length, 2);
  for (const other of others) {
    await t.rejects(other, { code: 'FAILED_PRECONDITION', message: /is being restored/ });
  }
  await hasTaken(t, machine, 'the first');
});

t.test('an empty cluster does not take what a restore has left', async (t) => {
  const machine = new Machine(join(t.testdir(), 'machine'));
  mkdirSync(join(machine.dir, 'restore/store'), { recursive: true });
  await machine.restore.bootstrap();
  t.same(readdirSync(machine.dir), []);
});

t.test('a store that is there already is not replaced', async (t) => {
  const dir = t.testdir();
  const bytes = await snapshotIn(dir);
  const machine = new Machine(join(dir, 'machine'));
  mkdirSync(join(machine.dir, 'store'));
  const refused = { code: 'FAILED_PRECONDITION', message: /holds a store already/ };
  await t.rejects(machine.restore.run(inHalves(bytes), signal), refused);
  t.same(readdirSync(machine.dir), ['store']);
});
