/** Groups some of whose members run the next version of this software already (upgrades.ts). */
import t from 'tap';
import { must } from '#base/assert.ts';
import { COMMAND } from '#control/store/codec/command.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { VERSION } from '#control/store/versions.ts';
import { Group } from './group.ts';
import type { SimMember } from './member.ts';
import { SMALL, put } from './small-group.ts';
import { NEXT } from './upgrades.ts';

const { signal } = new AbortController();

const present = { version: VERSION, former: undefined };
const onTrial = { version: NEXT.version, former: VERSION };

function restart(member: SimMember, installed: SimMember['installed']): void {
  member.kill();
  member.installed = installed;
  member.start();
}

async function threeMembers(seed: number): Promise<Group> {
  const group = new Group(new SeededRandom(seed), { ...SMALL, lastVersion: NEXT.version });
  await group.grow(3);
  return group;
}

function leaderOf(group: Group): SimMember {
  return must(group.leader, 'a leader');
}

/** Which layouts the transactions have that stand in a member's log. */
function layoutsOf({ engine }: SimMember): readonly number[] {
  const { lastIndex } = must(engine, 'a member that is up').tail;
  const entries = Array.from({ length: lastIndex }, (_, i) => engine?.entry(i + 1));
  const commands = entries.flatMap((entry) => (entry === undefined ? [] : [entry.data]));
  return [
    ...new Set(commands.filter((data) => data[1] === COMMAND.txn).map((data) => data[0] ?? 0)),
  ];
}

t.test('a group is raised to the next version when all members run it for good', async (t) => {
  const group = await threeMembers(1);
  const { store } = group.connect(leaderOf(group));
  const versions = () => group.members.map(({ engine }) => engine?.state.version);
  const write = async (value: string) => group.finish(store.txn(put('a', value), signal), 5000);
  for (const member of group.members) {
    restart(member, onTrial);
    await group.run(10_000);
    await write('as the present version has it');
    t.same(versions(), [VERSION, VERSION, VERSION]);
  }
  t.same(layoutsOf(leaderOf(group)), [1]);
  const [first, ...rest] = group.members as [SimMember, ...SimMember[]]; // There are three.
  restart(first, present);
  for (const member of rest) member.confirm();
  await group.run(10_000);
  await write('one went back');
  t.same(versions(), [VERSION, VERSION, VERSION]);
  restart(first, onTrial);
  await group.run(10_000);
  t.same(versions(), [VERSION, VERSION, VERSION], 'one may still go back');
  first.confirm();
  await group.runUntil(() => versions().every((version) => version === NEXT.version), 10_000);
  await write('as the next version has it');
  await group.run(500);
  for (const member of group.members) t.ok(layoutsOf(member).includes(NEXT.version));
  t.same(group.failures, []);
  restart(first, present);
  await group.run(1000).catch(() => {});
  t.match(
    group.failures,
    [{ code: 'UNSUPPORTED' }],
    'the present version stops at what it does not know',
  );
  group.close();
});

t.test('a group is not raised behind the entry that adds who may run less', async (t) => {
  const group = await threeMembers(2);
  for (const member of group.members) restart(member, onTrial);
  await group.runUntil(() => group.leader !== undefined, 10_000);
  const leader = leaderOf(group);
  for (const member of group.members) if (member !== leader) member.confirm();
  await group.run(10_000); // All have said so.
  const others = group.members.filter((member) => member !== leader);
  const { store } = group.connect(leader);
  for (const { id } of others) group.network.cut(id, leader.id, true);
  const adding = store.addMember({ key: 'late', address: '', isToVote: true }, signal);
  await group.run(50); // It is in the log, and not committed.
  leader.confirm();
  await group.run(300);
  group.network.heal();
  await group.finish(adding, 10_000);
  await group.run(10_000);
  t.equal(leaderOf(group).engine?.state.members.learners.length, 1);
  t.equal(leaderOf(group).engine?.state.version, VERSION);
  group.close();
});
