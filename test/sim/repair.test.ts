/** Members whose disks are damaged, in the simulator: what they get from the others, and what not. */
import t from 'tap';
import type { Test } from 'tap';
import { must } from '#base/assert.ts';
import { ByteReader } from '#control/store/codec/bytes.ts';
import { decodePeerMessage } from '#control/store/codec/peer.ts';
import type { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { readNote, writeNote } from '#control/store/engine/outcast.ts';
import { StoreError } from '#control/store/port.ts';
import type { Store } from '#control/store/port.ts';
import { BATCH_HEADER_BYTES } from '#control/store/wal/format.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import type { SimClient } from './group.ts';
import { PowerFailure } from './member.ts';
import type { SimMember } from './member.ts';
import { SMALL, put } from './small-group.ts';

const { signal } = new AbortController();

async function threeMembers(seed: number, settings = SMALL): Promise<Group> {
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
    const group = await threeMembers(seed, { ...SMALL, checkpointLogBytes: 200_000 });
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

t.test(
  'a log that does not say who the members are is repaired from one that speaks',
  async (t) => {
    const group = await threeMembers(15, { ...SMALL, checkpointLogBytes: 10_000_000 });
    const { victim, other } = victimOf(group);
    const { store } = group.connect(other);
    await fill(group, store, 50);
    await group.runUntil(() => equalStates(group), 5000);
    // All that was in the log so far is in one segment, and the next goes on behind it.
    for (let i = 0; i < 2; i++) {
      victim.kill();
      victim.start();
      await fill(group, store, 5);
    }
    victim.kill();
    const names = segments(victim.disk);
    for (const name of names.slice(0, -1)) victim.disk.damage(name, (bytes) => bytes.fill(1, 80));
    victim.start();
    t.match(victim.repair?.damage.message, /: entries 1 to \d+/);
    await group.runUntil(() => victim.isUp && equalStates(group), 20_000);
    t.ok(victim.logged.some((line) => line.includes('log repaired')));
    group.close();
  },
);

t.test('a group of one says what is damaged, and what helps', async (t) => {
  const group = new Group(new SeededRandom(3), SMALL);
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

t.test('what nobody has any more is not made up for', async (t) => {
  const group = await threeMembers(6);
  const { victim, other } = victimOf(group);
  const client = group.connect(other);
  const key = keyOf(group, victim);
  await fill(group, client.store, 60);
  await group.runUntil(() => equalStates(group), 5000);
  victim.kill();
  await fill(group, client.store, 300);
  rot(
    victim.disk,
    victim.disk.list().filter((name) => name.startsWith('checkpoint-')),
  );
  victim.start();
  await t.rejects(group.run(5000), { cause: { code: 'CORRUPT', message: /no other checkpoint/ } });
  group.failures = [];
  const { id, groupId } = { id: victim.id, groupId: group.leader?.engine?.groupId ?? 0 };
  writeNote(victim.disk, { groupId, memberId: id, reason: 'a test', others: [] });
  await comeBack(group, victim, { client, key });
  await isVoterAgain(group, victim);
  t.not(victim.id, id);
  group.close();
});

/** As the host of a member does it (control/store/member.ts). */
async function comeBack(
  group: Group,
  member: SimMember,
  { client, key }: { client: SimClient; key: string },
): Promise<void> {
  const note = readNote(member.disk);
  for (let isIn = false; !isIn; ) {
    try {
      const former = { formerId: note?.memberId ?? 0, key, address: '' };
      const next = await group.finish(client.store.rejoin(former, signal), 10_000);
      if (note === undefined) member.join = next;
      else writeNote(member.disk, { ...note, next });
      isIn = true;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'UNAVAILABLE') throw error;
      await group.run(300);
    }
  }
  member.start();
}

function keyOf(group: Group, member: SimMember): string {
  return must(group.leader?.engine?.state.roster.get(member.id)?.key, 'the group knows the key');
}

async function isVoterAgain(group: Group, member: SimMember): Promise<void> {
  await group.runUntil(() => {
    const { voters = [], learners = [] } = member.engine?.state.members ?? {};
    return voters.length === 3 && learners.length === 0 && voters.includes(member.id);
  }, 30_000);
  await group.runUntil(() => equalStates(group), 10_000);
}

t.test('a member whose disk was set back comes in anew under another id', async (t) => {
  const group = await threeMembers(11);
  const { victim, other } = victimOf(group);
  const client = group.connect(other);
  const key = keyOf(group, victim);
  const image = victim.disk.image();
  await fill(group, client.store, 30);
  await group.runUntil(() => equalStates(group), 5000);
  victim.kill();
  const { id } = victim;
  victim.disk.rollBack(image);
  group.oracle.log.forget(victim);
  victim.start();
  await t.rejects(group.run(5000), { cause: { code: 'CORRUPT', message: /was set back$/ } });
  group.failures = [];
  victim.start();
  t.notOk(victim.isUp, 'its directory is not opened');
  t.match(group.failures[0], { code: 'CORRUPT', message: /has to come in anew/ });
  group.failures = [];
  await comeBack(group, victim, { client, key });
  t.not(victim.id, id);
  t.ok(victim.disk.list().some((name) => name.startsWith(`former-${id}-wal-`)));
  await isVoterAgain(group, victim);
  await group.run(500);
  t.notOk(
    victim.disk.list().some((name) => name.startsWith('former-')),
    'what it was is gone',
  );
  await fill(group, client.store, 10);
  victim.kill();
  victim.start();
  t.ok(victim.isUp);
  group.close();
});

t.test('a member that lost its disk comes in anew, and asks twice for one id', async (t) => {
  const group = await threeMembers(12);
  const { victim, other } = victimOf(group);
  const client = group.connect(other);
  await fill(group, client.store, 30);
  const key = keyOf(group, victim);
  const former = { formerId: 0, key, address: '' };
  const early = client.store.rejoin(former, signal);
  await t.rejects(group.finish(early, 10_000), { code: 'UNAVAILABLE' }, 'it takes part');
  victim.kill();
  victim.disk.wipe();
  await group.run(3000);
  const first = await group.finish(client.store.rejoin(former, signal), 10_000);
  const again = await group.finish(client.store.rejoin(former, signal), 10_000);
  t.same(again, first);
  const foreign = client.store.rejoin({ ...former, key: 'unknown' }, signal);
  await t.rejects(group.finish(foreign, 10_000), { code: 'INVALID_REQUEST' });
  victim.join = first;
  victim.start();
  await isVoterAgain(group, victim);
  group.close();
});

t.test('a crash at any moment of coming in anew leaves one of the two', async (t) => {
  for (let cutAt = 0; cutAt < 24; cutAt++) {
    const group = await threeMembers(20 + cutAt);
    const { victim, other } = victimOf(group);
    const client = group.connect(other);
    const key = keyOf(group, victim);
    await fill(group, client.store, 5);
    try {
      victim.engine?.expel('a test says so');
    } catch (error) {
      victim.kill(error);
    }
    group.failures = [];
    await group.run(2500);
    let left = cutAt;
    victim.disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new PowerFailure('power failed');
    };
    try {
      await comeBack(group, victim, { client, key });
    } catch (error) {
      if (!(error instanceof PowerFailure)) throw error;
    }
    await group.run(50);
    victim.kill();
    victim.disk.faults.beforeChange = () => {};
    victim.disk.crash({ keep: () => group.random.chance(0.5) });
    if (readNote(victim.disk)?.next === undefined) await comeBack(group, victim, { client, key });
    else victim.start();
    await isVoterAgain(group, victim);
    group.close();
  }
  t.pass('all cuts');
});

/** Its memory holds what nobody wrote: the next comparison finds it. */
async function fence(t: Test, group: Group, victim: SimMember, client: SimClient): Promise<void> {
  group.oracle.suspects.add(victim);
  victim.engine?.state.leases.grant(999_999, 1000);
  void client.store.txn(put('a', 'x'), signal).catch(() => {});
  await t.rejects(group.run(3000), { cause: { code: 'CORRUPT', message: /differs from that/ } });
  group.failures = [];
  group.oracle.suspects.delete(victim);
}

t.test('a fenced member that differs when it starts again comes in anew', async (t) => {
  const group = await threeMembers(13);
  const { victim, other } = victimOf(group);
  const client = group.connect(other);
  const key = keyOf(group, victim);
  await fill(group, client.store, 3);
  await fence(t, group, victim, client);
  victim.start();
  t.ok(victim.isUp);
  await fence(t, group, victim, client);
  victim.start();
  t.notOk(victim.isUp);
  group.failures = [];
  await comeBack(group, victim, { client, key });
  await isVoterAgain(group, victim);
  group.close();
});

t.test('a fence is forgotten once the member is right again', async (t) => {
  const group = await threeMembers(16);
  const { victim, other } = victimOf(group);
  const client = group.connect(other);
  await fill(group, client.store, 3);
  const { id } = victim;
  for (let round = 0; round < 3; round++) {
    await fence(t, group, victim, client);
    t.ok(victim.disk.list().includes('fenced.json'));
    victim.start();
    await group.runUntil(() => equalStates(group), 10_000);
    await group.run(1500);
    t.notOk(victim.disk.list().includes('fenced.json'));
    victim.disk.crash({ keep: () => false });
    t.notOk(victim.disk.list().includes('fenced.json'), 'durably');
  }
  t.equal(victim.id, id);
  group.close();
});

t.test('a member that cannot reach anybody goes on asking, and keeps its id', async (t) => {
  const group = await threeMembers(14, { ...SMALL, checkpointLogBytes: 200_000 });
  const { victim, other } = victimOf(group);
  const { store } = group.connect(other);
  await fill(group, store, 150);
  await group.runUntil(() => equalStates(group), 5000);
  stopAll(group);
  const { id } = victim;
  rot(victim.disk, segments(victim.disk).slice(1));
  victim.start();
  // As after a power cut, when some machines take their time.
  await group.run(60_000);
  other.start();
  await group.runUntil(() => group.leader !== undefined, 20_000);
  t.equal(victim.id, id);
  t.ok(victim.logged.some((line) => line.includes('log repaired')));
  group.close();
});

t.test('two that are damaged help each other, without the third', async (t) => {
  for (const seed of [41, 42, 43]) {
    const group = await threeMembers(seed, { ...SMALL, checkpointLogBytes: 200_000 });
    const { victim, other } = victimOf(group);
    const third = must(
      group.members.find((member) => member !== victim && member !== other),
      'a third',
    );
    const { store } = group.connect(third);
    await fill(group, store, 150);
    await group.runUntil(() => equalStates(group), 5000);
    await group.run(500);
    stopAll(group);
    rot(victim.disk, segments(victim.disk).slice(1, 2));
    rot(other.disk, segments(other.disk).slice(2, 3));
    victim.start();
    other.start();
    t.notOk(victim.isUp || other.isUp);
    await group.runUntil(() => group.leader !== undefined, 20_000);
    for (const { logged } of [victim, other]) {
      t.ok(logged.some((line) => line.includes('log repaired')));
    }
    third.start();
    await fill(group, store, 10);
    await group.runUntil(() => equalStates(group), 20_000);
    group.close();
  }
});

t.test('who lost its checkpoints gets them from one whose log is damaged', async (t) => {
  const group = await threeMembers(44);
  const { victim, other } = victimOf(group);
  const third = must(
    group.members.find((member) => member !== victim && member !== other),
    'a third',
  );
  const { store } = group.connect(third);
  await fill(group, store, 190);
  await group.runUntil(() => equalStates(group), 5000);
  await group.run(1000);
  stopAll(group);
  rot(
    victim.disk,
    victim.disk.list().filter((name) => name.startsWith('checkpoint-')),
  );
  other.disk.damage(segments(other.disk).at(-1) ?? '', (bytes) => {
    const at = batchAt(bytes, 3) + 1;
    bytes[at] = (bytes[at] ?? 0) ^ 4;
  });
  victim.start();
  other.start();
  t.match(victim.repair?.damage.message, /no other checkpoint can be read/);
  t.ok(other.repair !== undefined, 'which is damaged, too');
  await group.runUntil(() => group.leader !== undefined, 30_000);
  t.ok(victim.logged.some((line) => line.includes('checkpoint repaired')));
  t.ok(other.logged.some((line) => line.includes('log repaired')));
  third.start();
  await fill(group, store, 10);
  await group.runUntil(() => equalStates(group), 20_000);
  group.close();
});

/** Where the body of a batch begins, counted from the end: 0 = of the last one. */
function batchAt(bytes: Uint8Array, fromEnd: number): number {
  const magic = Buffer.from('BBWB');
  let at = bytes.length;
  for (let i = 0; i <= fromEnd; i++) at = Buffer.from(bytes).lastIndexOf(magic, at - 1);
  return at + BATCH_HEADER_BYTES;
}

t.test('a vote that a hole has swallowed is not given a second time', async (t) => {
  for (const seed of [31, 32, 33, 34]) {
    const group = await threeMembers(seed);
    const { other } = victimOf(group);
    await fill(group, group.connect(other).store, 5);
    await group.runUntil(() => equalStates(group), 5000);
    const { members, network } = group;
    const cutAll = () => {
      for (const one of members) {
        for (const two of members) if (one !== two) network.cut(one.id, two.id, true);
      }
    };
    const [first, second] = members;
    cutAll();
    await group.runUntil(() => group.leader === undefined, 10_000);
    let votedId = 0;
    network.watch = (from, _to, bytes) => {
      const message = decodePeerMessage(new ByteReader(bytes));
      if (message.kind === 'voteResponse' && !message.rejected) votedId = from;
    };
    network.heal();
    const third = must(members[2], 'a third');
    for (const { id } of [must(first, 'one'), must(second, 'another')]) {
      network.cut(third.id, id, false);
    }
    await group.runUntil(() => votedId !== 0, 20_000);
    const victim = must(group.member(votedId), 'who voted');
    const candidate = must(
      members.find((member) => member !== victim && member !== third),
      'for whom',
    );
    victim.stop(); // Which proves that its last batch was durable.
    await group.run(50); // It leads, unless the vote got lost.
    candidate.kill();
    const newest = segments(victim.disk).at(-1) ?? '';
    victim.disk.damage(newest, (bytes) => {
      const at = batchAt(bytes, 1) + 1;
      bytes[at] = (bytes[at] ?? 0) ^ 4;
    });
    group.oracle.log.forget(victim);
    network.heal();
    victim.start();
    await group.run(10_000);
    t.notOk(victim.isUp, 'it does not know in which terms it has voted');
    t.equal(group.leader, undefined);
    candidate.start();
    await group.runUntil(() => group.leader !== undefined && equalStates(group), 20_000);
    t.ok(victim.logged.some((line) => line.includes('log repaired')));
    await fill(group, group.connect(candidate).store, 5);
    group.close();
  }
});
