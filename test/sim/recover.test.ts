/** A quorum is lost for ever: the survivor that holds most becomes a group of its own. */
import t from 'tap';
import { must } from '#base/assert.ts';
import { compareSurvivors, inspectDisk, recoverDisk } from '#control/store/recover.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { TestMember } from '#control/store/testing/test-member.ts';
import { Group } from './group.ts';
import { PowerFailure } from './member.ts';
import type { SimMember } from './member.ts';
import { SMALL, put } from './small-group.ts';

const { signal } = new AbortController();

/** Three members, of which one was away for the last writes. */
async function lostGroup(seed: number): Promise<{ group: Group; away: SimMember }> {
  const group = new Group(new SeededRandom(seed), SMALL);
  await group.grow(3);
  const leader = must(group.leader, 'a leader');
  const [away, other] = group.members.filter((member) => member !== leader);
  const { store } = group.connect(must(other, 'a follower'));
  const fill = async (count: number, prefix: string) => {
    for (let i = 0; i < count; i++) {
      const write = store.txn(put(`${prefix}${i}`, 'x'.repeat(300)), signal);
      await group.finish(write, 10_000);
    }
  };
  await fill(90, 'old');
  must(away, 'a follower').kill();
  await fill(10, 'new');
  for (const member of group.members) member.kill();
  return { group, away: must(away, 'a follower') };
}

function open(member: SimMember): TestMember {
  return new TestMember({
    disk: member.disk,
    random: () => 0.3,
    monotonicMs: () => 0,
    settings: SMALL,
  });
}

t.test('the survivor that holds most goes on alone, above all old revisions', async (t) => {
  const { group, away } = await lostGroup(1);
  const survivors = group.members.map((member) => ({ member, ...inspectDisk(member.disk) }));
  const [best, , last] = survivors.toSorted(compareSurvivors);
  t.equal(last?.member, away, 'who was away holds least');
  t.equal(best?.members.length, 3);
  t.ok(best?.members.every(({ role, key }) => role === 'voter' && key !== undefined));
  const { member, ...survivor } = must(best, 'a survivor');
  t.throws(() => recoverDisk(member.disk, { ...survivor, lastIndex: survivor.lastIndex + 1 }), {
    code: 'INVALID_REQUEST',
    message: /nothing was changed/,
  });
  const made = recoverDisk(member.disk, survivor);
  t.not(made.groupId, survivor.groupId);
  t.ok(made.revision > 1e9);
  const alone = open(member);
  t.equal(alone.engine.groupId, made.groupId);
  t.ok(alone.engine.isLeader);
  t.equal(alone.engine.state.members.voters.length, 1);
  const answer = alone.client.range({ key: 'a', rangeEnd: 'z' }, signal);
  await alone.run();
  const { count, revision } = await answer;
  t.equal(count, 100, 'all that was acknowledged');
  t.equal(revision, made.revision);
  const old = alone.client.range({ key: 'a', revision: made.revision - 1 }, signal);
  const watch = alone.client.watch({ key: 'a', startRevision: 50 });
  const watching = (async () => {
    for await (const _ of watch);
  })();
  const ends = Promise.all([
    t.rejects(old, { code: 'COMPACTED' }),
    t.rejects(watching, { code: 'COMPACTED' }),
  ]);
  await alone.run();
  await ends;
  const write = alone.client.txn(put('more', 'x'), signal);
  await alone.run();
  t.equal((await write).revision, made.revision + 1);
  alone.kill();
  const again = open(member);
  t.equal(again.engine.groupId, made.groupId);
  again.kill();
  group.close();
});

t.test('a crash while it is made leaves the old member or the new one', async (t) => {
  let old = 0;
  let made = 0;
  for (let cutAt = 0; cutAt < 40; cutAt++) {
    const { group } = await lostGroup(2);
    const member = must(group.members[0], 'a member');
    const survivor = inspectDisk(member.disk);
    let left = cutAt;
    member.disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new PowerFailure('power failed');
    };
    try {
      recoverDisk(member.disk, survivor);
    } catch (error) {
      if (!(error instanceof PowerFailure)) throw error;
    }
    member.disk.faults.beforeChange = () => {};
    member.disk.crash({ keep: () => group.random.chance(0.5) });
    const now = inspectDisk(member.disk);
    if (now.groupId === survivor.groupId) {
      old++;
      t.match(now, { lastIndex: survivor.lastIndex, lastTerm: survivor.lastTerm });
      recoverDisk(member.disk, now);
    } else made++;
    const alone = open(member);
    t.ok(alone.engine.isLeader);
    t.equal(alone.engine.state.mvcc.keyCount, 100 - (survivor.lastIndex < 95 ? 10 : 0));
    alone.kill();
    group.close();
  }
  t.ok(old > 5 && made > 0, `${old} old ones, ${made} new ones`);
});

t.test('a damaged survivor says so', async (t) => {
  const { group } = await lostGroup(3);
  const { disk } = must(group.members[0], 'a member');
  for (const name of disk.list().filter((each) => each.startsWith('checkpoint-'))) {
    disk.damage(name, (bytes) => bytes.fill(7, 10, 20));
  }
  t.throws(() => inspectDisk(disk), { code: 'CORRUPT', message: /no other checkpoint/ });
  group.close();
});
