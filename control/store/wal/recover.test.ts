/** What recovery makes of segments that the log itself would not have written like that. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Entry } from '#control/raft/raft.ts';
import { MemoryDisk, SECTOR_BYTES } from '../disk/memory-disk.ts';
import { writeSegment } from '../testing/write-segment.ts';
import { BATCH_HEADER_BYTES, LOG_START, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import type { LogPosition, SegmentHeader } from './format.ts';
import { recoverLog } from './recover.ts';

function entry(index: number, bytes = 3): Entry {
  return { index, term: 1, data: new Uint8Array(bytes).fill(index) };
}

const BATCH_BYTES = BATCH_HEADER_BYTES + 8;
const SECOND_AT = SEGMENT_HEADER_BYTES + BATCH_BYTES;

/** Holes, a line each, and the indexes in each piece. */
function found(disk: MemoryDisk) {
  const { holes, pieces, torn } = recoverLog(disk, crc32);
  return {
    holes: holes.map(({ message }) => message.replace(/^log segment wal-0*/, '')),
    pieces: pieces.map(({ content }) => content.entries.map(({ index }) => index)),
    torn: torn?.at,
  };
}

/** A second segment, behind a first one with one entry. */
function twoSegments(change: (start: LogPosition) => Partial<SegmentHeader>): MemoryDisk {
  const disk = new MemoryDisk();
  const start = writeSegment(disk, { batches: [[entry(1)]] });
  const header = { segment: 2, start, ...change(start) };
  writeSegment(disk, { header, batches: [[entry(2)]] });
  return disk;
}

t.test('a segment of another member is refused', (t) => {
  t.same(found(twoSegments(() => ({}))), { holes: [], pieces: [[1, 2]], torn: undefined });
  for (const other of [{ groupId: 6 }, { memberId: 8 }, { isJoined: true }]) {
    const message = /belongs to another member than the first segment at byte 16$/;
    const disk = twoSegments(() => other);
    t.throws(() => recoverLog(disk, crc32), { code: 'CORRUPT', message }, JSON.stringify(other));
  }
  t.end();
});

t.test('a segment that does not go on where the one before ended leaves a hole', (t) => {
  const rows: [Partial<LogPosition>, string][] = [
    [{ lastCrc: 9 }, '2.log does not go on at batch 2 at byte 40'],
    [{ lastIndex: 9 }, '2.log does not go on behind entry 1 at byte 56'],
    [{ lastTerm: 9 }, '2.log does not go on behind entry 1 at byte 56'],
    [{ nextBatch: 3 }, `1.log lacks batch 2 at byte ${SECOND_AT}`],
  ];
  for (const [other, hole] of rows) {
    const disk = twoSegments((start) => ({ start: { ...start, ...other } }));
    t.same(found(disk), { holes: [hole], pieces: [[1], [2]], torn: undefined });
  }
  t.end();
});

t.test('segments that cannot be read make one hole each, and no piece', (t) => {
  const disk = new MemoryDisk();
  let start = writeSegment(disk, { batches: [[entry(1)]] });
  for (const segment of [2, 3, 4]) {
    start = writeSegment(disk, { header: { segment, start }, batches: [[entry(segment)]] });
  }
  for (const segment of [2, 3]) disk.damage(segmentName(segment), (bytes) => bytes.fill(9, 16, 24));
  const { holes, pieces } = found(disk);
  t.same(holes, [
    `1.log lacks batch 2 at byte ${SECOND_AT}`,
    '2.log has a damaged header at byte 8',
    '3.log has a damaged header at byte 8',
  ]);
  t.same(pieces, [[1], [4]]);
  t.end();
});

t.test('the header of a batch proves the one before, though the contents of both are gone', (t) => {
  const ended = (from: number) => {
    const disk = new MemoryDisk();
    writeSegment(disk, { batches: [[entry(1)], [entry(2)], [entry(3)]] });
    disk.damage(segmentName(1), (bytes) => {
      bytes.fill(99, SECOND_AT + from, SECOND_AT + BATCH_BYTES);
      bytes.fill(99, SECOND_AT + BATCH_BYTES + BATCH_HEADER_BYTES);
    });
    t.same(found(disk), {
      holes: [`1.log has a damaged batch 2 at byte ${SECOND_AT}`],
      pieces: [[1], []],
      torn: undefined,
    });
    const last = recoverLog(disk, crc32).pieces.at(-1);
    t.same(last?.before, last?.end);
    return last?.end;
  };
  t.same(ended(BATCH_HEADER_BYTES), { index: 2, term: 1 }, 'by its own header');
  t.same(ended(0), { index: 3, term: 1 }, 'by the header behind it');
  t.end();
});

