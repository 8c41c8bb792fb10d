/** Members whose disks are damaged, in the simulator: what they get from the others, and what not. */
import t from 'tap';
import { must } from '#base/assert.ts';
import type { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { StoreError } from '#control/store/port.ts';
import type { Store, TxnRequest } from '#control/store/port.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import type { SimMember } from './member.ts';

const { signal } = new AbortController();

const small = {
  checkpointLogBytes: 20_000,
  segmentBytes: 20_000,
  preallocateBytes: 4096,
  ballastPieceBytes: 512,
  logTailEntries: 10,
};

function put(key: string, value: string): TxnRequest {
  return {
    compare: [],
    success: [{ kind: 'put', request: { key, value: Buffer.from(value) } }],
    failure: [],
  };
}

async function threeMembers(seed: number, settings = small): Promise<Group> {
  const group = new Group(new SeededRandom(seed), settings);
  await group.grow(3);
  return group;
}

async function fill(group: Group, store: Store, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await group.finish(store.txn(put(`key ${i % 97}`, `${i} ${'x'.repeat(500)}`), signal), 10_000);
  }
}

function equalStates(group: Group): boolean {
  const states = group.members.map(({ engine }) => engine?.state.appliedIndex);
  return states.every((index) => index !== undefined && index === states[0]);
}

function segments(disk: MemoryDisk): readonly string[] {
  return disk.list().filter((name) => name.startsWith('wal-'));
}

/** Flips a bit of each of these files, somewhere in the middle. */
function rot(disk: MemoryDisk, names: readonly string[]): void {
  for (const name of names) {
    disk.damage(name, (bytes) => {
      const end = bytes.findLastIndex((byte) => byte !== 0);
      const at = Math.floor(end * 0.4);
      bytes[at] = (bytes[at] ?? 0) ^ 4;
    });
  }
}

function stopAll(group: Group): void {
  for (const member of group.members) member.kill();
}

/** A follower, and who else there is. */
function victimOf(group: Group): { victim: SimMember; other: SimMember } {
  const leader = must(group.leader, 'a leader');
  const [victim, other] = group.members.filter((member) => member !== leader);
  return { victim: must(victim, 'a follower'), other: must(other, 'another') };
}

t.test('a damaged log is repaired from a peer, though nobody leads without it', async (t) => {
  for (const seed of [1, 2, 3, 4]) {
    // Long logs, so that peers have the entries in segments alone.
    const group = await threeMembers(seed, { ...small, checkpointLogBytes: 200_000 });
    const { victim, other } = victimOf(group);
    const { store } = group.connect(other);
    await fill(group, store, 150);
    await group.runUntil(() => equalStates(group), 5000);
    stopAll(group);
    rot(victim.disk, segments(victim.disk).slice(1));
    victim.start();
    t.notOk(victim.isUp, 'it does not take part');
    await group.run(3000);
    t.notOk(victim.isUp, 'alone it stays so');
    other.start();
    await group.runUntil(() => group.leader !== undefined, 20_000);
    const { count } = await group.finish(
      store.range({ key: 'key', rangeEnd: 'l' }, signal),
      20_000,
    );
    t.equal(count, 97, 'nothing is lost');
    t.ok(victim.logged.some((line) => line.includes('log repaired')));
    for (const member of group.members) member.start();
    await fill(group, store, 10);
    await group.runUntil(() => equalStates(group), 20_000);
    victim.kill();
    victim.start();
    t.ok(victim.isUp, 'the log is whole');
    group.close();
  }
});

t.test('damaged checkpoints are repaired from a peer, and the vote is kept', async (t) => {
  const group = await threeMembers(5);
  const { victim, other } = victimOf(group);
  const { store } = group.connect(other);
  await fill(group, store, 200);
  await group.runUntil(() => equalStates(group), 5000);
  await group.run(1000);
  const term = victim.engine?.status().raftTerm ?? 0;
  stopAll(group);
  rot(
    victim.disk,
    victim.disk.list().filter((name) => name.startsWith('checkpoint-')),
  );
  victim.start();
  t.notOk(victim.isUp);
  other.start();
  await group.runUntil(() => group.leader !== undefined, 20_000);
  t.ok(victim.logged.some((line) => line.includes('checkpoint repaired')));
  t.ok((victim.engine?.status().raftTerm ?? 0) >= term);
  for (const member of group.members) member.start();
  await fill(group, store, 10);
  await group.runUntil(() => equalStates(group), 20_000);
  t.equal(group.members.length, 3);
  group.close();
});

t.test('a group of one says what is damaged, and what helps', async (t) => {
  const group = new Group(new SeededRandom(3), small);
  const [alone] = group.members;
  const member = must(alone, 'a founder');
  await fill(group, group.connect(member).store, 20);
  member.kill();
  rot(member.disk, segments(member.disk).slice(-1));
  member.start();
  t.notOk(member.isUp);
  const [failure] = group.failures;
  t.ok(failure instanceof StoreError);
  t.match(failure, {
    code: 'CORRUPT',
    message:
      /^log segment wal-0+\d\.log has a damaged batch \d+ at byte \d+: entr(y|ies) \d+.* cannot be read, .*: a group of one .*bareboat store restore/,
  });
  group.close();
});
