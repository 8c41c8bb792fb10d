/**
 * Known bugs of other implementations, about who leads and who decides. Numbers and sources:
 * known-bugs.ts and reference/store.md section 2.
 */
import t from 'tap';
import { RaftLog } from './log.ts';
import { Raft, membersOf } from './raft.ts';
import type { Entry, Message } from './raft.ts';
import { groupAfter } from './testing/group-scenario.ts';
import { TestMember, votersUpTo } from './testing/member.ts';
import { runRounds } from './testing/rounds.ts';

/** Voters whose election timeouts differ from member to member. */
function membersFor(count: number): TestMember[] {
  const members = membersOf(votersUpTo(count));
  const random = (id: number) => () => (id * 0.17) % 1;
  return members.voters.map(
    (id) => new TestMember({ id, members, random: random(id), electionTicks: 5 }),
  );
}

function entry(index: number, term: number): Entry {
  return { index, term, data: new Uint8Array(0) };
}

t.test('raft bug 5: a member of a lower term learns it from a refused pre-vote', (t) => {
  const g = groupAfter('members 3\nelect 1\nwin 2 1\nwin 1 2\nwin 2 1\nforget 2 3');
  t.equal(g.member(3).raft.term, 1);
  g.runAll('campaign 3\nstabilize 2 3');
  t.equal(g.member(3).raft.term, g.member(2).raft.term);
  t.end();
});

t.test('raft bug 5: a member of a higher term gets the group on, and catches up', (t) => {
  // Member 3 became candidate of term 2 and then lost touch; it lacks an entry and cannot win.
  const g = groupAfter(`
    members 3
    elect 1
    forget 2 3
    campaign 3
    process 3
    deliver 2
    process 2
    deliver 3
    process 3
    lose
    propose 1 x
    stabilize 1 2
    lose`);
  t.match(g.member(3).raft.status, { role: 'candidate', term: 2, lastIndex: 1 });
  g.runAll('tick 1\nstabilize');
  t.match(g.member(1).raft.status, { role: 'follower', term: 2 }, 'the leader hears of the term');
  g.runAll('forget 2 3\ncampaign 1\nstabilize\ntick 1\nstabilize');
  t.match(g.member(3).raft.status, { role: 'follower', leader: 1, term: 3, lastIndex: 3 });
  t.end();
});

t.test('raft bug 5: two members whose leader died elect one of them', (t) => {
  const members = membersFor(3);
  runRounds(members, 30);
  const leader = members.find(({ raft }) => raft.isLeader);
  const isDead = ({ from, to }: Message) => from === leader?.id || to === leader?.id;
  runRounds(members, 60, { isCut: isDead });
  const others = members.filter((member) => member !== leader);
  t.equal(others.filter(({ raft }) => raft.isLeader).length, 1);
  t.end();
});

t.test('raft bug 5: votes of an earlier campaign do not count in the next', (t) => {
  const g = groupAfter(`
    members 5
    campaign 1
    process 1
    deliver 2
    process 2
    deliver 1
    lose
    campaign 1
    process 1
    deliver 3
    process 3
    deliver 1`);
  t.equal(g.member(1).raft.status.role, 'preCandidate', 'two of five');
  g.runAll('deliver 4\nprocess 4\ndeliver 1');
  t.equal(g.member(1).raft.status.role, 'candidate', 'three of five');
  t.end();
});

t.test('raft bug 6: a member that some cannot reach disturbs nobody', (t) => {
  const members = membersFor(3);
  runRounds(members, 30);
  const leader = members.find(({ raft }) => raft.isLeader)?.id ?? 0;
  const term = members[0]?.raft.term;
  const cut = members.find(({ id }) => id !== leader)?.id ?? 0;
  const isCut = ({ from, to }: Message) => from + to === leader + cut && from !== to;
  runRounds(members, 300, { isCut });
  t.same(
    members.map(({ raft }) => raft.term),
    members.map(() => term),
    'no election',
  );
  t.equal(members.find(({ id }) => id === leader)?.raft.isLeader, true);
  t.end();
});

t.test('raft bug 6: a leader that reaches too few gives way to one that reaches enough', (t) => {
  const members = membersFor(5);
  runRounds(members, 40);
  const leader = members.find(({ raft }) => raft.isLeader)?.id ?? 0;
  const hub = members.find(({ id }) => id !== leader)?.id ?? 0;
  // Only the hub reaches everybody; the leader and the others reach the hub alone.
  const isCut = ({ from, to }: Message) => from !== hub && to !== hub;
  runRounds(members, 200, { isCut });
  const term = members.find(({ id }) => id === hub)?.raft.term ?? 0;
  t.equal(members.find(({ raft }) => raft.isLeader)?.id, hub);
  runRounds(members, 200, { isCut });
  t.equal(members.find(({ id }) => id === hub)?.raft.term, term, 'and stays');
  t.end();
});

