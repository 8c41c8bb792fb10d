/** Headers of segments and batches: what is written comes back, and what is none is told. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import {
  BATCH_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  formatSegmentHeader,
  parseBatchHeader,
  parseSegmentHeader,
  parseSegmentName,
  sealBatch,
} from './format.ts';

/** Every number with bytes of its own, where there is room above 32 bits. */
const header: SegmentHeader = {
  groupId: 2 ** 52 + 0x0102_0304,
  memberId: 2 ** 51 + 0x0506_0708,
  isJoined: true,
  segment: 2 ** 40 + 9,
  isFresh: true,
  start: {
    nextBatch: 2 ** 33 + 7,
    lastCrc: 0x89ab_cdef,
    lastIndex: 2 ** 34 + 5,
    lastTerm: 2 ** 35,
  },
  seed: 0xfedc_ba98,
};

function changed(change: (bytes: Uint8Array, view: DataView) => void): () => SegmentHeader {
  const bytes = formatSegmentHeader(header, crc32);
  const view = new DataView(bytes.buffer);
  change(bytes, view);
  return () => parseSegmentHeader(bytes, 'wal', crc32);
}

function withSum(change: (view: DataView) => void): () => SegmentHeader {
  return changed((bytes, view) => {
    change(view);
    view.setUint32(8, crc32(bytes.subarray(12)), true);
  });
}

t.test('a segment header comes back as it was written', (t) => {
  const flags = [true, false].flatMap((isJoined) =>
    [true, false].map((isFresh) => ({ isJoined, isFresh })),
  );
  for (const flag of flags) {
    const written = { ...header, ...flag };
    t.same(parseSegmentHeader(formatSegmentHeader(written, crc32), 'wal', crc32), written);
  }
  const bytes = Buffer.from(formatSegmentHeader(header, crc32));
  t.equal(bytes.subarray(0, 8).toString('latin1'), 'BBWS\x02\0\0\0');
  t.equal(bytes.readUInt32LE(12), 0x0002_0003, 'flags, and the version once more');
  t.equal(bytes.readBigUInt64LE(16), 2n ** 52n + 0x0102_0304n);
  t.equal(bytes.readUInt32LE(52), 0xfedc_ba98);
  t.end();
});

t.test('what is no segment header is corruption, a later format is unsupported', (t) => {
  const corrupt = (message: RegExp) => ({ code: 'CORRUPT', message });
  const short = formatSegmentHeader(header, crc32).subarray(0, SEGMENT_HEADER_BYTES - 1);
  t.throws(
    () => parseSegmentHeader(short, 'wal', crc32),
    corrupt(/^log segment wal is shorter than its header at byte 0$/),
  );
  t.throws(
    changed((bytes) => bytes.set([0x43])),
    corrupt(/has no magic number at byte 0$/),
  );
  for (let at = 8; at < SEGMENT_HEADER_BYTES; at++) {
    const damaged = changed((bytes) => bytes.set([(bytes[at] ?? 0) ^ 1], at));
    t.throws(damaged, corrupt(/has a damaged header at byte 8$/), `byte ${at}`);
  }
  t.throws(
    changed((_, view) => view.setUint32(4, 1, true)),
    corrupt(/damaged format version/),
  );
  for (const version of [0, 3]) {
    const other = withSum((view) => {
      view.setUint32(4, version, true);
      view.setUint32(12, version * 0x1_0000, true);
    });
    const message = `log segment wal has format version ${version}, known is 2`;
    t.throws(other, { code: 'UNSUPPORTED', message });
  }
  const old = withSum((view) => {
    view.setUint32(4, 1, true);
    view.setUint32(12, 0, true);
  });
  t.same(old(), { ...header, isJoined: false, isFresh: false }, 'version 1 knows no flags');
  t.end();
});

t.test('only the names of segments have a number', (t) => {
  t.equal(parseSegmentName('wal-00000000000000ff.log'), 255);
  for (const name of ['wal-ff.log', 'wal-00000000000000ff.log.tmp', 'wal-00000000000000FF.log']) {
    t.equal(parseSegmentName(name), undefined, name);
  }
  t.end();
});

const fields = {
  nextBatch: 2 ** 33 + 1,
  lastCrc: 0x89ab_cdef,
  bodyBytes: 3,
  recordCount: 0x0102_0304,
  seed: 77,
  last: { index: 2 ** 33 + 0x0506_0708, term: 2 ** 32 + 9 },
};

t.test('a batch header comes back as it was written, and nothing else is one', (t) => {
  const batch = new Uint8Array(BATCH_HEADER_BYTES + 3).fill(5, BATCH_HEADER_BYTES);
  const crc = sealBatch(batch, fields, crc32);
  t.equal(crc, crc32(new Uint8Array(3).fill(5), fields.lastCrc), 'of the body, behind the chain');
  const check = { seed: fields.seed, crc32 };
  t.same(parseBatchHeader(batch, 0, check), {
    batch: fields.nextBatch,
    bodyBytes: 3,
    recordCount: fields.recordCount,
    previousCrc: fields.lastCrc,
    bodyCrc: crc,
    lastIndexLow: 0x0506_0708,
    lastTermLow: 9,
  });
  t.same(batch.subarray(0, 4), Buffer.from('BBWB'));
  const exact = batch.subarray(0, BATCH_HEADER_BYTES);
  t.ok(parseBatchHeader(exact, 0, check), 'at the end of a file');
  t.equal(parseBatchHeader(exact.subarray(1), 0, check), undefined);
  t.equal(parseBatchHeader(batch, 4, check), undefined, 'beyond the end');
  t.equal(parseBatchHeader(batch, 0, { ...check, seed: 78 }), undefined, 'of another segment');
  for (let at = 0; at < BATCH_HEADER_BYTES; at++) {
    const damaged = batch.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    t.equal(parseBatchHeader(damaged, 0, check), undefined, `byte ${at}`);
  }
  t.end();
});
