/** Rules of the core that a scenario cannot reach, because no member of ours would send such messages. */
import t from 'tap';
import { ENTRY_OVERHEAD_BYTES } from './limits.ts';
import { Raft, membersOf } from './raft.ts';
import type { Entry, Message } from './raft.ts';

const members = membersOf([1, 2, 3]);

function follower(entries: readonly Entry[], term: number, drawn = 0): Raft {
  const config = { id: 1, members, heartbeatTicks: 1, electionTicks: 3, random: () => drawn };
  const hardState = { term, vote: 0, commitIndex: 1 };
  return new Raft(config, { hardState, snapshot: undefined, entries, appliedIndex: 1 });
}

function entry(index: number, term: number): Entry {
  return { index, term, data: new Uint8Array(0) };
}

const log = [entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 1)];

t.test('a follower commits no further than what an append proves to match', (t) => {
  const raft = follower(log, 1);
  const append = { kind: 'append', from: 2, to: 1, term: 2, prevIndex: 1, prevTerm: 1 } as const;
  raft.step({ ...append, entries: [entry(2, 1)], commitIndex: 4 });
  t.equal(raft.status.commitIndex, 2, 'entries 3 and 4 may be of another leader');
  t.equal(raft.status.lastIndex, 4);
  t.end();
});

t.test('a follower acknowledges what it committed when an append starts below', (t) => {
  const raft = follower(log, 1);
  const append = { kind: 'append', from: 2, to: 1, term: 2, commitIndex: 0 } as const;
  raft.step({ ...append, prevIndex: 0, prevTerm: 0, entries: [entry(1, 2)] });
  const [answer] = raft.ready().messagesAfterPersist;
  t.match(answer, { kind: 'appendResponse', rejected: false, index: 1 });
  t.end();
});

t.test('a committed entry is never cut', (t) => {
  const raft = follower(log, 1);
  const message: Message = {
    kind: 'append',
    from: 2,
    to: 1,
    term: 2,
    prevIndex: 1,
    prevTerm: 1,
    entries: [entry(2, 1), entry(3, 1)],
    commitIndex: 3,
  };
  raft.step(message);
  t.equal(raft.status.commitIndex, 3);
  const bad = { ...message, prevIndex: 3, entries: [entry(4, 2)], commitIndex: 4 };
  raft.step(bad);
  t.equal(raft.status.commitIndex, 4);
  t.throws(
    () =>
      raft.step({
        ...bad,
        term: 3,
        prevIndex: 4,
        prevTerm: 2,
        commitIndex: 9,
        entries: [entry(6, 3)],
      }),
    {
      name: 'AssertionFailed',
    },
  );
  t.end();
});

t.test('proposals beyond the bound on uncommitted bytes are refused', (t) => {
  const single = membersOf([1]);
  const raft = new Raft(
    { id: 1, members: single, heartbeatTicks: 1, electionTicks: 3, random: () => 0 },
    {
      hardState: { term: 0, vote: 0, commitIndex: 0 },
      snapshot: undefined,
      entries: [],
      appliedIndex: 0,
    },
  );
  t.equal(raft.propose(new Uint8Array(1)), 'notLeader', 'not a leader yet');
  raft.campaign();
  const persist = () => {
    while (raft.hasReady) {
      const ready = raft.ready();
      raft.persisted(ready.sequence);
      for (const { index } of ready.committed) raft.applied(index);
    }
  };
  persist();
  t.equal(raft.isLeader, true);
  const large = new Uint8Array(40 * 1024 * 1024);
  t.type(raft.propose(large), 'object');
  t.equal(raft.propose(large), 'uncommittedFull');
  persist();
  t.type(raft.propose(large), 'object', 'room again once committed');
  t.end();
});

t.test('votes are asked of voters alone, of both halves in a joint change', (t) => {
  const joint = { voters: [1, 2], votersOutgoing: [1, 3], learners: [4], learnersNext: [] };
  const raft = new Raft(
    {
      id: 1,
      members: { ...joint, autoLeave: false },
      heartbeatTicks: 1,
      electionTicks: 3,
      random: () => 0,
    },
    {
      hardState: { term: 0, vote: 0, commitIndex: 0 },
      snapshot: undefined,
      entries: [],
      appliedIndex: 0,
    },
  );
  raft.campaign();
  t.same(
    raft.ready().messages.map(({ to }) => to),
    [2, 3],
  );
  t.end();
});

