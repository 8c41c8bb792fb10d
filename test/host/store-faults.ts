/**
 * Faults of a group of three real processes, each with what must hold during it and after it. They run
 * one after another under load; a fault leaves the group whole. Bounds are wide, for machines that are
 * busy with other things; order and content are strict (test/contract/store-load.ts).
 */
import { writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import { StoreError } from '#control/store/store.ts';
import type { OwnStore } from '#control/store/store.ts';
import type { StoreLoad } from '#test/contract/store-load.ts';
import { leaderOf, waitFor } from '#test/contract/store-process.ts';
import type { StoreGroup, StoreProcess } from '#test/contract/store-process.ts';
import type { StoreNet } from './store-net.ts';

/** Longer than the time-out of elections, 2 s at most. */
const PAUSE_MS = 3000;
/** Members say no within 5 s; a client asks for so long again what came of a write. */
const REFUSAL_MS_MAX = 30_000;
/** Until a group that can has a leader and writes, and until it is whole again. */
const RECOVERY_MS_MAX = 30_000;
const WRITES = 50;

export interface Scene {
  readonly group: StoreGroup;
  readonly net: StoreNet;
  /** A client of each member alone. */
  readonly stores: readonly OwnStore[];
  readonly load: StoreLoad;
  readonly dataDir: (number: number) => string;
  readonly signal: AbortSignal;
}

export interface Fault {
  readonly name: string;
  readonly run: (t: Test, scene: Scene) => Promise<void>;
}

export const FAULTS: readonly Fault[] = [
  { name: 'SIGKILL of the leader', run: (t, scene) => killed(t, scene, 'leader') },
  { name: 'SIGKILL of a follower', run: (t, scene) => killed(t, scene, 'follower') },
  { name: 'SIGSTOP of the leader', run: (t, scene) => stopped(t, scene, 'leader') },
  { name: 'SIGSTOP of a follower', run: (t, scene) => stopped(t, scene, 'follower') },
  { name: 'SIGKILL of two, the third refuses', run: twoKilled },
  { name: 'SIGKILL of all', run: allKilled },
  { name: 'partition: the leader alone with its clients', run: leaderAlone },
  { name: 'partition: a follower without a way out', run: followerUnreachable },
  { name: 'partition: the leader is not heard', run: (t, scene) => oneWay(t, scene, 'out') },
  { name: 'partition: the leader does not hear', run: (t, scene) => oneWay(t, scene, 'in') },
  { name: 'partition: a follower comes and goes', run: flapping },
  { name: 'loss of every tenth packet', run: lossy },
  { name: 'delay, reordering and little rate', run: slow },
  { name: 'disk of a follower full', run: (t, scene) => diskFull(t, scene, 'follower') },
  { name: 'disk of the leader full', run: (t, scene) => diskFull(t, scene, 'leader') },
];

type Role = 'leader' | 'follower';

interface Chosen {
  readonly number: number;
  readonly member: StoreProcess;
  readonly store: OwnStore;
  /** Clients of the other two. */
  readonly others: readonly OwnStore[];
}

async function choose({ group, stores }: Scene, role: Role): Promise<Chosen> {
  const leader = await leaderOf(stores);
  const number = role === 'leader' ? leader : (leader + 1) % stores.length;
  const store = must(stores[number], 'a store');
  const member = must(group.members[number], 'a member');
  return { number, member, store, others: stores.filter((other) => other !== store) };
}

async function killed(t: Test, scene: Scene, role: Role): Promise<void> {
  const { member, others } = await choose(scene, role);
  await member.end('SIGKILL');
  await goesOn(t, scene, others);
  await member.start();
  await isWhole(t, scene);
}

async function twoKilled(t: Test, scene: Scene): Promise<void> {
  const { store, member } = await choose(scene, 'follower');
  const victims = scene.group.members.filter((other) => other !== member);
  await Promise.all(victims.map((victim) => victim.end('SIGKILL')));
  await refuses(t, scene, store);
  await Promise.all(victims.map((victim) => victim.start()));
  await goesOn(t, scene, scene.stores);
  await isWhole(t, scene);
}

async function allKilled(t: Test, scene: Scene): Promise<void> {
  const { members } = scene.group;
  await Promise.all(members.map((member) => member.end('SIGKILL')));
  await Promise.all(members.map((member) => member.start()));
  await goesOn(t, scene, scene.stores);
  await isWhole(t, scene);
}

async function stopped(t: Test, scene: Scene, role: Role): Promise<void> {
  const { member, others, store } = await choose(scene, role);
  member.signal('SIGSTOP');
  await Promise.all([goesOn(t, scene, others), sleep(PAUSE_MS)]);
  const { floor } = scene.load;
  const read = store.range({ key: 'k' }, scene.signal).catch(codeOf);
  member.signal('SIGCONT');
  const answer = await within(REFUSAL_MS_MAX, read);
  const isFresh = typeof answer === 'string' ? answer === 'UNAVAILABLE' : answer.revision >= floor;
  t.ok(isFresh, 'a read that waited for it is not from before');
  await isWhole(t, scene);
}

async function leaderAlone(t: Test, scene: Scene): Promise<void> {
  const { number, store, others } = await choose(scene, 'leader');
  scene.net.cutFromMembers(number);
  await Promise.all([goesOn(t, scene, others), refuses(t, scene, store)]);
  scene.net.heal();
  await isWhole(t, scene);
}

/** Neither members nor clients reach it: its clients hear nothing, and who knows others goes there. */
async function followerUnreachable(t: Test, scene: Scene): Promise<void> {
  const { number, others } = await choose(scene, 'follower');
  const rest = [...scene.stores.keys()].filter((other) => other !== number);
  const client = await scene.group.connect([number, ...rest], scene.signal);
  await client.status(scene.signal);
  scene.net.cutFromMembers(number);
  scene.net.cutFromClients(number);
  const read = within(RECOVERY_MS_MAX, client.range({ key: 'k' }, scene.signal));
  await Promise.all([goesOn(t, scene, others), sleep(PAUSE_MS), read]);
  t.ok((await read).revision > 0, 'a client that knows other members asks them');
  scene.net.heal();
  await isWhole(t, scene);
}

/** Frames are lost in one direction, so that connections stay and starve. */
async function oneWay(t: Test, scene: Scene, direction: 'in' | 'out'): Promise<void> {
  const { number, others } = await choose(scene, 'leader');
  for (const other of scene.stores.keys()) {
    if (other === number) continue;
    if (direction === 'out') scene.net.cutOneWay(number, other);
    else scene.net.cutOneWay(other, number);
  }
  await Promise.all([goesOn(t, scene, others), sleep(PAUSE_MS)]);
  scene.net.heal();
  await isWhole(t, scene);
}

/** With pre-votes and check-quorum a member that comes and goes does not end the leader's term. */
async function flapping(t: Test, scene: Scene): Promise<void> {
  const { number, others } = await choose(scene, 'follower');
  for (let times = 0; times < 4; times++) {
    scene.net.cutFromMembers(number);
    await sleep(600);
    scene.net.heal();
    await sleep(200);
  }
  await goesOn(t, scene, others);
  await isWhole(t, scene);
}

async function lossy(t: Test, scene: Scene): Promise<void> {
  scene.net.lose(10);
  await Promise.all([goesOn(t, scene, scene.stores), sleep(PAUSE_MS)]);
  scene.net.heal();
  await isWhole(t, scene);
}

/** Queues at every member: what comes in bursts waits, a quarter of the packets much longer. */
async function slow(t: Test, scene: Scene): Promise<void> {
  for (const number of scene.stores.keys()) scene.net.shape(number, { kbit: 4000, slowKbit: 800 });
  await Promise.all([goesOn(t, scene, scene.stores), sleep(PAUSE_MS)]);
  for (const number of scene.stores.keys()) scene.net.unshape(number);
  await isWhole(t, scene);
}

/** A full follower lags; a full leader refuses growth, and says why. Neither ends the group. */
async function diskFull(t: Test, scene: Scene, role: Role): Promise<void> {
  const { number, others, member } = await choose(scene, role);
  const filler = join(scene.dataDir(number), 'filler');
  const refused = scene.load.errors.get('NO_SPACE') ?? 0;
  const during = role === 'follower' ? goesOn(t, scene, others) : Promise.resolve();
  const startedAt = performance.now();
  const isTold = () => role === 'follower' || (scene.load.errors.get('NO_SPACE') ?? 0) > refused;
  const isDue = (ms: number) => performance.now() - startedAt < ms;
  // Again and again: what the member gives free is gone at once. What it holds ahead lasts for a while.
  while (isDue(PAUSE_MS) || (!isTold() && isDue(RECOVERY_MS_MAX))) {
    fill(filler);
    await sleep(50);
  }
  await during;
  if (role === 'leader') t.ok(isTold(), 'writers are told NO_SPACE');
  rmSync(filler);
  t.ok(member.isAlive, 'it did not end');
  await goesOn(t, scene, scene.stores);
  await isWhole(t, scene);
}

function fill(path: string): void {
  for (const bytes of [1 << 20, 1 << 12]) {
    try {
      while (true) writeFileSync(path, new Uint8Array(bytes), { flag: 'a' });
    } catch (error) {
      if (!isErrno(error, 'ENOSPC')) throw error;
    }
  }
}

/** These members have a leader, and clients of any of them write. */
async function goesOn(t: Test, scene: Scene, stores: readonly OwnStore[]): Promise<void> {
  const startedAt = performance.now();
  await within(RECOVERY_MS_MAX, leaderOf(stores));
  const ledAt = performance.now();
  const before = scene.load.acknowledged.size;
  await within(
    RECOVERY_MS_MAX,
    waitFor(() => Promise.resolve(scene.load.acknowledged.size >= before + WRITES)),
  );
  const [leaderMs, writesMs] = [ledAt - startedAt, performance.now() - ledAt].map(Math.round);
  t.pass(`led after ${leaderMs} ms, ${WRITES} writes after ${writesMs} ms more`);
}

/** A member without a quorum says so, in bounded time, to readers and to writers. */
async function refuses(t: Test, scene: Scene, store: OwnStore): Promise<void> {
  const startedAt = performance.now();
  // Until its leader's term has run out it may still answer what was asked before.
  const put = { kind: 'put', request: { key: 'refused', value: new Uint8Array(1) } } as const;
  const txn = { compare: [], success: [put], failure: [] };
  await sleep(PAUSE_MS);
  const [read, write] = await within(
    REFUSAL_MS_MAX,
    Promise.all([
      store.range({ key: 'k' }, scene.signal).catch(codeOf),
      store.txn(txn, scene.signal).catch(codeOf),
    ]),
  );
  t.equal(read, 'UNAVAILABLE', 'a read is refused');
  t.match(write, /^(UNAVAILABLE|OUTCOME_UNKNOWN)$/, 'a write is refused, or unknown');
  t.comment(
    `refused ${Math.round(performance.now() - startedAt - PAUSE_MS)} ms after the question`,
  );
}

/** All members hear one leader and have caught up with what was acknowledged until now. */
async function isWhole(t: Test, { stores, load, signal }: Scene): Promise<void> {
  const startedAt = performance.now();
  await within(RECOVERY_MS_MAX, leaderOf(stores));
  const { floor } = load;
  await within(
    RECOVERY_MS_MAX,
    waitFor(async () => {
      const asked = stores.map((store) => store.status(signal).catch(() => undefined));
      return (await Promise.all(asked)).every((status) => (status?.revision ?? 0) >= floor);
    }),
  );
  t.pass(`all at revision ${floor} after ${Math.round(performance.now() - startedAt)} ms`);
}

function codeOf(error: unknown): string {
  if (error instanceof StoreError) return error.code;
  throw error;
}

export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`it took longer than ${ms} ms`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