t.test('so it does in a log of more entries than a header can count', (t) => {
  const far = 3 * 2 ** 32;
  const disk = new MemoryDisk();
  const header = { start: { ...LOG_START, lastIndex: far, lastTerm: 1 } };
  const batches = [[entry(far + 1)], [entry(far + 2)], [entry(far + 3)]];
  writeSegment(disk, { header, batches });
  const [second = 0, third = 0] = [1, 2].map((i) => SEGMENT_HEADER_BYTES + i * (BATCH_BYTES + 8));
  disk.damage(segmentName(1), (bytes) => {
    for (const at of [second, third]) bytes.set([99], at + BATCH_HEADER_BYTES);
  });
  const last = { index: far + 2, term: 1 };
  t.match(recoverLog(disk, crc32).pieces, [{}, { before: last, end: last }]);
  t.end();
});

t.test('in a log with holes no torn tail is told', (t) => {
  const torn = (change: Partial<LogPosition>) => {
    const disk = twoSegments((start) => ({ start: { ...start, ...change } }));
    const body = SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES;
    disk.damage(segmentName(2), (bytes) => bytes.set([99], body));
    return found(disk);
  };
  t.match(torn({}), { holes: [], torn: SEGMENT_HEADER_BYTES });
  const { holes, torn: at } = torn({ lastCrc: 9 });
  t.equal(holes.length, 1);
  t.equal(at, undefined);
  t.end();
});

t.test('behind damage at the end nothing says how far the log went', (t) => {
  const disk = twoSegments(() => ({}));
  disk.damage(segmentName(2), (bytes) => bytes.fill(9, 16, 24));
  t.same(found(disk), {
    holes: ['2.log has a damaged header at byte 8'],
    pieces: [[1], []],
    torn: undefined,
  });
  t.match(recoverLog(disk, crc32).pieces, [{}, { before: undefined, end: undefined }]);
  t.same(
    recoverLog(disk, crc32).content.entries,
    recoverLog(disk, crc32).pieces[0]?.content.entries,
  );
  const unreadable = new MemoryDisk();
  writeSegment(unreadable, { batches: [[entry(1, SECTOR_BYTES)], [entry(2, SECTOR_BYTES)]] });
  unreadable.breakSector(segmentName(1), 2);
  t.same(
    found(unreadable),
    { holes: ['1.log cannot be read at byte 1024'], pieces: [[1], []], torn: undefined },
    'that is no torn tail',
  );
  t.end();
});

t.test('a batch that is not the next one is damage: corruption where another follows', (t) => {
  const lies: [string, (position: LogPosition) => LogPosition][] = [
    ['another batch before it', (position) => ({ ...position, lastCrc: 9 })],
    ['another number', (position) => ({ ...position, nextBatch: 5 })],
  ];
  for (const [name, lie] of lies) {
    const say = (position: LogPosition, place: number) => (place === 1 ? lie(position) : position);
    const followed = new MemoryDisk();
    writeSegment(followed, { batches: [[entry(1)], [entry(2)], [entry(3)]], say });
    const hole = `1.log has a damaged batch 2 at byte ${SECOND_AT}`;
    t.same(found(followed), { holes: [hole], pieces: [[1], [3]], torn: undefined }, name);
    const last = new MemoryDisk();
    writeSegment(last, { batches: [[entry(1)], [entry(2)]], say });
    t.same(found(last), { holes: [], pieces: [[1]], torn: SECOND_AT }, name);
  }
  t.end();
});

t.test('a batch that does not stand in its place proves nothing', (t) => {
  const moved = (damage: (bytes: Uint8Array) => void) => {
    const disk = new MemoryDisk();
    writeSegment(disk, { batches: [[entry(1)], [entry(2)]], isUnfinished: true });
    disk.damage(segmentName(1), (bytes) => {
      bytes.copyWithin(SECOND_AT + 8, SECOND_AT, SECOND_AT + BATCH_BYTES);
      bytes.fill(0, SECOND_AT, SECOND_AT + 8);
      damage(bytes);
    });
    return found(disk);
  };
  const torn = { holes: [], pieces: [[1]], torn: SECOND_AT };
  t.same(
    moved(() => {}),
    torn,
  );
  t.same(
    moved((bytes) => bytes.set([99], SECOND_AT + 8 + BATCH_HEADER_BYTES)),
    torn,
    'its header',
  );
  t.end();
});

t.test('what the device cannot read is no damage where the checksums prove what it was', (t) => {
  const disk = new MemoryDisk();
  const bytes = 2 * SECTOR_BYTES - SEGMENT_HEADER_BYTES - BATCH_HEADER_BYTES - 5;
  writeSegment(disk, { batches: [[{ index: 1, term: 1, data: new Uint8Array(bytes) }]] });
  t.equal(disk.open(segmentName(1)).size, 2 * SECTOR_BYTES);
  disk.breakSector(segmentName(1), 1);
  t.same(found(disk), { holes: [], pieces: [[1]], torn: undefined }, 'a sector of zeros');
  disk.breakSector(segmentName(1), 0);
  t.match(found(disk).holes, ['1.log cannot be read at byte 0']);
  t.end();
});

