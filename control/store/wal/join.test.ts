/**
 * Logs with holes, against a twin: whatever bytes of a log rot, what is put together from its pieces and
 * from another member's log is the log that was written, or it is said that it cannot be known.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Entry, HardState } from '#control/raft/raft.ts';
import { removeUnfinished } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { SeededRandom } from '../testing/seeded-random.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.ts';
import type { EntryId } from './format.ts';
import { LogJoin } from './join.ts';
import { readEntries } from './read-entries.ts';
import { recoverLog } from './recover.ts';
import { finishRewrite, rewriteLog } from './rewrite.ts';
import { Wal } from './wal.ts';

const START = { index: 0, term: 0 };

function optionsFor(disk: MemoryDisk, segmentBytes: number) {
  let seed = 0;
  const identity = () => ({ groupId: 5, memberId: 7, isJoined: false });
  return { disk, crc32, identity, seed: () => ++seed * 7919, segmentBytes, preallocateBytes: 1024 };
}

/** A log as a follower of changing leaders writes it; and what it is at the end. */
function writeLog(random: SeededRandom): { disk: MemoryDisk; log: Entry[]; hardState: HardState } {
  const disk = new MemoryDisk();
  const options = optionsFor(disk, random.pick([300, 1000, 100_000]));
  let wal = new Wal(options, recoverLog(disk, crc32));
  const log: Entry[] = [];
  let hardState = { term: 1, vote: 1, commitIndex: 0 };
  for (let i = random.below(40); i >= 0; i--) {
    if (random.chance(0.2)) {
      const { commitIndex } = hardState;
      hardState = { term: hardState.term + 1 + random.below(3), vote: 0, commitIndex };
      // A new leader may hold less than this member does, above what is committed.
      if (random.chance(0.5)) {
        const kept = commitIndex + random.below(log.length - commitIndex + 1);
        const { length } = log;
        log.length = kept;
        if (kept < length) log.push(entryOf(log.length + 1, hardState.term, random));
        wal.write(log.slice(kept), hardState);
        continue;
      }
    }
    if (random.chance(0.1)) {
      if (random.chance(0.5)) wal.close();
      wal = new Wal(options, recoverLog(disk, crc32));
    }
    const from = log.length;
    for (let k = random.below(4); k > 0; k--) {
      log.push(entryOf(log.length + 1, hardState.term, random));
    }
    const commitIndex = hardState.commitIndex + random.below(from - hardState.commitIndex + 1);
    hardState = { ...hardState, commitIndex };
    wal.write(log.slice(from), random.chance(0.7) ? hardState : undefined);
  }
  if (random.chance(0.3)) wal.close();
  disk.syncDirectory();
  return { disk, log, hardState };
}

function entryOf(index: number, term: number, random: SeededRandom): Entry {
  const text = `${index}/${term} ${'x'.repeat(random.below(60))}`;
  return { index, term, data: new Uint8Array(Buffer.from(text)) };
}

/** What a member with this log answers. */
function answer(log: readonly Entry[], join: LogJoin, bytesMax: number): boolean {
  const { open: gap } = join;
  if (gap === undefined) return false;
  if (log[gap.to.index - 1]?.term !== gap.to.term) return false;
  const entries = log.slice(gap.after.index, Math.min(gap.to.index, gap.after.index + bytesMax));
  join.fill(gap, log[gap.after.index - 1]?.term ?? 0, entries);
  return true;
}

function ids(entries: readonly Entry[]): string[] {
  return entries.map(({ index, term, data }) => `${index} ${term} ${Buffer.from(data).toString()}`);
}

