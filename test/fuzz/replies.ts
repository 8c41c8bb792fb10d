/** Valid bodies of answers and watch frames, as a client of the store reads them. */
import { OP } from '#control/store/codec/command.ts';
import {
  ERROR_CODES,
  readEvent,
  readKeyValue,
  readError,
  readRangeResponse,
  readSnapshotInfo,
  readStatus,
  readTxnResponse,
  writeError,
  writeSnapshotInfo,
  writeStatus,
} from '#control/store/codec/reply.ts';
import { readGroupMembers, writeGroupMembers } from '#control/store/codec/roster.ts';
import type { ByteReader } from '#control/store/codec/bytes.ts';
import { StoreError } from '#control/store/port.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { NotingWriter } from './fields.ts';
import { blob, members, number } from './messages.ts';

type Random = SeededRandom;

export interface ReplyKind {
  readonly write: (out: NotingWriter, random: Random) => void;
  readonly read: (input: ByteReader) => unknown;
}

function keyValue(out: NotingWriter, random: Random): void {
  out.latin1('k'.repeat(1 + random.below(20)));
  out.bytes(blob(random, 100));
  for (let i = 0; i < 4; i++) out.varint(number(random));
}

function keyValues(out: NotingWriter, random: Random, count: number): void {
  for (let i = 0; i < count; i++) keyValue(out, random);
}

function rangeResponse(out: NotingWriter, random: Random): void {
  out.varint(number(random));
  out.varint(number(random));
  out.u8(random.below(2));
  const count = random.below(4);
  out.u32(count);
  keyValues(out, random, count);
}

export const REPLIES: readonly ReplyKind[] = [
  { read: readRangeResponse, write: rangeResponse },
  {
    read: readTxnResponse,
    write: (out, random) => {
      out.varint(number(random));
      out.u8(random.below(2));
      const count = random.below(4);
      out.varint(count);
      for (let i = 0; i < count; i++) {
        const kind = random.pick([OP.range, OP.put, OP.deleteRange]);
        out.u8(kind);
        if (kind === OP.range) rangeResponse(out, random);
        else if (kind === OP.put) {
          const isThere = random.below(2);
          out.u8(isThere);
          keyValues(out, random, isThere);
        } else {
          const previous = random.below(3);
          out.varint(number(random));
          out.varint(previous);
          keyValues(out, random, previous);
        }
      }
    },
  },
  {
    read: readEvent,
    write: (out, random) => {
      const flags = random.below(4);
      out.u8(flags);
      keyValues(out, random, flags > 1 ? 2 : 1);
    },
  },
  { read: readKeyValue, write: keyValue },
  {
    read: readError,
    write: (out, random) => {
      writeError(out, new StoreError(random.pick(ERROR_CODES), 'because', { compactRevision: 9 }));
    },
  },
  {
    read: readSnapshotInfo,
    write: (out, random) => {
      const numbers = { revision: number(random), index: number(random), bytes: number(random) };
      writeSnapshotInfo(out, { handle: random.below(9), groupId: number(random), ...numbers });
    },
  },
  {
    read: readStatus,
    write: (out, random) =>
      writeStatus(out, {
        revision: number(random),
        compactRevision: number(random),
        raftTerm: number(random),
        raftIndex: number(random),
        keyCount: number(random),
        liveBytes: number(random),
        walBytes: number(random),
        memberId: number(random),
        leaderId: number(random),
        quotaBytes: number(random),
        version: number(random),
        alarms: random.chance(0.5) ? ['NO_SPACE'] : [],
      }),
  },
  {
    read: readGroupMembers,
    write: (out, random) => {
      const known = members(random);
      const rows = known.voters.map((id) => ({ id, key: 'key', address: 'a:1', isToVote: true }));
      writeGroupMembers(out, {
        groupId: number(random),
        leader: number(random),
        members: known,
        rows,
      });
    },
  },
];
