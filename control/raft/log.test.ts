/** The log of one member: what it counts, cuts and hands out. */
import t from 'tap';
import { ENTRY_OVERHEAD_BYTES } from './limits.ts';
import { RaftLog } from './log.ts';
import { membersOf } from './members.ts';
import type { Entry } from './types.ts';

const members = membersOf([1, 2, 3]);

/** An entry that counts `bytes`. */
function entry(index: number, term: number, bytes = 100): Entry {
  return { index, term, data: new Uint8Array(bytes - ENTRY_OVERHEAD_BYTES) };
}

/** Behind a snapshot 4/2: entries 5/2, 6/3 and 7/3 of 100, 200 and 300 bytes. */
function log(): RaftLog {
  const entries = [entry(5, 2, 100), entry(6, 3, 200), entry(7, 3, 300)];
  return new RaftLog({ index: 4, term: 2, members }, entries);
}

const indexes = (entries: readonly Entry[]) => entries.map(({ index }) => index);

t.test('bytes are those of the entries in memory', (t) => {
  const some = log();
  t.equal(some.bytes, 600);
  t.equal(some.bytesBetween(5, 7), 500);
  some.merge([entry(7, 4, 50), entry(8, 4, 60)]);
  t.equal(some.bytes, 410, 'an entry was replaced');
  some.commitTo(6);
  some.resumeAt(6);
  some.compactTo(5);
  t.equal(some.bytes, 310);
  some.compactTo(4);
  t.same([some.firstIndex, some.lastIndex, some.term(5), some.term(4)], [6, 8, 2, undefined]);
  some.restore({ index: 20, term: 5, members });
  t.equal(some.bytes, 0);
  t.same([some.firstIndex, some.lastIndex, some.lastTerm], [21, 20, 5]);
  t.end();
});

t.test('slice() gives what fits, and one entry at least', (t) => {
  const rows: [number, number, number, number[]][] = [
    [5, 7, 1000, [5, 6, 7]],
    [5, 7, 300, [5, 6]],
    [5, 7, 299, [5]],
    [5, 7, 1, [5]],
    [6, 6, 1000, [6]],
    [7, 7, 1, [7]],
    [6, 7, 499, [6]],
    [6, 7, 500, [6, 7]],
  ];
  for (const [from, to, bytesMax, wanted] of rows) {
    t.same(indexes(log().slice(from, to, bytesMax)), wanted, `${from} to ${to}, ${bytesMax} bytes`);
  }
  t.end();
});

t.test('lastIndexUpToTerm() ends at the snapshot', (t) => {
  const rows: [number, number, number][] = [
    [9, 3, 7],
    [7, 3, 7],
    [6, 3, 6],
    [9, 2, 5],
    [5, 2, 5],
    [9, 1, 4],
    [4, 2, 4],
    [3, 2, 3],
  ];
  for (const [from, term, wanted] of rows) {
    t.equal(log().lastIndexUpToTerm(from, term), wanted, `${from}/${term}`);
  }
  t.end();
});

t.test('matches() and isUpToDate() compare terms before indexes', (t) => {
  t.same(
    [3, 4, 5, 7, 8].map((index) => log().matches(index, 2)),
    [false, true, true, false, false],
  );
  const rows: [number, number, boolean][] = [
    [7, 3, true],
    [8, 3, true],
    [6, 3, false],
    [1, 4, true],
    [9, 2, false],
  ];
  for (const [index, term, wanted] of rows) {
    t.equal(log().isUpToDate(index, term), wanted, `${index}/${term}`);
  }
  t.end();
});

t.test('entries are handed out once: to be written, and to be applied when durable', (t) => {
  const some = log();
  t.same(some.takeUnwritten(), [], 'those came from the disk');
  some.append(entry(8, 3));
  some.commitTo(8);
  some.commitTo(6);
  t.equal(some.commitIndex, 8, 'it never falls');
  t.same(indexes(some.handCommitted(300)), [5, 6]);
  t.same(indexes(some.handCommitted(1000)), [7], 'the last one is not durable yet');
  t.equal(some.hasUnhandedCommitted, false);
  t.same(some.handCommitted(1000), []);
  t.same(indexes(some.takeUnwritten()), [8]);
  t.same(some.takeUnwritten(), []);
  some.persistedTo(8);
  some.persistedTo(7);
  t.equal(some.persistedIndex, 8);
  t.equal(some.hasUnhandedCommitted, true);
  t.same(indexes(some.handCommitted(1000)), [8]);
  some.appliedTo(7);
  some.appliedTo(6);
  t.equal(some.appliedIndex, 7);
  t.end();
});

t.test('an entry that replaces another takes back what was said of it', (t) => {
  const some = log();
  some.append(entry(8, 3));
  t.same(indexes(some.takeUnwritten()), [8]);
  some.persistedTo(8);
  some.merge([entry(6, 3, 200), entry(7, 4)]);
  t.same([some.lastIndex, some.persistedIndex, some.takenIndex], [7, 6, 6]);
  t.same(indexes(some.takeUnwritten()), [7]);
  t.end();
});

t.test('a compacted log forgets who its members were before', (t) => {
  const some = log();
  some.append({ ...entry(8, 3), members: membersOf([1]) });
  some.commitTo(8);
  some.resumeAt(8);
  t.equal(some.describe(5)?.members.voters.length, 3);
  some.compactTo(8);
  t.equal(some.describe(8)?.members.voters.length, 1);
  t.equal(some.membersIndex, 8);
  t.end();
});

t.test('a snapshot that is being installed is not durable, and nothing else is', (t) => {
  const some = log();
  t.equal(some.isInstalling, false);
  some.restore({ index: 9, term: 4, members });
  t.same([some.isInstalling, some.persistedIndex, some.commitIndex], [true, 0, 9]);
  t.equal(some.hasUnhandedCommitted, false);
  some.persistedTo(9);
  t.equal(some.isInstalling, false);
  t.end();
});
