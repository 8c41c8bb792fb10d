/**
 * Known bugs of other implementations, about linearizable reads. Numbers and sources: known-bugs.ts and
 * reference/store.md section 2.
 */
import t from 'tap';
import { membersOf } from './raft.ts';
import { groupAfter } from './testing/group-scenario.ts';
import { TestMember } from './testing/member.ts';

t.test('raft bug 1: a new leader answers no read before it committed in its term', (t) => {
  // "x" is committed by 1 and 2; 2 does not know that it is, and comes to lead.
  const g = groupAfter(`
    members 3
    elect 1
    propose 1 x
    process 1
    deliver 2
    process 2
    deliver 1
    lose
    win 2 3`);
  t.equal(g.member(1).raft.status.commitIndex, 2);
  t.equal(g.member(2).raft.status.commitIndex, 1);
  g.runAll(`
    read 2 7
    tick 2
    process 2
    deliver 3 heartbeat
    process 3
    deliver 2 heartbeatResponse`);
  t.same(g.member(2).reads, [], 'a majority answered, and it still must not answer');
  g.run('stabilize 2 3');
  t.same(g.member(2).reads, [{ context: 7, index: 3 }]);
  t.end();
});

t.test('raft bug 2: a late answer to an earlier round confirms no later read', (t) => {
  const g = groupAfter(`
    members 3
    elect 1
    read 1 1
    process 1
    deliver 2
    process 2
    hold 1
    lose
    forget 2 3
    elect 2 3
    propose 2 new
    stabilize 2 3
    lose
    read 1 2
    process 1
    lose
    release 1
    deliver 1
    process 1`);
  t.equal(g.member(1).raft.isLeader, true, 'nobody told it');
  t.same(g.member(1).reads, [{ context: 1, index: 1 }], 'the first read began before the write');
  t.end();
});

t.test('raft bug 3: the answer of a former leader is not used', (t) => {
  const g = groupAfter(`
    members 3
    elect 1
    read 2 9
    process 2
    deliver 1
    stabilize 1 3
    hold 2
    forget 2
    elect 3 2
    propose 3 new
    stabilize 2 3
    release 2
    deliver 2 readResponse
    process 2`);
  t.equal(g.member(2).raft.status.term, 2);
  t.same(g.member(2).reads, []);
  t.end();
});

t.test('raft bug 3: the answer to a former life of the member is not used', (t) => {
  const draws = [0.1, 0, 0.7, 0];
  const random = () => draws.shift() ?? 0;
  const member = new TestMember({ id: 1, members: membersOf([1, 2]), random });
  const heartbeat = {
    kind: 'heartbeat',
    from: 2,
    to: 1,
    term: 1,
    commitIndex: 0,
    commitTerm: 0,
  } as const;
  const ask = () => {
    member.raft.step({ ...heartbeat, readCounter: 0 });
    t.ok(member.raft.read(1));
    return member.take()?.messages.find((message) => message.kind === 'read');
  };
  const first = ask();
  member.persist();
  member.restart();
  const second = ask();
  const answer = { kind: 'readResponse', from: 2, to: 1, term: 1 } as const;
  member.raft.step({ ...answer, readId: first?.readId ?? 0, index: 1 });
  member.take();
  t.same(member.reads, []);
  member.raft.step({ ...answer, readId: second?.readId ?? 0, index: 2 });
  member.take();
  t.same(member.reads, [{ context: 1, index: 2 }]);
  t.end();
});

t.test('raft bug 4: a read needs a majority, of both halves in a joint change', (t) => {
  const g = groupAfter('members 4\nelect 1\nread 1 5\nprocess 1');
  g.runAll('deliver 2\nprocess 2\ndeliver 1\nprocess 1');
  t.same(g.member(1).reads, [], 'two of four');
  g.runAll('deliver 3\nprocess 3\ndeliver 1\nprocess 1');
  t.same(g.member(1).reads, [{ context: 5, index: 1 }], 'three of four');

  const joint = groupAfter(`
    members 3
    join 4
    join 5
    elect 1
    change 1 jointExplicit r2 r3 v4 v5
    stabilize
    read 1 6
    process 1
    deliver 2
    process 2
    deliver 3
    process 3
    deliver 1
    process 1`);
  t.same(joint.member(1).reads, [], 'all of the old half');
  joint.runAll('deliver 4\nprocess 4\ndeliver 1\nprocess 1');
  t.match(joint.member(1).reads, [{ context: 6 }], 'and a majority of the new one');
  t.end();
});

t.test('raft bug 26: reads that wait are bounded', (t) => {
  const g = groupAfter('members 3 reads=2');
  t.same(g.run('read 1 1'), ['refused'], 'no leader to ask');
  g.runAll('win 1 2\nread 1 1\nread 1 2');
  t.same(g.run('read 1 3'), ['refused'], 'a leader that has not committed in its term');
  g.runAll('tick 1\nstabilize');
  t.match(g.member(1).reads, [{ context: 1 }, { context: 2 }]);
  // A follower forgets its oldest question, of which the answer was probably lost.
  g.runAll('read 2 1\nprocess 2\nlose\nread 2 2\nread 2 3\nstabilize');
  t.same(
    g.member(2).reads.map(({ context }) => context),
    [2, 3],
  );
  t.end();
});