t.test('members that break their rules are not taken in', (t) => {
  const good = membersOf([1, 2]);
  const bad = [
    { ...good, learners: [2] },
    { ...good, learnersNext: [3] },
    { ...good, autoLeave: true },
    { ...good, votersOutgoing: [3], learners: [3] },
    { ...good, voters: [], votersOutgoing: [3] },
    { ...good, votersOutgoing: [3], learnersNext: [4] },
  ];
  for (const broken of bad) {
    const raft = follower(log, 1);
    const append = { kind: 'append', from: 2, to: 1, term: 2, prevIndex: 4, prevTerm: 1 } as const;
    const entries = [{ ...entry(5, 2), members: broken }];
    t.throws(() => raft.step({ ...append, entries, commitIndex: 1 }), { name: 'AssertionFailed' });
  }
  t.end();
});

t.test('a member does not start on a disk that holds less than it promised', (t) => {
  const start = (hardState: { term: number; vote: number; commitIndex: number }) => () =>
    new Raft(
      { id: 1, members, heartbeatTicks: 1, electionTicks: 3, random: () => 0 },
      { hardState, snapshot: undefined, entries: log, appliedIndex: 0 },
    );
  t.doesNotThrow(start({ term: 1, vote: 0, commitIndex: 4 }));
  t.throws(start({ term: 1, vote: 0, commitIndex: 5 }), /committed 5 is in the log/);
  t.throws(start({ term: 0, vote: 0, commitIndex: 0 }), /term 0 reaches the last entry's/);
  t.end();
});

t.test('a snapshot of what the log holds already commits it and installs nothing', (t) => {
  const raft = follower(log, 1);
  const install = { kind: 'snapshot', from: 2, to: 1, term: 2 } as const;
  raft.step({ ...install, snapshot: { index: 3, term: 1, members } });
  t.equal(raft.status.commitIndex, 3);
  t.equal(raft.status.lastIndex, 4, 'nothing is cut');
  const ready = raft.ready();
  t.equal(ready.snapshot, undefined);
  t.match(ready.messagesAfterPersist, [{ kind: 'appendResponse', rejected: false, index: 3 }]);
  t.end();
});

t.test('a request for votes in a past term gets no answer, a pre-vote is told of the term', (t) => {
  const raft = follower(log, 5);
  const request = { from: 2, to: 1, term: 4, lastIndex: 9, lastTerm: 4, isTransfer: false };
  raft.step({ kind: 'vote', ...request });
  raft.step({ kind: 'preVote', ...request });
  raft.step({ kind: 'heartbeatResponse', from: 2, to: 1, term: 4, readCounter: 0 });
  const { messages, messagesAfterPersist } = raft.ready();
  const refusal = { kind: 'preVoteResponse', from: 1, to: 2, term: 5, rejected: true };
  t.same([...messages, ...messagesAfterPersist], [refusal]);
  t.end();
});

t.test('whoever sends what only leaders send is the leader', (t) => {
  const envelope = { from: 2, to: 1, term: 2 };
  const messages: Message[] = [
    { ...envelope, kind: 'append', prevIndex: 4, prevTerm: 1, entries: [], commitIndex: 1 },
    { ...envelope, kind: 'heartbeat', commitIndex: 1, commitTerm: 1, readCounter: 0 },
    { ...envelope, kind: 'snapshot', snapshot: { index: 9, term: 2, members } },
  ];
  for (const message of messages) {
    const raft = follower(log, 2);
    raft.step(message);
    t.equal(raft.leader, 2, message.kind);
    raft.step({
      ...envelope,
      kind: 'preVote',
      from: 3,
      term: 3,
      lastIndex: 9,
      lastTerm: 2,
      isTransfer: false,
    });
    t.notMatch(raft.ready().messagesAfterPersist.at(-1), { to: 3 }, 'and protected');
  }
  const asked = follower(log, 2);
  asked.tick();
  asked.step({ ...envelope, kind: 'timeoutNow' });
  t.equal(asked.status.role, 'candidate');
  t.end();
});

t.test('a pre-vote for a term in which another one has the vote is refused', (t) => {
  const raft = follower(log, 4);
  const request = { to: 1, term: 5, lastIndex: 9, lastTerm: 4, isTransfer: false };
  t.equal(raft.vote, 0);
  raft.step({ kind: 'vote', from: 3, ...request });
  t.equal(raft.vote, 3);
  raft.step({ kind: 'preVote', from: 2, ...request });
  const answers = raft.ready().messagesAfterPersist;
  t.match(answers, [
    { kind: 'voteResponse', to: 3, rejected: false },
    { kind: 'preVoteResponse', to: 2, term: 5, rejected: true },
  ]);
  t.end();
});

t.test('a vote that was given is not taken back by an answer that comes later', (t) => {
  const config = { id: 1, heartbeatTicks: 1, electionTicks: 3, random: () => 0 };
  const hardState = { term: 1, vote: 0, commitIndex: 1 };
  const raft = new Raft(
    { ...config, members: membersOf([1, 2, 3, 4, 5]) },
    { hardState, snapshot: undefined, entries: log, appliedIndex: 1 },
  );
  raft.campaign();
  const answer = { kind: 'preVoteResponse', to: 1 } as const;
  raft.step({ ...answer, from: 2, term: 2, rejected: false });
  raft.step({ ...answer, from: 2, term: 1, rejected: true });
  t.equal(raft.status.role, 'preCandidate');
  raft.step({ ...answer, from: 3, term: 2, rejected: false });
  t.equal(raft.status.role, 'candidate');
  t.end();
});

t.test('a write that has not ended for an election timeout shows a disk that hangs', (t) => {
  const raft = follower(log, 1);
  const { sequence } = raft.ready();
  raft.tick();
  raft.tick();
  t.equal(raft.status.isDiskHung, false);
  raft.tick();
  t.equal(raft.status.isDiskHung, true);
  t.equal(raft.status.role, 'follower', 'it could not write its vote');
  raft.persisted(sequence);
  t.equal(raft.status.isDiskHung, false);
  t.end();
});

t.test('the age of a write counts from when it was taken', (t) => {
  const raft = follower(log, 1);
  raft.tick();
  raft.ready();
  raft.tick();
  t.equal(raft.status.isDiskHung, false);
  t.end();
});

t.test('a member says where its log ends, and where the part that is durable does', (t) => {
  const raft = follower(log, 1);
  t.same([raft.lastIndex, raft.lastTerm, raft.logBytes], [4, 1, 4 * ENTRY_OVERHEAD_BYTES]);
  const append = { kind: 'append', from: 2, to: 1, term: 2, prevIndex: 4, prevTerm: 1 } as const;
  const larger = { ...entry(5, 2), data: new Uint8Array(7) };
  raft.step({ ...append, entries: [larger], commitIndex: 1 });
  t.same([raft.lastIndex, raft.lastTerm, raft.logBytes], [5, 2, 5 * ENTRY_OVERHEAD_BYTES + 7]);
  t.same(raft.durableTail, { lastIndex: 4, lastTerm: 1 });
  raft.persisted(raft.ready().sequence);
  t.same(raft.durableTail, { lastIndex: 5, lastTerm: 2 });
  const snapshot = { index: 9, term: 2, members };
  raft.step({ kind: 'snapshot', from: 2, to: 1, term: 2, snapshot });
  t.same([raft.lastIndex, raft.lastTerm, raft.logBytes], [9, 2, 0]);
  t.same(raft.durableTail, { lastIndex: 0, lastTerm: 0 }, 'nothing before it is durable');
  t.end();
});

t.test('a member knows what it lacks, but not what its snapshot holds', (t) => {
  const raft = follower(log, 1);
  raft.compact(1);
  const rows: [number, number, boolean][] = [
    [4, 1, false],
    [4, 2, true],
    [4, 0, false],
    [5, 1, true],
    [5, 0, true],
    [0, 9, false],
  ];
  for (const [index, term, wanted] of rows) {
    t.equal(raft.isWithout(index, term), wanted, `entry ${index} of term ${term}`);
  }
  t.end();
});

t.test('a member that lost its log stands still', (t) => {
  const raft = follower(log, 1);
  const heartbeat = { kind: 'heartbeat', from: 2, to: 1, term: 1, readCounter: 0 } as const;
  raft.step({ ...heartbeat, commitIndex: 5, commitTerm: 1 });
  t.match(raft.lostLog, { leader: 2, commitIndex: 5, lastIndex: 4 });
  const before = raft.status;
  for (let i = 0; i < 10; i++) raft.tick();
  raft.step({ ...heartbeat, commitIndex: 2, commitTerm: 1 });
  t.same(raft.status, before);
  t.equal(raft.hasReady, false);
  t.end();
});

t.test('the first election of a member waits as long as was drawn', (t) => {
  for (const [drawn, ticks] of [
    [0, 3],
    [0.99, 5],
  ] as const) {
    const raft = follower(log, 1, drawn);
    for (let i = 1; i < ticks; i++) raft.tick();
    t.equal(raft.status.role, 'follower', `${ticks} ticks are not over`);
    raft.tick();
    t.equal(raft.status.role, 'preCandidate', `after ${ticks} ticks`);
  }
  t.end();
});
