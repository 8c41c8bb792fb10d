/** Range reads over the key space: checks and the encoded response. Pure. */
import type { ByteWriter } from '../codec/bytes.ts';
import { RANGE_COUNT_ONLY, RANGE_KEYS_ONLY } from '../codec/command.ts';
import type { RangeBody } from '../codec/read-command.ts';
import type { Mvcc } from '../mvcc/mvcc.ts';
import { compacted, futureRevision } from './refusals.ts';

/** Throws COMPACTED or FUTURE_REVISION unless the revision can be read; 0 always can. */
export function checkedRevision(mvcc: Mvcc, revision: number): void {
  if (revision === 0) return;
  if (revision > mvcc.revision) throw futureRevision(revision, mvcc.revision);
  if (revision < mvcc.compactRevision) throw compacted(revision, mvcc.compactRevision);
}

/** When a request that names no revision is answered: now, unless it is answered once more. */
export interface Present {
  readonly revision: number;
  /** Of that revision's own writes only those before this one are seen; absent = all. */
  readonly subEnd?: number | undefined;
}

export function writeRangeResponse(
  mvcc: Mvcc,
  request: RangeBody,
  out: ByteWriter,
  present: Present = { revision: mvcc.revision },
): void {
  const { range, limit, flags } = request;
  const point = request.revision === 0 ? present : { revision: request.revision };
  out.varint(present.subEnd === 0 ? present.revision - 1 : present.revision);
  if ((flags & RANGE_COUNT_ONLY) !== 0) {
    out.varint(mvcc.count(range, point));
    out.u8(0);
    out.u32(0);
    return;
  }
  const countAt = out.varintGap(); // Known after the scan.
  const moreAt = out.length;
  out.u8(0);
  const lengthAt = out.length;
  out.u32(0);
  let length = 0;
  const keysOnly = (flags & RANGE_KEYS_ONLY) !== 0;
  const count = mvcc.scan(range, { ...point, limit }, (record) => {
    writeRecord(mvcc, record, keysOnly, out);
    length++;
  });
  out.fillVarint(countAt, count);
  out.patchU8(moreAt, count > length ? 1 : 0);
  out.patchU32(lengthAt, length);
}

/** Writes a living record as a key-value. */
export function writeRecord(mvcc: Mvcc, record: number, keysOnly: boolean, out: ByteWriter): void {
  const { create, mod, version, lease } = mvcc.records;
  out.bytes(mvcc.key(record));
  if (keysOnly) out.varint(0);
  else out.bytes(mvcc.value(record));
  out.varint(create[record] as number); // Kept records are in bounds.
  out.varint(mod[record] as number); // Same.
  out.varint(version[record] as number); // Same.
  out.varint(lease[record] as number); // Same.
}