t.test('whatever rots, the log is put together as it was', (t) => {
  const { JOIN_SEEDS = '1500' } = process.env;
  const counts = new Map<string, number>();
  const count = (what: string) => void counts.set(what, (counts.get(what) ?? 0) + 1);
  for (let seed = 1; seed <= Number(JOIN_SEEDS); seed++) {
    const random = new SeededRandom(seed);
    const { disk, log, hardState } = writeLog(random);
    const before = recoverLog(disk, crc32);
    for (let i = random.below(3); i >= 0; i--) {
      const name = random.pick(disk.list());
      if (random.chance(0.2)) disk.breakSector(name, random.below(3));
      else {
        disk.damage(name, (bytes) => {
          const at = random.below(bytes.length);
          bytes.fill(random.below(256), at, at + random.pick([1, 1, 8, 100]));
        });
      }
    }
    const found = recoverLog(disk, crc32);
    const baseIndex = random.below(hardState.commitIndex + 1);
    const base = { index: baseIndex, term: log[baseIndex - 1]?.term ?? 0 };
    const join = new LogJoin(base, found.pieces);
    if (found.holes.length === 0) {
      count(found.torn === undefined ? 'harmless' : 'torn');
      continue;
    }
    count('holes');
    if (!join.isEndKnown) {
      count('end not known');
      continue;
    }
    // What is asked for nobody could answer.
    const isEmpty = join.gaps.some(({ after, to }) => after.index >= to.index);
    if (isEmpty) t.fail(`seed ${seed}: an empty gap, ${JSON.stringify(join.gaps)}`);
    const isTail = log[join.last.index - 1]?.term === join.last.term;
    if (!isTail) {
      // The end was damaged, too, and what was behind it is cut as a torn tail may be.
      count('an older end');
      continue;
    }
    const promised = before.content.hardState;
    const isCut = found.end.nextBatch !== before.end.nextBatch;
    if (!join.isVoteKnown) count('vote not known');
    else if (!isCut && join.hardState.term < (promised?.term ?? 0)) {
      t.fail(`seed ${seed}: it takes term ${join.hardState.term} for what it promised last`);
    }
    let rounds = 0;
    while (join.gaps.length > 0) {
      count('gaps');
      if (!answer(log, join, 1 + random.below(5)) || rounds++ > 200) {
        t.fail(`seed ${seed}: gap ${JSON.stringify(join.gaps)} is filled`);
        break;
      }
    }
    const expected = ids(log.slice(baseIndex, join.last.index));
    if (ids(join.entries).join() !== expected.join()) {
      t.same(ids(join.entries), expected, `seed ${seed}`);
      break;
    }
    const whole = {
      identity: { groupId: 5, memberId: 7, isJoined: false },
      segment: found.lastSegment + 1,
      seed: 3,
      base,
      hardState: join.hardState,
      entries: join.entries,
    };
    rewriteLog({ disk, crc32, preallocateBytes: 1024 }, whole, random.pick([300, 100_000]));
    const again = recoverLog(disk, crc32);
    if (again.holes.length > 0 || ids(again.content.entries).join() !== expected.join()) {
      t.fail(`seed ${seed}: written anew`);
      break;
    }
    new Wal(optionsFor(disk, 1000), again).write([], hardState);
    if (join.last.index === log.length && join.hardState.term > hardState.term) {
      t.fail(`seed ${seed}: term ${join.hardState.term} is none that was`);
    }
    count('whole again');
  }
  t.comment(JSON.stringify(Object.fromEntries(counts)));
  t.ok((counts.get('gaps') ?? 0) > 100, 'gaps were met');
  t.ok((counts.get('vote not known') ?? 0) > 10, 'hard states were swallowed');
  t.ok(
    (counts.get('whole again') ?? 0) > (counts.get('end not known') ?? 0) * 2,
    'mostly repaired',
  );
  t.end();
});

