/** Configurations by the index at which they are in force. */
import t from 'tap';
import { MemberHistory } from './member-history.ts';
import { membersOf } from './members.ts';

/** Behind index 2: voters 1; from 5 on 1 and 2; from 9 on 1 to 3. */
function history(): MemberHistory {
  const some = new MemberHistory(2, membersOf([1]));
  some.push(5, membersOf([1, 2]));
  some.push(9, membersOf([1, 2, 3]));
  return some;
}

const votersAt = (some: MemberHistory, index: number) => some.at(index).voters.length;

t.test('at() says who was in force, the newest is in force now', (t) => {
  const some = history();
  t.same(
    [2, 4, 5, 8, 9, 99].map((index) => votersAt(some, index)),
    [1, 1, 2, 2, 3, 3],
  );
  t.equal(some.index, 9);
  t.equal(some.members.voters.length, 3);
  t.throws(() => some.at(1), { name: 'AssertionFailed' });
  t.end();
});

t.test('a log that is cut gets the members before back', (t) => {
  for (const [from, index] of [
    [10, 9],
    [9, 5],
    [6, 5],
    [5, 2],
    [3, 2],
  ] as const) {
    const some = history();
    some.cut(from);
    t.equal(some.index, index, `from ${from}`);
  }
  t.throws(() => history().cut(2), { name: 'AssertionFailed' });
  t.end();
});

t.test('a log that is compacted forgets who was in force before', (t) => {
  for (const [index, first] of [
    [4, 2],
    [5, 5],
    [8, 5],
    [9, 9],
  ] as const) {
    const some = history();
    some.compactTo(index);
    t.equal(some.index, 9);
    t.doesNotThrow(() => some.at(first));
    t.throws(() => some.at(first - 1), { name: 'AssertionFailed' }, `compacted to ${index}`);
  }
  t.end();
});

t.test('members of the last committed configuration count, and of all behind it', (t) => {
  const some = history();
  t.same(
    [4, 5, 8, 9].map((index) => some.isVoterSince(index, 3)),
    [true, true, true, true],
  );
  some.push(12, membersOf([4]));
  t.same(
    [8, 9, 11, 12].map((index) => some.isVoterSince(index, 3)),
    [true, true, true, false],
  );
  t.same([...some.everyoneSince(10)], [1, 2, 3, 4]);
  t.same([...some.everyoneSince(12)], [4]);
  t.end();
});
