/**
 * Checkpoints, as damage or another member may give them: trailer, manifest, and the rows of chunks, with the
 * hashes of the file right, so that the readers behind them meet what was changed.
 */
import { NO_MEMBERS } from '#control/raft/raft.ts';
import {
  CHUNK_KIND,
  TRAILER_BYTES,
  checkpointName,
  readManifest,
  readTrailer,
  writeManifest,
  writeTrailer,
} from '#control/store/checkpoint/format.ts';
import type { Manifest } from '#control/store/checkpoint/format.ts';
import { loadCheckpoint } from '#control/store/checkpoint/read.ts';
import { ByteReader, ByteWriter } from '#control/store/codec/bytes.ts';
import { CHECKPOINT_LOG_BYTES_MIN } from '#control/store/limits.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { NotingWriter } from './fields.ts';
import type { Sample } from './fields.ts';
import { blob, members, number } from './messages.ts';
import { readOnlyDisk } from './read-only-disk.ts';
import type { Target } from './targets.ts';

const NAME = checkpointName(9);
const disk = { codes: ['CORRUPT', 'UNSUPPORTED'] as const };

function manifest(random: SeededRandom): Manifest {
  const known = random.chance(0.5) ? members(random) : NO_MEMBERS;
  const format = 2 + random.below(2);
  return {
    groupId: number(random),
    index: number(random),
    term: number(random),
    revision: number(random),
    compactRevision: number(random),
    quotaBytes: number(random),
    isFull: random.chance(0.5),
    logBytes: number(random),
    checkpointMark: number(random),
    hash: { a: random.below(2 ** 32), b: random.below(2 ** 32) },
    members: known,
    roster: known.voters.map((id) => ({ id, key: 'key', address: 'a:1', isToVote: true })),
    memory: known.voters.map((id) => ({ id, bytes: number(random) })),
    version: format - 1,
    format,
    chunks: Array.from({ length: random.below(3) }, () => ({
      kind: 1 + random.below(3),
      length: random.below(8 * 1024 * 1024),
      rows: number(random),
      sha256: new Uint8Array(32).fill(random.below(256)),
    })),
  };
}

/** kind, number of rows, rows: one chunk. */
function chunk(random: SeededRandom): Sample {
  const out = new NotingWriter();
  const kind = random.pick(Object.values(CHUNK_KIND));
  const rows = random.below(5);
  out.u8(kind);
  out.varint(rows);
  for (let row = 0; row < rows; row++) {
    if (kind === CHUNK_KIND.records) {
      out.bytes(Uint8Array.of(97 + row, ...blob(random, 5)));
      out.bytes(blob(random, 100));
      for (let i = 0; i < 5; i++) out.varint(i === 4 && random.chance(0.5) ? 0 : number(random));
    } else if (kind === CHUNK_KIND.leases) {
      out.varint(row * 10 + random.below(10));
      for (let i = 0; i < 3; i++) out.varint(number(random));
    } else {
      const highest = random.below(3000);
      out.varint(row * 10 + random.below(10));
      out.varint(number(random));
      out.varint(highest);
      const executed = Math.min(highest, random.below(4));
      out.varint(executed);
      for (let i = 0; i < executed; i++) {
        out.varint(highest - i);
        out.u8(1 + random.below(8));
        out.varint(number(random));
      }
    }
  }
  return out.sample();
}

/** A file with this one chunk, whose hashes are right; what its state should be is not. */
function fileOf(bytes: Uint8Array): Uint8Array {
  const input = new ByteReader(bytes);
  const out = new ByteWriter();
  const [version, format] = [2, 3];
  try {
    const kind = input.u8();
    const rows = input.varint();
    const body = bytes.subarray(input.at);
    out.raw(body);
    const start = out.length;
    const place = { kind, rows, length: body.length, sha256: sha256(body) };
    const numbers = { groupId: 1, index: 9, term: 2, revision: 300, compactRevision: 4 };
    const sizes = { quotaBytes: 1000, isFull: false, logBytes: 5, checkpointMark: 0 };
    const nobody = { members: NO_MEMBERS, roster: [], memory: [], hash: { a: 1, b: 2 } };
    writeManifest(out, { ...numbers, ...sizes, ...nobody, version, format, chunks: [place] });
    const manifestBytes = out.length - start;
    writeTrailer(out, { format, manifestBytes, sha256: sha256(out.view(start)) });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // No kind or count is left: a file without end.
  }
  return out.take();
}

/** Of a file whose layout is looked at from its end. */
function fields(bytes: Uint8Array): Sample {
  const at = Array.from({ length: bytes.length >>> 2 }, (_, i) => bytes.length - 4 * (i + 1));
  return { bytes, fields: at.map((start) => ({ kind: 'u32', start, end: start + 4 })) };
}

const decodeFile = (bytes: Uint8Array) => {
  const files = new Map([[NAME, bytes]]);
  return loadCheckpoint({ disk: readOnlyDisk(files), crc32, sha256 }, NAME, {
    checkpointLogBytes: CHECKPOINT_LOG_BYTES_MIN,
  });
};

export const checkpointTargets: readonly Target[] = [
  {
    name: 'readManifest',
    share: 2,
    ...disk,
    isRangeErrorMeant: true,
    make: (random) => {
      const out = new NotingWriter();
      writeManifest(out, manifest(random));
      return out.sample();
    },
    decode: (bytes) => readManifest(new ByteReader(bytes), NAME),
  },
  {
    name: 'readTrailer',
    share: 1,
    ...disk,
    isRangeErrorMeant: true,
    make: (random) => {
      const out = new NotingWriter();
      writeTrailer(out, {
        format: 2 + random.below(2),
        manifestBytes: number(random) % 2 ** 32,
        sha256: new Uint8Array(TRAILER_BYTES - 12),
      });
      return out.sample();
    },
    decode: (bytes) => readTrailer(new ByteReader(bytes), NAME),
  },
  {
    name: 'loadCheckpoint, unsealed',
    share: 1,
    ...disk,
    isRangeErrorMeant: false,
    make: (random) => fields(fileOf(chunk(random).bytes)),
    seal: (bytes) => bytes,
    decode: decodeFile,
    allocation: { perByte: 200, perInput: 5_000_000 },
  },
  {
    name: 'loadCheckpoint',
    share: 1,
    ...disk,
    isRangeErrorMeant: false,
    make: chunk,
    seal: fileOf,
    decode: decodeFile,
    // A state machine, whose tables are there before the first row.
    allocation: { perByte: 200, perInput: 5_000_000 },
  },
];