t.test('raft bug 7: members are changed only after a commit in the own term', (t) => {
  // Leader 1 adds 5, at itself and 5 alone. Leader 2 removes 1. Were 2 to do that at once, {2,3} would
  // decide for it, and {1,4,5} could elect 1 again and undo it.
  const g = groupAfter(`
    members 4
    elect 1
    change 1 v5
    join 5
    process 1
    deliver 5
    process 5
    deliver 1
    process 1
    deliver 5
    process 5
    lose
    win 2 3 4`);
  t.equal(g.member(5).raft.members.voters.length, 5);
  t.same(g.run('change 2 r1'), ['refused: termUncommitted']);
  g.runAll('tick 2\nstabilize 2 3 4');
  t.match(g.run('change 2 r1'), [/^entry 3\/2 voters=2,3,4/]);
  g.runAll('stabilize 2 3 4\nlose\nrestart 1\nwin 1 4 5');
  t.equal(g.member(1).raft.isLeader, false, 'member 4 holds the entry of term 2');
  t.end();
});

t.test('raft bug 8: a voter that takes itself for a learner votes', (t) => {
  const g = groupAfter(`
    members voters=1,2 learners=3
    elect 1
    change 1 v3
    stabilize 1 2
    lose
    tick 3 3
    campaign 2
    stabilize 2 3`);
  t.equal(g.member(2).raft.isLeader, true);
  t.end();
});

t.test('raft bug 9: a joint configuration survives restarts and decides with both halves', (t) => {
  const g = groupAfter(`
    members 3
    join 4
    join 5
    elect 1
    change 1 jointExplicit r2 r3 v4 v5
    stabilize 1 2 3
    lose`);
  t.equal(g.member(1).raft.status.commitIndex, 1, 'all of the old half hold it, none of the new');
  g.runAll('restart 1\nrestart 2\nrestart 3');
  t.match(g.member(1).raft.members, { voters: [1, 4, 5], votersOutgoing: [1, 2, 3] });
  g.run('win 1 2 3');
  t.equal(g.member(1).raft.isLeader, false, 'no majority of the new half');
  g.run('win 1 2 3 4');
  t.equal(g.member(1).raft.isLeader, true);
  t.end();
});

t.test('raft bug 9: learners count neither for commits nor for votes', (t) => {
  const g = groupAfter('members voters=1,2,3 learners=4,5\nelect 1\npropose 1 x\nlose\nprocess 1');
  g.runAll('deliver 4\nprocess 4\ndeliver 5\nprocess 5\ndeliver 1');
  t.equal(g.member(1).raft.status.commitIndex, 1);
  g.runAll('lose\nwin 2 4 5');
  t.equal(g.member(2).raft.isLeader, false);
  t.end();
});

t.test(
  'raft bug 12: of two logs the one with the later last term holds more, then the longer',
  (t) => {
    const members = membersOf([1]);
    const log = new RaftLog({ index: 0, term: 0, members }, [
      entry(1, 1),
      entry(2, 3),
      entry(3, 3),
    ]);
    const cases = [
      { index: 3, term: 3, holds: true },
      { index: 4, term: 3, holds: true },
      { index: 2, term: 3, holds: false },
      { index: 1, term: 4, holds: true },
      { index: 9, term: 2, holds: false },
      { index: 0, term: 0, holds: false },
    ];
    for (const { index, term, holds } of cases) {
      t.equal(log.isUpToDate(index, term), holds, `${index}/${term}`);
    }
    t.end();
  },
);

t.test('raft bug 13: a member without a log keeps its vote', (t) => {
  const vote = (from: number): Message => {
    const last = { lastIndex: 0, lastTerm: 0, isTransfer: false };
    return { kind: 'vote', from, to: 3, term: 1, ...last };
  };
  const member = new TestMember({ id: 3, members: membersOf([]), random: () => 0 });
  member.raft.step(vote(1));
  const ready = member.take();
  t.match(ready, { hardState: { term: 1, vote: 1 }, mustSync: true, messages: [] });
  t.match(member.persist(), [{ kind: 'voteResponse', to: 1, rejected: false }]);
  member.restart();
  member.raft.step(vote(2));
  member.take();
  t.match(member.persist(), [{ kind: 'voteResponse', to: 2, rejected: true }]);

  // The same where the term was on disk before, without a vote.
  const late = new TestMember({ id: 3, members: membersOf([]), random: () => 0 });
  late.disk.hardState = { term: 1, vote: 0, commitIndex: 0 };
  late.restart();
  late.raft.step(vote(1));
  t.match(late.take(), { hardState: { term: 1, vote: 1 }, mustSync: true });
  t.end();
});