t.test('a power cut while a log of many segments is written anew leaves one of the two', (t) => {
  const entryOfTerm = (term: number) => (_: unknown, i: number) => {
    return { index: i + 1, term, data: new Uint8Array(100).fill(term) };
  };
  const old = Array.from({ length: 20 }, entryOfTerm(1));
  const anew = Array.from({ length: 20 }, entryOfTerm(2));
  const hardState = { term: 2, vote: 0, commitIndex: 20 };
  let [isEnded, keptOld, keptNew] = [false, 0, 0];
  for (let cutAt = 0; !isEnded; cutAt++) {
    for (const keep of [() => true, () => false, (i: number) => i % 2 === 0]) {
      const disk = new MemoryDisk();
      const wal = new Wal(optionsFor(disk, 500), recoverLog(disk, crc32));
      for (const entry of old) wal.write([entry], { term: 1, vote: 0, commitIndex: 0 });
      const { lastSegment } = recoverLog(disk, crc32);
      const identity = { groupId: 5, memberId: 7, isJoined: false };
      const whole = { identity, segment: lastSegment + 1, seed: 3, base: START, hardState };
      let left = cutAt;
      disk.faults.beforeChange = () => {
        if (left-- <= 0) throw new Error('power cut');
      };
      try {
        rewriteLog({ disk, crc32, preallocateBytes: 64 }, { ...whole, entries: anew }, 500);
        isEnded = true;
      } catch (error) {
        if (!(error instanceof Error) || error.message !== 'power cut') throw error;
      }
      disk.faults.beforeChange = () => {};
      let sector = 0;
      disk.crash({ keep: () => keep(sector++), names: 'any' });
      removeUnfinished(disk);
      finishRewrite(disk);
      const { content, holes } = recoverLog(disk, crc32);
      const terms = new Set(content.entries.map(({ term }) => term));
      const isWhole = content.entries.length === 20 && terms.size === 1 && holes.length === 0;
      if (!isWhole) t.fail(`cut before change ${cutAt}: ${ids(content.entries).join()}`);
      if (terms.has(2)) keptNew++;
      else keptOld++;
      const waiting = disk.list().filter((name) => name.includes('behind'));
      if (waiting.length > 0) t.fail(`cut before change ${cutAt}: ${waiting.join()} are left`);
    }
  }
  t.comment(`${keptOld} times the old one, ${keptNew} times the new one`);
  t.ok(keptOld > 10 && keptNew > 10);
  t.end();
});

t.test('a hole behind which only an orderly end follows is known in its length', (t) => {
  const disk = new MemoryDisk();
  const wal = new Wal(optionsFor(disk, 10_000), recoverLog(disk, crc32));
  const hardState = { term: 2, vote: 7, commitIndex: 0 };
  const log = [1, 2, 3].map((index) => ({ index, term: 2, data: new Uint8Array(8) }));
  for (const entry of log) wal.write([entry], hardState);
  wal.close();
  const [name = ''] = disk.list();
  const batchBytes = BATCH_HEADER_BYTES + 16;
  const last = SEGMENT_HEADER_BYTES + 2 * batchBytes;
  disk.damage(name, (bytes) => bytes.fill(9, last + 45, last + 50));
  const { holes, pieces } = recoverLog(disk, crc32);
  t.match(holes[0]?.message, /^log segment wal-0{15}1\.log has a damaged batch \d at byte \d+$/);
  const join = new LogJoin(START, pieces);
  t.ok(join.isEndKnown);
  t.same(join.last, { index: 3, term: 2 });
  t.same(join.gaps.at(-1)?.to, { index: 3, term: 2 });
  t.end();
});

t.test('readEntries() gives what segments hold, and nothing that was replaced', (t) => {
  for (let seed = 1; seed < 300; seed++) {
    const random = new SeededRandom(seed);
    const { disk, log } = writeLog(random);
    const after = random.below(log.length + 1);
    const to = log[after + random.below(log.length - after + 1) - 1];
    if (to === undefined || to.index <= after) continue;
    const read = (end: EntryId) => {
      const steps = readEntries({ disk, crc32 }, after, end);
      for (let step = steps.next(); ; step = steps.next())
        if (step.done === true) return step.value;
    };
    const found = read(to) ?? [];
    if (ids(found).join() !== ids(log.slice(after, to.index)).join()) {
      t.same(ids(found), ids(log.slice(after, to.index)), `seed ${seed}`);
    }
    const other = { index: to.index, term: to.term + 1 };
    if (read(other) !== undefined) t.fail(`seed ${seed}: other term`);
  }
  t.pass('all seeds');
  t.end();
});
