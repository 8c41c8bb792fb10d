/** Rules of a leader that scenarios do not show: their heartbeats are due every tick, and their hosts keep order. */
import t from 'tap';
import { Raft, membersOf } from './raft.ts';
import type { Entry, RaftConfig } from './raft.ts';
import { settle } from './testing/settle.ts';

const log: Entry[] = [1, 2, 3, 4].map((index) => ({ index, term: 1, data: new Uint8Array(0) }));

/** Member 1 of three leads term 2; its log is on disk, and `log` is committed and applied. */
function leader(options: Partial<RaftConfig> = {}, votesAfterTicks = 0): Raft {
  const config = { id: 1, heartbeatTicks: 1, electionTicks: 3, random: () => 0 };
  const raft = new Raft(
    { ...config, members: membersOf([1, 2, 3]), ...options },
    {
      hardState: { term: 1, vote: 0, commitIndex: 4 },
      snapshot: undefined,
      entries: log,
      appliedIndex: 4,
    },
  );
  raft.campaign();
  for (const kind of ['preVoteResponse', 'voteResponse'] as const) {
    settle(raft);
    for (let i = 0; i < votesAfterTicks; i++) raft.tick();
    raft.step({ kind, from: 2, to: 1, term: 2, rejected: false });
  }
  settle(raft);
  t.equal(raft.isLeader, true);
  return raft;
}

const answer = { kind: 'appendResponse', to: 1, term: 2, hintIndex: 0, hintTerm: 0 } as const;

t.test('heartbeats leave every so many ticks', (t) => {
  const raft = leader({ heartbeatTicks: 2, electionTicks: 10 });
  const beats = [1, 2, 3, 4, 5].map(() => {
    raft.tick();
    return settle(raft).filter(({ kind }) => kind === 'heartbeat').length;
  });
  t.same(beats, [0, 2, 0, 2, 0]);
  t.end();
});

t.test('a leader that hears nobody steps down after two election timeouts of its own', (t) => {
  const raft = leader({}, 2);
  const roles = [1, 2, 3, 4, 5, 6].map(() => {
    raft.tick();
    settle(raft);
    return raft.status.role;
  });
  t.same(roles, ['leader', 'leader', 'leader', 'leader', 'leader', 'follower']);
  t.end();
});

t.test('an answer to a round of reads that never was confirms none', (t) => {
  const raft = leader();
  raft.step({ ...answer, from: 2, index: 5, rejected: false });
  settle(raft);
  raft.step({ kind: 'heartbeatResponse', from: 2, to: 1, term: 2, readCounter: 9 });
  t.equal(raft.read(77), true);
  const ready = raft.ready();
  t.same(ready.readStates, []);
  t.match(ready.messages, [{ kind: 'heartbeat', readCounter: 1 }, { kind: 'heartbeat' }]);
  raft.step({ kind: 'heartbeatResponse', from: 3, to: 1, term: 2, readCounter: 1 });
  t.same(raft.ready().readStates, [{ context: 77, index: 5 }]);
  t.end();
});

t.test(
  'a snapshot is lacking while who needs one was heard of, and the log reaches further',
  (t) => {
    const raft = leader();
    raft.step({ ...answer, from: 2, index: 5, rejected: false });
    settle(raft);
    raft.applied(5);
    raft.offerSnapshot(2);
    t.equal(raft.lacksSnapshot, false);
    raft.compact(3);
    t.equal(raft.lacksSnapshot, false, 'nobody needs one');
    raft.propose(new Uint8Array(1));
    t.equal(raft.lacksSnapshot, false, 'the log holds what member 2 is sent next');
    settle(raft);
    raft.step({ ...answer, from: 3, index: 4, rejected: true });
    t.equal(raft.lacksSnapshot, true, 'member 3 holds nothing, and the one offered is too old');
    t.same(settle(raft), []);
    raft.step({ ...answer, from: 2, index: 5, rejected: false });
    t.equal(raft.lacksSnapshot, true);
    raft.offerSnapshot(3);
    t.equal(raft.lacksSnapshot, false, 'it ends where the log begins');
    t.match(settle(raft), [{ kind: 'snapshot', to: 3, snapshot: { index: 3, term: 1 } }]);
    t.equal(raft.lacksSnapshot, false, 'sent');
    t.end();
  },
);

t.test('a snapshot is lacking where none was ever offered', (t) => {
  const raft = leader();
  raft.compact(3);
  raft.step({ ...answer, from: 3, index: 4, rejected: true });
  t.equal(raft.lacksSnapshot, true);
  t.end();
});

