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

export function writeRangeResponse(mvcc: Mvcc, request: RangeBody, out: ByteWriter): void {
  const { range, limit, flags } = request;
  const revision = request.revision === 0 ? mvcc.revision : request.revision;
  out.varint(mvcc.revision);
  if ((flags & RANGE_COUNT_ONLY) !== 0) {
    out.varint(mvcc.count(range, revision));
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
  const count = mvcc.scan(range, { revision, limit }, (record) => {
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
