/**
 * Known bugs of other implementations, about logs, disks, snapshots and flow. Numbers and sources:
 * known-bugs.ts and reference/store.md section 2.
 */
import fc from 'fast-check';
import t from 'tap';
import { RaftLog } from './log.ts';
import { committedIndex, majority } from './quorum.ts';
import { Raft, membersOf } from './raft.ts';
import type { Entry, Message, SnapshotMeta } from './raft.ts';
import { groupAfter } from './testing/group-scenario.ts';
import { TestMember } from './testing/member.ts';

const NO_DATA = new Uint8Array(0);

function entry(index: number, term: number): Entry {
  return { index, term, data: NO_DATA };
}

function follower(entries: readonly Entry[]): Raft {
  return new Raft(
    { id: 1, members: membersOf([1, 2, 3]), heartbeatTicks: 1, electionTicks: 3, random: () => 0 },
    {
      hardState: { term: 1, vote: 0, commitIndex: 1 },
      snapshot: undefined,
      entries,
      appliedIndex: 1,
    },
  );
}

t.test('raft bug 10: a quorum does not depend on the order of its members', (t) => {
  const halves = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
  const matches = fc.array(fc.nat(20), { minLength: 10, maxLength: 10 });
  fc.assert(
    fc.property(halves, halves, matches, (voters, votersOutgoing, match) => {
      const found = committedIndex({ voters, votersOutgoing }, (id) => match[id] ?? 0);
      const isHeld = (half: readonly number[], index: number) =>
        half.length === 0 ||
        half.filter((id) => (match[id] ?? 0) >= index).length >= majority(half.length);
      if (voters.length + votersOutgoing.length === 0) return found === Number.MAX_SAFE_INTEGER;
      const isHeldByBoth = (index: number) =>
        isHeld(voters, index) && isHeld(votersOutgoing, index);
      return isHeldByBoth(found) && !isHeldByBoth(found + 1);
    }),
  );
  t.end();
});

t.test('raft bug 11: an append cuts the log only where it differs', (t) => {
  const append = { kind: 'append', from: 2, to: 1, term: 2, prevIndex: 1, prevTerm: 1 } as const;
  const raft = follower([entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 1)]);
  raft.step({ ...append, entries: [entry(2, 1)], commitIndex: 1 });
  raft.step({ ...append, entries: [], commitIndex: 1 });
  t.equal(raft.lastIndex, 4, 'what it does not mention stays');
  raft.step({ ...append, entries: [entry(2, 1), entry(3, 2)], commitIndex: 1 });
  t.equal(raft.lastIndex, 3, 'what differs goes, with all behind it');
  t.same(raft.entry(3), entry(3, 2));
  t.end();
});

t.test(
  'raft bug 14: the end of a write says nothing of entries that were replaced meanwhile',
  (t) => {
    const members = membersOf([1]);
    const log = new RaftLog({ index: 0, term: 0, members }, [entry(1, 1)]);
    const write = (entries: readonly Entry[]) => {
      log.merge(entries);
      log.takeUnwritten();
      return log.writes.take({ index: log.lastIndex, term: 1, atTick: 0 });
    };
    const finish = (sequence: number) => {
      for (const { index } of log.writes.finish(sequence)) log.persistedTo(index);
      return log.persistedIndex;
    };
    const first = write([entry(2, 1), entry(3, 1)]);
    const second = write([entry(2, 2)]);
    // The entries of the first write come back, equal in index and term.
    const third = write([entry(2, 1), entry(3, 1)]);
    t.equal(finish(first), 1, 'the second write will remove them again');
    t.equal(finish(second), 1);
    t.equal(finish(third), 3);
    t.end();
  },
);

t.test(
  'raft bug 14: a write counts when all before it do, whatever the disk finishes first',
  (t) => {
    const g = groupAfter(
      'members 1\nelect 1\npropose 1 a\ntake 1\npropose 1 b\ntake 1\npropose 1 c\ntake 1',
    );
    const { raft } = g.member(1);
    g.run('persist 1 2');
    t.equal(raft.status.persistedIndex, 1);
    g.run('persist 1 0');
    t.equal(raft.status.persistedIndex, 2);
    t.equal(raft.status.commitIndex, 2);
    g.run('persist 1 0');
    t.equal(raft.status.commitIndex, 4);
    t.throws(() => raft.persisted(1), { name: 'AssertionFailed' }, 'a write ends once');
    t.throws(() => raft.persisted(99), { name: 'AssertionFailed' });
    t.end();
  },
);

t.test('raft bug 15: a full window of lost appends does not end replication', (t) => {
  const g = groupAfter('members 3 inflight=2\nelect 1');
  for (const text of ['a', 'b', 'c', 'd']) g.runAll(`propose 1 ${text}\nstabilize 1 2\ndrop 3`);
  t.match(g.member(1).raft.progress, [{ id: 2 }, { id: 3, isPaused: true, inflightCount: 2 }]);
  g.runAll('tick 1\nstabilize');
  t.equal(g.member(3).raft.lastIndex, 5);
  t.end();
});

