/** Records of a batch, folded into the log that they describe. */
import t from 'tap';
import type { Entry } from '#control/raft/raft.ts';
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { MEMBERS_MAX } from '../limits.ts';
import {
  MEMBERS_BYTES_MAX,
  RECORD_OVERHEAD_BYTES,
  RecordFold,
  writeEntry,
  writeHardState,
  writeRestart,
} from './record.ts';

const place = { name: 'wal', at: 80 };

function entry(index: number, term = 1): Entry {
  return { index, term, data: new Uint8Array([index]) };
}

/** Folds records behind entry `before`, as one batch. */
function fold(write: (out: ByteWriter) => void, count: number, before?: number) {
  const out = new ByteWriter();
  write(out);
  const last = before === undefined ? undefined : { index: before, term: 1 };
  const folded = new RecordFold(last);
  const found = folded.add(new ByteReader(out.view()), count, place);
  return { found, content: folded.content() };
}

const indexes = ({ entries }: { entries: readonly Entry[] }) => entries.map(({ index }) => index);

t.test('add() refuses a batch that is not what its header says', (t) => {
  const one = (out: ByteWriter) => writeEntry(out, entry(1));
  t.throws(() => fold(one, 2, 0), {
    code: 'CORRUPT',
    message: 'log segment wal has a batch with a record that ends early at byte 80',
  });
  t.throws(() => fold(one, 0, 0), { code: 'CORRUPT', message: /longer than its records/ });
  const later = (out: ByteWriter) => out.u8(5);
  t.throws(() => fold(later, 1, 0), {
    code: 'UNSUPPORTED',
    message: 'log segment wal has a record of type 5',
  });
  t.end();
});

t.test('add() takes entries that follow each other or replace what is there', (t) => {
  const rows: [string, number | undefined, number[], number[] | RegExp][] = [
    ['the next ones', 3, [4, 5], [4, 5]],
    ['one that is there again, and what was behind it is gone', 0, [1, 2, 3, 2], [1, 2]],
    ['one before the first', 5, [6, 7, 4], [4]],
    ['any first one where nothing is known', undefined, [9, 10], [9, 10]],
    ['none behind a gap', 3, [5], /entry 5 behind entry 3 /],
    ['none behind a gap within', 0, [1, 3], /entry 3 behind entry 1 /],
  ];
  for (const [name, before, given, wanted] of rows) {
    const write = (out: ByteWriter) => given.forEach((index) => writeEntry(out, entry(index)));
    const folded = () => fold(write, given.length, before);
    if (wanted instanceof RegExp) t.throws(folded, { code: 'CORRUPT', message: wanted }, name);
    else {
      const { found, content } = folded();
      t.same(indexes(content), wanted, name);
      t.match(found, { index: given.at(-1), term: 1 }, name);
      t.match(content.last, { index: given.at(-1), term: 1 }, name);
    }
  }
  t.end();
});

t.test('add() begins anew behind a restart, and takes nothing before it', (t) => {
  const restart = { index: 7, term: 3 };
  const write = (then: number[]) => (out: ByteWriter) => {
    writeEntry(out, entry(1));
    writeHardState(out, { term: 3, vote: 2, commitIndex: 7 });
    writeRestart(out, restart);
    for (const index of then) writeEntry(out, entry(index, 3));
  };
  const alone = fold(write([]), 3, 0);
  t.same(alone.found, restart);
  t.same(alone.content, {
    hardState: { term: 3, vote: 2, commitIndex: 7 },
    entries: [],
    last: restart,
    restart,
  });
  t.same(indexes(fold(write([8, 9, 8]), 6, 0).content), [8]);
  t.throws(() => fold(write([7]), 4, 0), { code: 'CORRUPT', message: /entry 7 behind entry 7 / });
  t.throws(() => fold(write([9]), 4, 0), { code: 'CORRUPT', message: /entry 9 behind entry 7 / });
  t.end();
});

t.test('no record is larger than what is reserved for it', (t) => {
  const largest = Number.MAX_SAFE_INTEGER;
  const ids = Array.from({ length: MEMBERS_MAX }, (_, i) => largest - MEMBERS_MAX + i);
  const members = { voters: ids, votersOutgoing: ids, learners: [], learnersNext: [] };
  const sizeOf = (write: (out: ByteWriter) => void) => {
    const out = new ByteWriter();
    write(out);
    return out.length;
  };
  const id = { index: largest, term: largest };
  const plain = sizeOf((out) => writeEntry(out, { ...id, data: new Uint8Array(0) }));
  const whole = { ...id, data: new Uint8Array(0), members: { ...members, autoLeave: true } };
  t.ok(plain <= RECORD_OVERHEAD_BYTES);
  t.ok(sizeOf((out) => writeEntry(out, whole)) - plain <= MEMBERS_BYTES_MAX);
  t.ok(sizeOf((out) => writeRestart(out, id)) <= RECORD_OVERHEAD_BYTES);
  const hardState = { term: largest, vote: largest, commitIndex: largest };
  t.ok(sizeOf((out) => writeHardState(out, hardState)) <= RECORD_OVERHEAD_BYTES);
  t.end();
});
