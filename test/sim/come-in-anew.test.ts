/** Members that came in anew under another id: what their directories are taken for from then on. */
import t from 'tap';
import { must } from '#base/assert.ts';
import type { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { readNote, writeNote } from '#control/store/engine/outcast.ts';
import { inspectDisk } from '#control/store/recover.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import type { SimClient } from './group.ts';
import type { SimMember } from './member.ts';

const { signal } = new AbortController();

/** Three members, of which one has come in anew and votes. */
async function withReturned(seed: number): Promise<{
  readonly group: Group;
  readonly returned: SimMember;
  readonly client: SimClient;
  readonly key: string;
  readonly formerId: number;
}> {
  const group = new Group(new SeededRandom(seed), { preallocateBytes: 4096 });
  await group.grow(3);
  const leader = must(group.leader, 'a leader');
  const returned = must(
    group.members.find((member) => member !== leader),
    'a follower',
  );
  const client = group.connect(leader);
  const formerId = returned.id;
  const key = must(leader.engine?.state.roster.get(formerId)?.key, 'a key');
  try {
    returned.engine?.expel('a test says so');
  } catch (error) {
    returned.kill(error);
  }
  group.failures = [];
  await group.run(2500);
  const former = { formerId, key, address: '' };
  const next = await group.finish(
    group.insist(client, (store) => store.rejoin(former, signal)),
    20_000,
  );
  writeNote(returned.disk, { ...must(readNote(returned.disk), 'a note'), next });
  returned.start();
  const isVoter = () => returned.engine?.state.members.voters.includes(next.memberId) === true;
  await group.runUntil(isVoter, 20_000);
  await group.run(500);
  return { group, returned, client, key, formerId };
}

function segments(disk: MemoryDisk): readonly string[] {
  return disk.list().filter((name) => name.startsWith('wal-'));
}

t.test('an id that votes is not given to a directory of the time before', async (t) => {
  const { group, returned, client, key, formerId } = await withReturned(1);
  const { id } = returned;
  returned.kill();
  await group.run(2500);
  const former = { formerId, key, address: '' };
  const ask = () => group.insist(client, (store) => store.rejoin(former, signal));
  const again = await group.finish(ask(), 20_000);
  t.not(again.memberId, id, 'what that one promised is not in the directory');
  group.close();
});

t.test('a survivor that came in anew is not taken for who was expelled', async (t) => {
  const { group, returned } = await withReturned(2);
  returned.kill();
  t.match(inspectDisk(returned.disk), { memberId: returned.id, expelled: undefined });
  group.close();
});

t.test('a damaged log of who came in anew is not put aside', async (t) => {
  const { group, returned } = await withReturned(3);
  returned.kill();
  for (const name of segments(returned.disk)) {
    returned.disk.damage(name, (bytes) => {
      bytes[20] = (bytes[20] ?? 0) ^ 4;
    });
  }
  returned.start();
  t.notOk(returned.isUp, 'it does not begin with an empty log under an id that voted');
  t.match(group.failures[0], { code: 'CORRUPT' });
  t.ok(segments(returned.disk).length > 0);
  group.close();
});

/** Three members that ask by themselves, and a follower among them. */
async function asking(
  seed: number,
): Promise<{ group: Group; lost: SimMember; others: SimMember[] }> {
  const group = new Group(new SeededRandom(seed), { preallocateBytes: 4096, areAsking: true });
  await group.grow(3);
  const lost = must(
    group.members.find((member) => member !== group.leader),
    'a follower',
  );
  return { group, lost, others: group.members.filter((member) => member !== lost) };
}

function isVoterAgain(group: Group, member: SimMember): () => boolean {
  return () =>
    group.leader?.engine?.state.members.voters.includes(member.id) === true && member.isUp;
}

t.test('a member that lost its disk asks the next when one does not answer', async (t) => {
  const { group, lost, others } = await asking(4);
  const { id } = lost;
  lost.kill();
  lost.disk.wipe();
  const [silent] = others as [SimMember, ...SimMember[]]; // There are two.
  group.network.cut(silent.id, lost.id, true);
  lost.start();
  t.ok(lost.isRunning && !lost.isUp, 'it waits for the others');
  await group.runUntil(isVoterAgain(group, lost), 40_000);
  t.not(lost.id, id);
  t.same(group.failures, []);
  group.close();
});

t.test('a process that ends while it asks leaves the question to the next', async (t) => {
  const { group, lost } = await asking(5);
  lost.kill();
  lost.disk.wipe();
  for (let ms = 1; ms < 4000; ms *= 2) {
    lost.start();
    await group.run(ms);
    if (!lost.isUp) lost.kill();
  }
  lost.start();
  await group.runUntil(isVoterAgain(group, lost), 20_000);
  t.equal(group.leader?.engine?.state.members.voters.length, 3, 'under one id');
  group.close();
});

t.test('a member whose key is of no member any more is told so', async (t) => {
  const { group, lost, others } = await asking(6);
  const client = group.connect(must(group.leader, 'a leader'));
  lost.kill();
  // Not by `dismiss`, which expects that.
  const removed = group.insist(client, (store) => store.removeMember(lost.id, signal));
  await group.finish(removed, 20_000);
  lost.disk.wipe();
  lost.start();
  await group.run(5000).catch(() => {});
  t.match(group.failures, [
    { code: 'INVALID_REQUEST', message: /no member of the group has this key/ },
  ]);
  t.notOk(lost.isRunning);
  t.ok(others.every(({ isUp }) => isUp));
  group.close();
});

t.test('a leader of the past does not say of a new member that it is none', async (t) => {
  const { group } = await asking(7);
  const past = must(group.leader, 'a leader');
  const client = group.connect(past);
  past.pause(60_000);
  for (const { id } of group.members) if (id !== past.id) group.network.cut(past.id, id, false);
  const next = () => group.members.find((one) => one !== past && one.engine?.isLeader === true);
  await group.runUntil(() => next() !== undefined, 20_000);
  const wanted = { key: 'late', address: '', isToVote: true };
  const other = must(next(), 'the next leader');
  await group.run(200);
  const { store } = group.connect(other);
  const { memberId } = await group.finish(store.addMember(wanted, signal), 20_000);
  const asked = client.store.rejoin({ ...wanted, formerId: 0 }, signal);
  const told = asked.catch((error: unknown) => error);
  past.resume();
  await group.run(50);
  group.network.heal();
  t.match(await group.finish(told, 20_000), { code: 'OUTCOME_UNKNOWN' }, 'it may ask again');
  const again = group.insist(client, (one) => one.rejoin({ ...wanted, formerId: 0 }, signal));
  t.match(await group.finish(again, 20_000), { memberId });
  group.close();
});
