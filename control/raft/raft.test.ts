/** Rules of the core that a scenario cannot reach, because no member of ours would send such messages. */
import t from 'tap';
import { Raft, membersOf } from './raft.ts';
import type { Entry, Message } from './raft.ts';

const members = membersOf([1, 2, 3]);

function follower(entries: readonly Entry[], term: number): Raft {
  const config = { id: 1, members, heartbeatTicks: 1, electionTicks: 3, random: () => 0 };
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
  raft.step({ kind: 'vote', from: 3, ...request });
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