t.test('raft bug 21: a transfer of leadership ends with the leadership', (t) => {
  const g = groupAfter(`
    members 3
    elect 1
    propose 1 x
    transfer 1 3
    forget 2
    win 2 3
    tick 2
    process 2
    deliver 1`);
  t.equal(g.member(1).raft.isLeader, false);
  g.runAll('lose\ntick 2 8\nprocess 2\nlose\nforget 1 3\nwin 1 3');
  t.match(g.member(1).raft.status, { role: 'leader', transferTo: 0 });
  t.match(g.run('propose 1 y'), [/^entry/]);
  t.end();
});

t.test(
  'raft bug 21: a transfer that does not succeed is given up after an election timeout',
  (t) => {
    const g = groupAfter('members 3\nelect 1\ntransfer 1 3\nprocess 1\ndrop 3');
    t.same(g.run('propose 1 x'), ['refused: transferring']);
    g.runAll('tick 1 2\nstabilize 1 2');
    t.same(g.run('propose 1 x'), ['refused: transferring']);
    g.run('tick 1');
    t.match(g.run('propose 1 x'), [/^entry/]);
    // To oneself: given up at once. To a member that is being removed: it ends with that.
    g.runAll('transfer 1 3\ntransfer 1 1');
    t.match(g.run('propose 1 y'), [/^entry/]);
    t.same(g.run('transfer 1 9'), ['refused: notVoter']);
    t.end();
  },
);

t.test('raft bug 22: a leader whose disk hangs hands over', (t) => {
  const members = membersFor(3);
  runRounds(members, 30);
  const leader = members.find(({ raft }) => raft.isLeader);
  t.type(leader?.raft.propose(new Uint8Array(1)), 'object');
  const hung = [leader?.id ?? 0];
  runRounds(members, 30, { hung });
  t.match(leader?.raft.status, { role: 'follower', isDiskHung: true });
  const next = members.find(({ raft }) => raft.isLeader);
  t.ok(next !== undefined && next !== leader, 'another member leads');
  const write = next?.raft.propose(new Uint8Array(1));
  runRounds(members, 5, { hung });
  t.equal(next?.raft.status.commitIndex, typeof write === 'object' ? write.index : undefined);
  runRounds(members, 200, { hung });
  t.equal(next?.raft.isLeader, true, 'the member with the hung disk does not campaign');
  t.end();
});

t.test('raft bug 24: a member whose disk was set back takes part in nothing', (t) => {
  const g = groupAfter('members 3\nelect 1\npropose 1 x\npropose 1 y\nstabilize');
  const member = g.member(2);
  member.disk.entries.length = 1;
  Object.assign(member.disk, { hardState: { term: 1, vote: 0, commitIndex: 1 } });
  g.runAll('restart 2\nprocess 2\ntick 1\nprocess 1');
  t.same(g.run('deliver 2').at(-1), '2: lost its log');
  t.match(member.raft.lostLog, { leader: 1, term: 1, commitIndex: 3, lastIndex: 1 });
  g.runAll('tick 2 20\ncampaign 2');
  t.equal(member.raft.status.role, 'follower');
  t.equal(member.raft.hasReady, false, 'not even an answer');
  g.run('propose 1 z');
  g.run('stabilize');
  t.equal(g.member(1).raft.status.commitIndex, 4, 'the others go on');
  t.end();
});

t.test('raft bug 24: a disk set back to a longer log of older terms is noticed', (t) => {
  const g = groupAfter(
    'members 3\nelect 1\nstabilize\ntransfer 1 3\nstabilize\npropose 3 y\nstabilize',
  );
  const member = g.member(2);
  const { entries } = member.disk;
  const older = [2, 3, 4, 5].map((index) => ({ index, term: 1, data: new Uint8Array(0) }));
  entries.splice(1, entries.length - 1, ...older);
  Object.assign(member.disk, { hardState: { term: 1, vote: 1, commitIndex: 1 } });
  g.runAll('restart 2\nprocess 2\ntick 3\nprocess 3');
  t.same(g.run('deliver 2').at(-1), '2: lost its log');
  t.match(member.raft.lostLog, { leader: 3, term: 2, commitIndex: 3, lastIndex: 5 });
  t.equal(member.raft.status.commitIndex, 1, 'nothing of it is committed');
  t.end();
});

t.test('raft bug 24: after a restored backup only terms above the known ones get a vote', (t) => {
  const raft = new Raft(
    { id: 1, members: membersOf([1, 2]), heartbeatTicks: 1, electionTicks: 3, random: () => 0 },
    {
      hardState: { term: 2, vote: 0, commitIndex: 0 },
      snapshot: undefined,
      entries: [],
      appliedIndex: 0,
      voteAboveTerm: 5,
    },
  );
  for (const [term, rejected] of [
    [4, true],
    [5, true],
    [6, false],
  ] as const) {
    const last = { lastIndex: 9, lastTerm: 4, isTransfer: false };
    raft.step({ kind: 'vote', from: 2, to: 1, term, ...last });
    t.match(raft.ready().messagesAfterPersist, [{ rejected }], `term ${term}`);
  }
  t.end();
});