t.test('raft bug 15: nor does it when the leader dropped the log meanwhile', (t) => {
  const g = groupAfter('members 3 inflight=2\nelect 1');
  for (const text of ['a', 'b', 'c', 'd']) g.runAll(`propose 1 ${text}\nstabilize 1 2\ndrop 3`);
  g.runAll('compact 1 5\ntick 1\nstabilize');
  t.match(g.member(3).raft.status, { lastIndex: 5, firstIndex: 6 });
  t.end();
});

t.test('raft bug 15: a snapshot that ends where the log ends ends the transfer', (t) => {
  const g = groupAfter(
    'members voters=1,2,3 start=1,2\nelect 1 2\ncompact 1 1\nlose\njoin 3\ntick 1',
  );
  g.run('stabilize');
  t.match(g.member(1).raft.progress, [{ id: 2 }, { id: 3, state: 'replicate', matchIndex: 1 }]);
  t.end();
});

t.test('raft bug 15: a transfer whose answer was lost ends by the host, either way', (t) => {
  for (const outcome of ['installed', 'failed']) {
    const g = groupAfter(
      'members 3\nelect 1 2\nlose\npropose 1 a\nstabilize 1 2\nlose\ncompact 1 2',
    );
    g.runAll('tick 1\nprocess 1\ndeliver 3\nprocess 3\ndeliver 1\nprocess 1');
    t.match(g.member(1).raft.progress, [{ id: 2 }, { state: 'snapshot', snapshotIndex: 2 }]);
    g.runAll(outcome === 'installed' ? 'deliver 3\nprocess 3\nlose' : 'lose');
    g.runAll(`transferred 1 3 ${outcome}\ntick 1\nstabilize`);
    t.match(g.member(1).raft.progress, [{ id: 2 }, { state: 'replicate', matchIndex: 2 }], outcome);
  }
  t.end();
});

t.test('raft bug 16: a group of one commits when its own disk has it', (t) => {
  const g = groupAfter('members 1\nelect 1\npropose 1 a\ntake 1');
  t.match(g.member(1).raft.status, { lastIndex: 2, commitIndex: 1, appliedIndex: 1 });
  g.run('restart 1');
  t.equal(g.member(1).raft.lastIndex, 1, 'nobody was told, so nothing is missing');
  g.runAll('elect 1\npropose 1 b\ntake 1\npersist 1');
  t.match(g.member(1).raft.status, { lastIndex: 3, commitIndex: 3 });
  t.end();
});

t.test(
  'raft bug 16: what a majority committed is applied when the own disk has it as well',
  (t) => {
    const g = groupAfter('members 3\nelect 1\npropose 1 a\ntake 1\ndeliver 2\ndeliver 3');
    g.runAll('process 2\nprocess 3\ndeliver 1\ntake 1');
    t.match(g.member(1).raft.status, { commitIndex: 2, persistedIndex: 1, appliedIndex: 1 });
    t.equal(g.member(1).raft.hasReady, false, 'nothing is due meanwhile');
    g.runAll('persist 1\ntake 1');
    t.equal(g.member(1).raft.status.appliedIndex, 2);
    t.end();
  },
);

t.test('raft bug 19: late news of applying is no news after a snapshot', (t) => {
  const member = new TestMember({ id: 1, members: membersOf([1, 2]), random: () => 0 });
  const from = { from: 2, to: 1, term: 1 } as const;
  const entries = [entry(1, 1), entry(2, 1)];
  member.raft.step({
    ...from,
    kind: 'append',
    prevIndex: 0,
    prevTerm: 0,
    entries,
    commitIndex: 2,
  });
  member.take();
  member.persist();
  t.match(member.take(), { committed: [{ index: 1 }, { index: 2 }] });
  member.raft.step(snapshotMessage(5));
  t.match(member.take(), { snapshot: { index: 5 }, committed: [] });
  member.apply();
  t.equal(member.raft.status.appliedIndex, 5);
  t.end();
});

t.test('raft bug 19: of two snapshots close together the second one stands', (t) => {
  const member = new TestMember({ id: 1, members: membersOf([1, 2]), random: () => 0 });
  member.raft.step(snapshotMessage(5));
  member.take();
  member.raft.step(snapshotMessage(9));
  member.take();
  // An older one that comes late is answered and not installed.
  member.raft.step(snapshotMessage(5));
  t.match(member.take(), { snapshot: undefined });
  t.match(member.persist(), [{ kind: 'appendResponse', index: 5 }]);
  t.equal(member.raft.status.persistedIndex, 0, 'the second one is not on disk');
  member.raft.campaign();
  t.equal(member.raft.status.role, 'follower', 'nobody leads without its snapshot');
  t.match(member.persist(), [{ kind: 'appendResponse', index: 9 }]);
  t.match(member.raft.status, { persistedIndex: 9, appliedIndex: 9, commitIndex: 9 });
  member.restart();
  t.equal(member.raft.status.appliedIndex, 9);
  t.end();
});

function snapshotMessage(index: number): Message {
  const snapshot: SnapshotMeta = { index, term: 1, members: membersOf([1, 2]) };
  return { kind: 'snapshot', from: 2, to: 1, term: 1, snapshot };
}

