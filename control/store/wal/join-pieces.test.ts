/** LogJoin by rule: what pieces of a log say of it, and what they leave open. */
import t from 'tap';
import type { Entry, HardState } from '#control/raft/raft.ts';
import type { EntryId } from './format.ts';
import { type Gap, LogJoin } from './join.ts';
import type { LogPiece } from './recover.ts';

const ENTRY_BYTES = 4;

/** `2/1`: index and term. */
function idOf(text: string): EntryId {
  const [index = 0, term = 0] = text.split('/').map(Number);
  return { index, term };
}

function entriesOf(text: string): Entry[] {
  const ids = text.split(' ').filter((word) => word !== '');
  return ids.map((id) => ({ ...idOf(id), data: new Uint8Array(ENTRY_BYTES) }));
}

/** `2/1: 3/1 4/1`: what the log ended in before the piece (`?`: not known), and its entries. */
function pieceOf(text: string, hardState?: HardState): LogPiece {
  const [start = '', list = ''] = text.split(':');
  const entries = entriesOf(list);
  const known = start === '?' ? undefined : idOf(start.replace('restart ', ''));
  const restart = start.startsWith('restart') ? known : undefined;
  const end = entries.at(-1) ?? known;
  const content = { entries, hardState, restart, last: end ?? idOf('0/0') };
  return { content, before: restart === undefined ? known : undefined, end };
}

function joinOf(base: string, ...pieces: string[]): LogJoin {
  return new LogJoin(
    idOf(base),
    pieces.map((piece) => pieceOf(piece)),
  );
}

const show = ({ index, term }: EntryId) => `${index}/${term}`;
const showGap = ({ after, to }: Gap) => `(${show(after)} to ${show(to)})`;

/** Entries, gaps, and what the log ends in. */
function shown({ entries, gaps, last }: LogJoin): string {
  return [...entries.map(show), ...gaps.map(showGap), 'ends', show(last)].join(' ');
}

/** The term before them, and the entries; `?` when they are not all known. */
function stretched(join: LogJoin, after: number, to: string, bytesMax = 1000): string {
  const found = join.stretch(after, idOf(to), bytesMax);
  if (found === undefined) return '?';
  return [`${found.prevTerm}:`, ...found.entries.map(show)].join(' ');
}

