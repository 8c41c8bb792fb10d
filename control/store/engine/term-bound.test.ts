/** Who must have answered before a member knows in which terms it may have voted. */
import t from 'tap';
import { membersOf } from '#control/raft/raft.ts';
import { TermBound } from './term-bound.ts';

const cases = [
  { of: 'three, all others', voters: [1, 2, 3], heard: { 2: 4, 3: 7 }, highest: 7 },
  { of: 'three, one other', voters: [1, 2, 3], heard: { 2: 4 }, highest: undefined },
  {
    of: 'three, one other and itself',
    voters: [1, 2, 3],
    heard: { 1: 9, 2: 4 },
    highest: undefined,
  },
  {
    of: 'five, a quorum of others',
    voters: [1, 2, 3, 4, 5],
    heard: { 2: 4, 3: 7, 5: 1 },
    highest: 7,
  },
  { of: 'five, two others', voters: [1, 2, 3, 4, 5], heard: { 2: 4, 3: 7 }, highest: undefined },
  { of: 'two, the other', voters: [1, 2], heard: { 2: 4 }, highest: 4 },
  { of: 'two, nobody', voters: [1, 2], heard: {}, highest: undefined },
  { of: 'others, for one who does not vote', voters: [2, 3, 4], heard: { 2: 4, 4: 5 }, highest: 5 },
  { of: 'nobody else', voters: [1], heard: {}, highest: 0 },
  { of: 'members that are not known', voters: [], heard: { 2: 4 }, highest: undefined },
] as const;

for (const { of, voters, heard, highest } of cases) {
  t.test(`the bound of a group of ${of}`, (t) => {
    const bound = new TermBound(1, () => {});
    for (const [id, term] of Object.entries(heard)) bound.heard(Number(id), term);
    t.equal(bound.highest({ index: 5, members: membersOf([...voters]) }), highest);
    t.end();
  });
}

t.test(
  'the newest configuration that is committed anywhere says who is to answer, and is asked',
  (t) => {
    const asked: number[] = [];
    const bound = new TermBound(1, (to) => asked.push(to));
    const own = { index: 5, members: membersOf([1, 2, 3]) };
    bound.told({ kind: 'membersNews', index: 4, members: membersOf([1, 8]) });
    bound.heard(2, 4);
    t.equal(bound.highest(own), undefined);
    bound.told({ kind: 'membersNews', index: 9, members: membersOf([1, 2, 4]) });
    t.equal(bound.highest(own), undefined, 'not one of the time before');
    bound.ask(own);
    t.same(asked, [2, 3, 4]);
    bound.heard(4, 6);
    bound.heard(4, 5);
    t.equal(bound.highest(own), 6);
    t.end();
  },
);