t.test('raft bug 20: a snapshot names the members of its own index', (t) => {
  const g = groupAfter(`
    members 1
    elect 1
    propose 1 a
    change 1 l2
    join 2
    stabilize
    propose 1 b
    change 1 l3
    stabilize
    compact 1 4`);
  const { raft } = g.member(1);
  t.match(raft.describe(4), { index: 4, members: { voters: [1], learners: [2] } });
  t.match(raft.members, { learners: [2, 3] }, 'the newest configuration is in force');
  g.run('restart 1');
  t.match(g.member(1).raft.members, { voters: [1], learners: [2, 3] }, 'after a restart too');
  g.runAll('elect 1\ncompact 1 5\nrestart 1');
  t.match(g.member(1).raft.members, { learners: [2, 3] }, 'and with its entry compacted');
  t.end();
});

t.test('raft bug 20: a snapshot brings the members in force at its index', (t) => {
  const member = new TestMember({ id: 1, members: membersOf([1, 2]), random: () => 0 });
  const snapshot = { index: 5, term: 1, members: membersOf([2, 3]) };
  member.raft.step({ kind: 'snapshot', from: 2, to: 1, term: 1, snapshot });
  t.same(member.raft.members.voters, [2, 3]);
  member.take();
  member.persist();
  member.restart();
  t.same(member.raft.members.voters, [2, 3]);
  t.end();
});

t.test('raft bug 20: a change that is cut off is forgotten', (t) => {
  const g = groupAfter('members 3\nelect 1\nchange 1 r3\nprocess 1\nlose');
  t.same(g.member(1).raft.members.voters, [1, 2]);
  g.runAll('forget 2 3\nelect 2 3\ntick 2\nstabilize');
  t.same(g.member(1).raft.members.voters, [1, 2, 3]);
  t.end();
});

t.test('raft bug 20: a snapshot from before the own joining is not offered', (t) => {
  const g = groupAfter('members 1\nelect 1\npropose 1 a\nchange 1 v2\njoin 2\nstabilize');
  const { raft } = g.member(2);
  t.equal(raft.offerSnapshot(2), false, 'it does not know who was a member then');
  t.equal(raft.offerSnapshot(3), true);
  t.end();
});

t.test('raft bug 23: what waits for a full window leaves in one append', (t) => {
  const g = groupAfter('members 3 inflight=2\nelect 1');
  for (let i = 0; i < 50; i++) g.runAll(`propose 1 x\nprocess 1`);
  const appendsTo2 = (lines: readonly string[]) =>
    lines.filter((line) => line.includes('send 1->2 append'));
  t.match(g.member(1).raft.progress[0], { inflightCount: 2, nextIndex: 4 });
  g.runAll('deliver 2 append\nprocess 2\ndeliver 1');
  const sent = appendsTo2(g.run('process 1'));
  t.equal(sent.length, 1, 'and the news of the commit with it');
  t.match(sent[0], / prev=3\/1 commit=3 \[4\/1 .* 51\/1 "x"\]/);
  t.end();
});

t.test('raft bug 23: proposals and commits of one turn share a message', (t) => {
  const g = groupAfter(
    'members 3\nelect 1\npropose 1 a\nprocess 1\ndeliver 2\nprocess 2\ndeliver 1',
  );
  const sent = g.runAll('propose 1 b\npropose 1 c\ntake 1').filter((line) => line.includes('1->2'));
  t.same(sent, ['1: send 1->2 append term=1 prev=2/1 commit=2 [3/1 "b" 4/1 "c"]']);
  t.end();
});

t.test('raft bug 25: a member behind a log that is wholly gone gets a snapshot', (t) => {
  const g = groupAfter('members 3\nelect 1 2\nlose\npropose 1 a\nstabilize 1 2\nlose\ncompact 1 2');
  t.match(g.member(1).raft.status, { firstIndex: 3, lastIndex: 2 });
  g.runAll('tick 1\nstabilize');
  t.match(g.member(3).raft.status, { appliedIndex: 2, firstIndex: 3 });

  // Also from a leader that itself started with nothing but the snapshot, or was sent it.
  g.runAll('compact 3 2\nrestart 3\nwin 3 1 2\njoin 4\ntick 3\nstabilize');
  g.runAll('change 3 l4\nstabilize');
  t.match(g.member(4).raft.status, { firstIndex: 3, appliedIndex: 4 });
  t.end();
});

t.test(
  'raft bug 25: without a snapshot that reaches the log nothing is sent, until one does',
  (t) => {
    const g = groupAfter(
      'members 3\nelect 1 2\nlose\npropose 1 a\npropose 1 b\nstabilize 1 2\nlose',
    );
    g.member(1).raft.compact(2);
    g.runAll('tick 1\nstabilize');
    t.equal(g.member(3).raft.lastIndex, 0);
    t.equal(g.member(1).raft.hasReady, false, 'and nobody spins');
    g.runAll('snapshot 1 3\nstabilize');
    t.equal(g.member(3).raft.lastIndex, 3);
    t.end();
  },
);