t.test('pieces say what is known, and what is missing between them', (t) => {
  const rows: [string, string, string[], string][] = [
    ['one piece', '0/0', ['0/0: 1/1 2/1'], '1/1 2/1 ends 2/1'],
    ['a piece that goes on', '0/0', ['0/0: 1/1 2/1', '2/1: 3/2'], '1/1 2/1 3/2 ends 3/2'],
    [
      'a piece that begins later',
      '0/0',
      ['0/0: 1/1 2/1', '4/1: 5/1'],
      '1/1 2/1 5/1 (2/1 to 4/1) ends 5/1',
    ],
    [
      'one of which nobody knows what was before: its first entry ends the gap',
      '0/0',
      ['0/0: 1/1 2/1', '?: 5/2 6/3'],
      '1/1 2/1 5/2 6/3 (2/1 to 5/2) ends 6/3',
    ],
    ['the next index in the same term', '0/0', ['0/0: 1/1', '?: 2/1'], '1/1 2/1 ends 2/1'],
    [
      'the next index in another term: the entry before may have been replaced',
      '0/0',
      ['0/0: 1/1 2/1', '?: 3/2'],
      '1/1 2/1 3/2 (2/1 to 3/2) ends 3/2',
    ],
    [
      'a copy of the last entry',
      '0/0',
      ['0/0: 1/1 2/2', '?: 2/2'],
      '1/1 2/2 (1/1 to 2/2) ends 2/2',
    ],
    ['the same, in one term', '0/0', ['0/0: 1/2 2/2 3/2', '?: 3/2'], '1/2 2/2 3/2 ends 3/2'],
    ['an entry replaced', '0/0', ['0/0: 1/1 2/1 3/1', '3/1: 2/2'], '1/1 2/2 ends 2/2'],
    [
      'an entry replaced behind a hole',
      '0/0',
      ['0/0: 1/1 2/1 3/1', '?: 2/2'],
      '1/1 2/2 (1/1 to 2/2) ends 2/2',
    ],
    [
      'a piece that begins lower, at an entry that is known',
      '0/0',
      ['0/0: 1/1 2/1 3/1 4/1', '2/1: 3/2'],
      '1/1 2/1 3/2 ends 3/2',
    ],
    [
      'a piece that begins at another entry than the known one',
      '0/0',
      ['0/0: 1/1 2/1', '2/2: 3/2'],
      '1/1 3/2 (1/1 to 2/2) ends 3/2',
    ],
    ['only an end', '0/0', ['0/0: 1/1', '4/2:'], '1/1 (1/1 to 4/2) ends 4/2'],
    [
      'a second gap begins at the end of the first',
      '0/0',
      ['0/0: 1/1', '4/2:', '?: 9/3'],
      '1/1 9/3 (1/1 to 4/2) (4/2 to 9/3) ends 9/3',
    ],
    [
      'a second gap begins at the last entry behind the first',
      '0/0',
      ['0/0: 1/1', '4/2: 5/2 6/2', '9/3:'],
      '1/1 5/2 6/2 (1/1 to 4/2) (6/2 to 9/3) ends 9/3',
    ],
    [
      'an entry within a gap ends it there',
      '0/0',
      ['0/0: 1/1', '5/2: 6/2', '?: 4/3'],
      '1/1 4/3 (1/1 to 4/3) ends 4/3',
    ],
    [
      'the same, at its first index',
      '0/0',
      ['0/0: 1/1', '5/2: 6/2', '6/2: 2/3'],
      '1/1 2/3 (1/1 to 2/3) ends 2/3',
    ],
    [
      'the same, at its only index: what was hidden may have replaced the entry before',
      '0/0',
      ['0/0: 1/1 2/1', '3/2: 4/2', '4/2: 3/3'],
      '1/1 2/1 3/3 (2/1 to 3/3) ends 3/3',
    ],
    [
      'an entry at the end of a gap replaces that',
      '0/0',
      ['0/0: 1/1', '5/2: 6/2', '6/2: 5/3'],
      '1/1 5/3 (1/1 to 5/3) ends 5/3',
    ],
    [
      'an entry before a gap replaces all of it',
      '0/0',
      ['0/0: 1/1 2/1 3/1', '5/1: 2/2 3/2'],
      '1/1 2/2 3/2 (1/1 to 2/2) ends 3/2',
    ],
    [
      'the same, with a gap before it',
      '0/0',
      ['0/0: 1/1', '3/2: 4/2 5/2', '7/2: 5/3'],
      '1/1 4/2 5/3 (1/1 to 3/2) (4/2 to 5/3) ends 5/3',
    ],
    [
      'an end before a gap',
      '0/0',
      ['0/0: 1/1 2/1', '4/5: 5/5', '2/6: 3/6'],
      '1/1 3/6 (1/1 to 2/6) ends 3/6',
    ],
    ['an end within a gap', '0/0', ['0/0: 1/1', '5/2: 6/2', '5/3:'], '1/1 (1/1 to 5/3) ends 5/3'],
    ['nothing at or below the base', '3/1', ['0/0: 1/1 2/1 3/1 4/1'], '4/1 ends 4/1'],
    ['a piece below the base', '3/1', ['3/1: 4/1 5/1', '?: 3/2'], 'ends 3/1'],
    ['an end at the base', '3/1', ['3/1: 4/1 5/1', '3/1:'], 'ends 3/1'],
    ['a gap up to the base', '3/1', ['3/1: 4/1', '6/1: 7/1', '?: 2/2'], 'ends 3/1'],
    ['a log begun anew at the base', '90/2', ['0/0: 1/1', 'restart 90/2: 91/3'], '91/3 ends 91/3'],
  ];
  for (const [name, base, pieces, wanted] of rows) {
    t.equal(shown(joinOf(base, ...pieces)), wanted, name);
  }
  t.end();
});

t.test('the end is not known when nothing behind the last hole says it', (t) => {
  t.equal(joinOf('0/0').isEndKnown, true, 'an empty log');
  t.equal(joinOf('0/0', '0/0: 1/1').isEndKnown, true);
  t.equal(joinOf('0/0', '0/0: 1/1', '?:').isEndKnown, false);
  t.equal(joinOf('0/0', '0/0: 1/1', '?:', '?: 5/1').isEndKnown, true, 'a later piece says it');
  t.equal(joinOf('0/0', '0/0: 1/1', '?:', '5/1:').isEndKnown, true);
  t.end();
});

t.test('fill() takes the entries of a gap, as many as there are', (t) => {
  const join = joinOf('0/0', '0/0: 1/1', '4/2: 5/2', '8/2: 9/2');
  const [first, second] = join.gaps as [Gap, Gap]; // By the pieces.
  t.equal(join.open, second, 'the last one is filled first');
  t.equal(join.fill(first, 1, entriesOf('2/1 3/2 4/2')), true);
  t.equal(shown(join), '1/1 5/2 9/2 (1/1 to 4/2) (5/2 to 8/2) ends 9/2', 'another waits');
  t.equal(join.fill(second, 2, []), true);
  t.equal(join.fill(second, 2, entriesOf('6/2')), true, 'late, and changes nothing');
  t.same(join.open, second);
  t.equal(join.fill(join.open as Gap, 2, entriesOf('6/2 7/2')), true);
  t.equal(shown(join), '1/1 5/2 6/2 7/2 9/2 (1/1 to 4/2) (7/2 to 8/2) ends 9/2');
  t.equal(join.fill(join.open as Gap, 2, entriesOf('8/2')), true);
  t.equal(join.fill(join.open as Gap, 1, entriesOf('2/1 3/2 4/2')), true);
  t.equal(shown(join), '1/1 2/1 3/2 4/2 5/2 6/2 7/2 8/2 9/2 ends 9/2');
  t.equal(join.open, undefined);
  t.end();
});

