/** Which checkpoints count: those of a state that a quorum was found to share. */
import t from 'tap';
import { must } from '#base/assert.ts';
import { checkpointName } from '#control/store/checkpoint/format.ts';
import { listCheckpoints } from '#control/store/checkpoint/read.ts';
import { decodePeerMessage } from '#control/store/codec/peer.ts';
import { ByteReader } from '#control/store/codec/bytes.ts';
import { StoreError } from '#control/store/port.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import type { SimClient } from './group.ts';
import type { SimMember } from './member.ts';
import { SMALL, put } from './small-group.ts';

const { signal } = new AbortController();

async function threeMembers(seed: number): Promise<{ group: Group; leader: SimMember }> {
  const group = new Group(new SeededRandom(seed), SMALL);
  await group.grow(3);
  return { group, leader: must(group.leader, 'a leader') };
}

/** Writes so much at once that several checkpoints are due before members compare their states. */
function burst(client: SimClient, count = 100): Promise<unknown> {
  const write = (i: number) =>
    client.store.txn(put(`key ${i % 17}`, `${i} ${'x'.repeat(500)}`), signal);
  const all = Promise.all(Array.from({ length: count }, (_, i) => write(i)));
  return all.catch((error: unknown) => {
    if (!(error instanceof StoreError)) throw error; // Its member ended.
  });
}

/** Runs until the members have just compared their states. */
async function untilCompared(group: Group): Promise<void> {
  let isAsked = false;
  group.network.watch = (_from, _to, bytes) => {
    if (decodePeerMessage(new ByteReader(bytes)).kind === 'stateHash') isAsked = true;
  };
  await group.runUntil(() => isAsked, 5000);
  await group.run(20);
}

function corrupt(group: Group, member: SimMember): void {
  group.oracle.suspects.add(member);
  member.engine?.state.leases.grant(999_999, 1000);
}

function equalStates(group: Group): boolean {
  const states = group.members.map(({ engine }) => engine?.state.appliedIndex);
  return states.every((index) => index !== undefined && index === states[0]);
}

for (const who of ['follower', 'leader'] as const) {
  t.test(`a ${who}'s corrupt memory is in no checkpoint that counts`, async (t) => {
    for (const seed of [1, 2, 3]) {
      const { group, leader } = await threeMembers(seed);
      const other = must(
        group.members.find((member) => member !== leader),
        'a follower',
      );
      const [victim, healthy] = who === 'leader' ? [leader, other] : [other, leader];
      const client = group.connect(healthy);
      await group.finish(burst(client), 10_000);
      await untilCompared(group);
      const applied = victim.engine?.state.appliedIndex ?? 0;
      const [sound = 0] = listCheckpoints(victim.disk);
      t.ok(sound > 0, 'there is one from before');
      corrupt(group, victim);
      void burst(client);
      await t.rejects(group.run(3000), {
        cause: { code: 'CORRUPT', message: /differs from that/ },
      });
      group.failures = [];
      t.notOk(victim.isUp);
      t.ok(victim.promised.lastIndex > applied + 50, 'it went on with what it held');
      for (const index of listCheckpoints(victim.disk)) t.ok(index <= applied, `of entry ${index}`);
      victim.start();
      await group.runUntil(() => victim.isUp && equalStates(group), 20_000);
      t.ok(group.oracle.isAsKnown(victim), 'its disk holds what makes it sound');
      group.oracle.suspects.delete(victim);
      await group.finish(burst(client), 20_000);
      await group.run(2000);
      const [newest = 0] = listCheckpoints(victim.disk);
      t.ok(newest > applied, 'and checkpoints of sound memory count again');
      group.close();
    }
  });
}

t.test('a checkpoint waits for a quorum, and is forgotten by a start', async (t) => {
  const { group, leader } = await threeMembers(4);
  const [victim, third] = group.members.filter((member) => member !== leader);
  const member = must(victim, 'a follower');
  const client = group.connect(leader);
  await group.finish(burst(client), 10_000);
  await group.run(1000);
  // It hears, and cannot ask.
  const [before = 0] = listCheckpoints(member.disk);
  for (const to of [leader, must(third, 'another')]) group.network.cut(member.id, to.id, true);
  const walBytes = member.engine?.status().walBytes ?? 0;
  await group.finish(burst(client, 60), 10_000);
  await group.run(500);
  const applied = member.engine?.state.appliedIndex ?? 0;
  t.ok(applied > before + 40, 'it follows');
  t.same(listCheckpoints(member.disk)[0], before);
  t.ok((member.engine?.status().walBytes ?? 0) > walBytes + 20_000, 'its log is kept');
  const written = member.disk.list().filter((name) => name.endsWith('.bin.tmp'));
  t.equal(written.length, 1, 'a newer one lies there');
  member.kill();
  member.start();
  const [name = ''] = written;
  t.notOk(member.disk.list().includes(name.replace('.tmp', '')));
  group.network.heal();
  await group.runUntil(() => equalStates(group), 20_000);
  await group.run(1000);
  t.ok((listCheckpoints(member.disk)[0] ?? 0) > before, 'written again from the log, and agreed');
  t.ok(member.disk.list().includes(checkpointName(listCheckpoints(member.disk)[0] ?? 0)));
  group.close();
});

t.test('a member that was told nothing yet writes no checkpoint', async (t) => {
  const { group } = await threeMembers(5);
  const client = group.connect(must(group.leader, 'a leader'));
  await group.finish(burst(client), 10_000);
  const adding = group.add(client);
  await group.runUntil(() => group.members.length === 4, 5000);
  const learner = must(group.members[3], 'a learner');
  // On a full disk a checkpoint out of turn may give space free.
  learner.disk.faults.capacityBytes = learner.disk.bytesUsed;
  const seen = new Set<number>();
  group.watch = () => {
    for (const index of listCheckpoints(learner.disk)) seen.add(index);
  };
  await group.run(3000);
  t.match(learner.engine?.status().alarms, ['DISK_FULL']);
  learner.disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
  await group.finish(adding, 20_000);
  await group.runUntil(() => equalStates(group), 20_000);
  t.notOk(seen.has(0));
  group.close();
});
