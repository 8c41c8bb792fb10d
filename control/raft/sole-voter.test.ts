/** One voter beside a learner, and what a follower asks of its leader. */
import t from 'tap';
import { NO_MEMBERS, Raft } from './raft.ts';
import type { RaftConfig } from './raft.ts';
import { settle } from './testing/settle.ts';

const heartbeat = {
  kind: 'heartbeat',
  from: 1,
  to: 2,
  term: 1,
  commitIndex: 0,
  commitTerm: 0,
  readCounter: 0,
} as const;
const members = { ...NO_MEMBERS, voters: [1], learners: [2] };

function member(id: number, options: Partial<RaftConfig> = {}): Raft {
  const config = { id, members, heartbeatTicks: 1, electionTicks: 3, random: () => 0 };
  return new Raft(
    { ...config, ...options },
    {
      hardState: { term: 0, vote: 0, commitIndex: 0 },
      snapshot: undefined,
      entries: [],
      appliedIndex: 0,
    },
  );
}

function leader(): Raft {
  const raft = member(1);
  raft.campaign();
  settle(raft);
  t.equal(raft.isLeader, true);
  return raft;
}

t.test('a sole voter reads without asking anybody', (t) => {
  const raft = leader();
  t.equal(raft.isSoleVoter, true);
  t.equal(raft.read(7), true);
  const ready = raft.ready();
  t.same(ready.readStates, [{ context: 7, index: 1 }]);
  t.same(ready.messages, []);
  t.end();
});

t.test('a sole voter leads on while its disk hangs, and when nobody answers', (t) => {
  const raft = leader();
  raft.propose(new Uint8Array(1));
  raft.ready();
  for (let i = 0; i < 10; i++) raft.tick();
  t.equal(raft.status.isDiskHung, true);
  t.equal(raft.isLeader, true, 'a learner could not lead');
  t.end();
});

t.test('a transfer to the leader itself ends one, to who does not vote is refused', (t) => {
  const raft = leader();
  t.equal(raft.transferLeadership(2), 'notVoter');
  t.equal(raft.transferLeadership(9), 'notVoter');
  t.equal(raft.transferLeadership(1), undefined);
  t.equal(raft.status.transferTo, 0);
  t.type(raft.propose(new Uint8Array(1)), 'object');
  t.equal(member(2).transferLeadership(1), 'notLeader');
  t.end();
});

t.test('a learner is never a candidate, and forgets a leader that it does not hear', (t) => {
  const raft = member(2);
  raft.step(heartbeat);
  t.equal(raft.leader, 1);
  raft.tick();
  raft.tick();
  t.equal(raft.leader, 1);
  raft.tick();
  t.equal(raft.leader, 0);
  raft.campaign();
  t.same([raft.status.role, raft.term], ['follower', 1]);
  t.end();
});

t.test('a follower keeps as many reads as its bound says, the newest', (t) => {
  const raft = member(2, { limits: { readsPendingMax: 2 } });
  t.equal(raft.read(9), false, 'nobody to ask');
  raft.step(heartbeat);
  settle(raft);
  for (const context of [10, 11, 12]) t.equal(raft.read(context), true);
  const asked = settle(raft).flatMap((message) => (message.kind === 'read' ? message : []));
  t.same(
    asked.map(({ to, readId }) => [to, readId]),
    [
      [1, 0],
      [1, 1],
      [1, 2],
    ],
  );
  for (const readId of [0, 1, 2, 2]) {
    raft.step({ kind: 'readResponse', from: 1, to: 2, term: 1, readId, index: 5 + readId });
  }
  t.same(raft.ready().readStates, [
    { context: 11, index: 6 },
    { context: 12, index: 7 },
  ]);
  t.end();
});

t.test('a snapshot must be durable before it is said to be there', (t) => {
  const raft = member(2);
  const snapshot = { index: 9, term: 1, members };
  raft.step({ kind: 'snapshot', from: 1, to: 2, term: 1, snapshot });
  const ready = raft.ready();
  t.match(ready, { snapshot, mustSync: true, messages: [] });
  t.match(ready.messagesAfterPersist, [{ kind: 'appendResponse', to: 1, index: 9 }]);
  t.equal(raft.offeredIndex, 9, 'it has one to send, should it come to lead');
  raft.persisted(ready.sequence);
  t.equal(raft.hasReady, false);
  const idle = raft.ready();
  t.match(idle, { snapshot: undefined, hardState: undefined, mustSync: false, entries: [] });
  t.end();
});