t.test('fill() begins at the base when the entry before the gap is another one', (t) => {
  const join = joinOf('1/1', '1/1: 2/1 3/1', '5/2:', '?: 8/2', '8/2: 9/2');
  t.equal(shown(join), '2/1 3/1 8/2 9/2 (3/1 to 5/2) (5/2 to 8/2) ends 9/2');
  t.equal(join.fill(join.open as Gap, 7, entriesOf('6/2')), false);
  t.equal(shown(join), '9/2 (1/1 to 8/2) ends 9/2', 'what is behind it stays');
  t.equal(join.fill(join.open as Gap, 1, entriesOf('2/1 3/2 4/2 5/2 6/2 7/2 8/2')), true);
  t.equal(shown(join), '2/1 3/2 4/2 5/2 6/2 7/2 8/2 9/2 ends 9/2');
  t.end();
});

t.test('stretch() gives entries of the log that holds another, where none is hidden', (t) => {
  const join = joinOf('1/1', '1/1: 2/1 3/1', '5/2: 6/2 7/3 8/3');
  t.equal(shown(join), '2/1 3/1 6/2 7/3 8/3 (3/1 to 5/2) ends 8/3');
  const rows: [number, string, string, string][] = [
    [1, '3/1', '1: 2/1 3/1', 'behind the base, before a hole'],
    [2, '3/1', '1: 3/1', 'behind a known entry'],
    [3, '3/1', '1:', 'none behind it'],
    [5, '8/3', '2: 6/2 7/3 8/3', 'behind the end of a hole'],
    [6, '7/3', '2: 7/3', 'not all there are'],
    [5, '8/2', '?', 'not of that log'],
    [5, '9/3', '?', 'that one is not known'],
    [3, '5/2', '?', 'nor is it at the end of a hole'],
    [0, '3/1', '?', 'what was before the base is gone'],
    [4, '8/3', '?', 'within a hole nothing is known'],
    [3, '6/2', '?', 'with a hole between'],
    [9, '8/3', '?', 'nothing is there to stand behind'],
  ];
  for (const [after, to, wanted, name] of rows) t.equal(stretched(join, after, to), wanted, name);
  t.equal(stretched(join, 5, '8/3', 2 * ENTRY_BYTES), '2: 6/2 7/3', 'as many as fit');
  t.equal(stretched(join, 5, '8/3', ENTRY_BYTES + 1), '2: 6/2 7/3', 'the last goes beyond');
  const replaced = joinOf('0/0', '0/0: 1/1 2/1', '?: 3/2 4/2');
  t.equal(shown(replaced), '1/1 2/1 3/2 4/2 (2/1 to 3/2) ends 4/2');
  t.equal(stretched(replaced, 1, '3/2'), '?', 'the entry before a hole may have been replaced');
  t.equal(stretched(replaced, 3, '4/2'), '2: 4/2', 'the one at its end is known');
  t.end();
});

t.test('the hard state is the newest, in a term that reaches the last entry', (t) => {
  const state = (term: number, commitIndex = 0) => ({ term, vote: 7, commitIndex });
  const of = (base: string, ...states: (HardState | undefined)[]) => {
    const pieces = states.map((hardState, i) =>
      pieceOf(i === 0 ? '0/0: 1/1' : '1/1: 2/3', hardState),
    );
    return new LogJoin(idOf(base), pieces).hardState;
  };
  t.same(of('0/0', undefined), { term: 1, vote: 0, commitIndex: 0 });
  t.same(of('0/0', state(1)), state(1), 'in the term of the last entry the vote counts');
  t.same(of('0/0', state(4, 1)), state(4, 1));
  t.same(of('0/0', state(2), undefined), { term: 3, vote: 0, commitIndex: 0 });
  t.same(of('0/0', state(2), state(3, 1)), state(3, 1));
  t.same(of('0/0', state(5), undefined), state(5), 'a piece without one leaves it');
  t.same(of('1/1', state(5, 0)), state(5, 1), 'what is in a checkpoint is committed');
  t.end();
});

t.test('the vote is known where the last piece says it, or others were asked', (t) => {
  const state = { term: 3, vote: 7, commitIndex: 1 };
  const joined = (...states: (HardState | undefined)[]) => {
    const pieces = states.map((one, i) => pieceOf(i === 0 ? '0/0: 1/1' : '1/1: 2/2', one));
    return new LogJoin(idOf('0/0'), pieces);
  };
  t.equal(joined().isVoteKnown, true, 'an empty log');
  t.equal(joined(state).isVoteKnown, true);
  t.equal(joined(undefined, state).isVoteKnown, true);
  const join = joined(state, undefined);
  t.equal(join.isVoteKnown, false, 'a hole may have swallowed it');
  join.votedBy(5, 9);
  t.equal(join.isVoteKnown, true);
  t.same(join.hardState, { term: 5, vote: 9, commitIndex: 1 });
  join.votedBy(4, 8);
  t.same(join.hardState, { term: 5, vote: 8, commitIndex: 1 }, 'a term never falls');
  t.end();
});