t.test('zeros that were written ahead are no torn tail', (t) => {
  const disk = new MemoryDisk();
  writeSegment(disk, { batches: [[entry(1)]], isUnfinished: true });
  t.ok(disk.open(segmentName(1)).size > SECOND_AT);
  t.same(found(disk), { holes: [], pieces: [[1]], torn: undefined });
  t.end();
});

t.test('a piece begins before its first batch, whatever later ones lack', (t) => {
  const disk = new MemoryDisk();
  const batches = [[entry(1)], [], [entry(2)], [entry(3)], [], [entry(4)]];
  writeSegment(disk, { batches });
  const third = SECOND_AT + BATCH_HEADER_BYTES;
  disk.damage(segmentName(1), (bytes) => bytes.set([99], third));
  const { pieces } = recoverLog(disk, crc32);
  t.match(pieces, [
    { before: { index: 0, term: 0 }, end: { index: 1, term: 1 } },
    { before: undefined, end: { index: 4, term: 1 } },
  ]);
  t.equal(pieces.length, 2);
  t.end();
});

t.test('batches that the next segment has again are read there', (t) => {
  const disk = new MemoryDisk();
  let start = LOG_START;
  const say = (position: LogPosition, place: number) => {
    if (place === 2) start = position;
    return position;
  };
  writeSegment(disk, { batches: [[entry(1)], [entry(2)], [entry(3)]], say });
  writeSegment(disk, { header: { segment: 2, start }, batches: [[entry(3)], [entry(4)]] });
  t.same(found(disk), { holes: [], pieces: [[1, 2, 3, 4]], torn: undefined });
  disk.damage(segmentName(1), (bytes) => bytes.set([99], SECOND_AT));
  const hole = `1.log lacks batch 2 at byte ${SECOND_AT}`;
  t.same(found(disk), { holes: [hole], pieces: [[1], [3, 4]], torn: undefined });
  t.end();
});

t.test('a batch, or what is left of one, is found at the very end of a segment', (t) => {
  const disk = new MemoryDisk();
  writeSegment(disk, { batches: [[entry(1)], [entry(2)], []] });
  disk.damage(segmentName(1), (bytes) => bytes.set([99], SECOND_AT + BATCH_HEADER_BYTES));
  const { end, pieces } = recoverLog(disk, crc32);
  t.equal(end.nextBatch, 4, 'without a body it is all there');
  t.match(pieces[1], { before: { index: 2, term: 1 }, end: { index: 2, term: 1 } });
  const cut = new MemoryDisk();
  writeSegment(cut, { batches: [[entry(1)], [entry(2)], [entry(3)]] });
  cut.damage(segmentName(1), (bytes) => bytes.set([99], SECOND_AT + BATCH_HEADER_BYTES));
  cut.open(segmentName(1)).truncate(SECOND_AT + BATCH_BYTES + BATCH_HEADER_BYTES);
  const hole = `1.log has a damaged batch 2 at byte ${SECOND_AT}`;
  t.same(found(cut), { holes: [hole], pieces: [[1], []], torn: undefined }, 'only its header');
  t.end();
});

t.test('a batch without entries says of the low halves alone where the log ends', (t) => {
  /** What the piece behind a damaged batch 2 ends in: batch 3 has no entries. */
  const endBehind = (before: Partial<LogPosition>, last: Partial<LogPosition>) => {
    const disk = new MemoryDisk();
    const start = { ...LOG_START, ...before };
    const say = (position: LogPosition, place: number) => {
      return place === 0 ? position : { ...position, ...last };
    };
    writeSegment(disk, { header: { start }, batches: [[], [], []], say });
    disk.damage(segmentName(1), (bytes) => {
      bytes.set([99], SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES);
    });
    const { pieces } = recoverLog(disk, crc32);
    t.equal(pieces.length, 2);
    t.same(pieces[1]?.before, pieces[1]?.end);
    return pieces[1]?.end;
  };
  const far = 3 * 2 ** 32;
  const rows: [string, number, number, number][] = [
    ['as far on as they are higher', far + 5, far + 9, 2],
    ['over the end of the low half', far - 1, far, 2],
    ['further back, for a log that was cut', far + 5, far + 3, 2],
    ['the same, over the end', far + 1, far - 1, 2],
    ['an index of zeros with a term', 2 ** 32 - 1, 2 ** 32, 7],
    ['nothing in the log', 1, 0, 7],
  ];
  for (const [name, known, lastIndex, lastTerm] of rows) {
    const before = { lastIndex: known, lastTerm: 1 };
    t.same(endBehind(before, { lastIndex, lastTerm }), { index: lastIndex, term: lastTerm }, name);
  }
  const unsaid = { lastIndex: 0, lastTerm: 0 };
  t.equal(endBehind({ lastIndex: 1, lastTerm: 1 }, unsaid), undefined, 'older software says none');
  t.end();
});