t.test('no snapshot is made or sent for a member that is not heard of', (t) => {
  const raft = leader();
  for (const from of [2, 3]) raft.step({ ...answer, from, index: 5, rejected: false });
  settle(raft);
  raft.propose(new Uint8Array(1));
  settle(raft);
  raft.step({ ...answer, from: 2, index: 6, rejected: false });
  settle(raft);
  raft.applied(6);
  raft.compact(6);
  for (let i = 0; i < 3; i++) raft.tick();
  raft.unreachable(3);
  raft.step({ kind: 'heartbeatResponse', from: 2, to: 1, term: 2, readCounter: 0 });
  t.match(raft.progress, [{ id: 2 }, { id: 3, state: 'probe', nextIndex: 6, recentActive: false }]);
  t.equal(raft.lacksSnapshot, false);
  raft.offerSnapshot(6);
  const kinds = () => settle(raft).map(({ kind, to }) => `${kind} ${to}`);
  t.notOk(kinds().includes('snapshot 3'));
  raft.step({ kind: 'heartbeatResponse', from: 3, to: 1, term: 2, readCounter: 0 });
  t.same(kinds(), ['snapshot 3'], 'its sign of life');
  t.end();
});

t.test('what is under way to a member is bounded in bytes', (t) => {
  const limits = { inflightBytesMax: 2000 };
  const raft = leader({ limits });
  for (const from of [2, 3]) raft.step({ ...answer, from, index: 5, rejected: false });
  settle(raft);
  const sent = () => {
    raft.propose(new Uint8Array(1000));
    return settle(raft).flatMap(({ to, kind }) => (kind === 'append' ? [to] : []));
  };
  const inflight = () => raft.progress.map(({ inflightBytes }) => inflightBytes);
  t.same(sent(), [2, 3]);
  t.same(inflight(), [1032, 1032]);
  t.same(sent(), [2, 3], 'the one that reaches the bound passes');
  t.same(inflight(), [2064, 2064]);
  t.same(sent(), []);
  raft.step({ ...answer, from: 3, index: 6, rejected: false });
  t.same(inflight(), [2064, 1032]);
  t.ok(settle(raft).some(({ kind, to }) => kind === 'append' && to === 3));
  t.end();
});

t.test('who was removed is forgotten once that is committed, and not before', (t) => {
  const raft = leader();
  const accept = (from: number) => {
    raft.step({ ...answer, from, index: raft.lastIndex, rejected: false });
    settle(raft);
  };
  accept(2);
  t.type(raft.proposeChange([{ kind: 'remove', id: 3 }]), 'object');
  settle(raft);
  const known = () => raft.progress.map(({ id }) => id);
  t.same(known(), [2, 3]);
  accept(2);
  t.same(known(), [2]);
  accept(3);
  raft.step({ kind: 'heartbeatResponse', from: 3, to: 1, term: 2, readCounter: 0 });
  t.same(known(), [2], 'late answers change nothing');
  t.end();
});

t.test('to ask again for a transfer does not prolong it', (t) => {
  const raft = leader();
  t.equal(raft.transferLeadership(3), undefined);
  raft.tick();
  raft.tick();
  t.equal(raft.transferLeadership(3), undefined);
  t.equal(raft.status.transferTo, 3);
  raft.tick();
  t.equal(raft.status.transferTo, 0);
  t.equal(raft.isLeader, true, 'goes on');
  t.end();
});

t.test('a leader that resigns asks who answered lately, or nobody', (t) => {
  const asked = (answers: readonly [number, number][]) => {
    const raft = leader();
    for (let i = 0; i < 3; i++) raft.tick();
    for (const [from, index] of answers) raft.step({ ...answer, from, index, rejected: false });
    settle(raft);
    raft.resign();
    t.equal(raft.status.role, 'follower');
    return settle(raft)
      .filter(({ kind }) => kind === 'timeoutNow')
      .map(({ to }) => to);
  };
  t.same(asked([]), []);
  t.same(asked([[3, 4]]), [3]);
  t.same(
    asked([
      [2, 4],
      [3, 5],
    ]),
    [3],
    'the one that holds most',
  );
  t.same(
    asked([
      [2, 5],
      [3, 4],
    ]),
    [2],
  );
  t.end();
});

t.test('what is for leaders changes nothing elsewhere', (t) => {
  const raft = leader();
  raft.resign();
  settle(raft);
  const before = raft.status;
  raft.resign();
  raft.unreachable(2);
  raft.snapshotEnded(2, 'installed');
  t.same(raft.progress, []);
  t.equal(raft.lacksSnapshot, false);
  t.same(raft.status, before);
  t.same(settle(raft), []);
  t.end();
});

t.test('of the snapshots that were offered the newest counts', (t) => {
  const raft = leader();
  for (const index of [2, 3, 1]) t.equal(raft.offerSnapshot(index), true);
  t.equal(raft.offeredIndex, 3);
  t.end();
});

t.test('only what is committed and kept can be called a snapshot', (t) => {
  const raft = leader();
  raft.compact(2);
  const described = [1, 2, 4, 5, 6].map((index) => raft.describe(index)?.term);
  t.same(described, [undefined, 1, 1, undefined, undefined], 'entry 5 is not committed yet');
  const terms = [1, 2, 5, 6].map((index) => raft.termOf(index));
  t.same(terms, [undefined, 1, 2, undefined]);
  t.end();
});
