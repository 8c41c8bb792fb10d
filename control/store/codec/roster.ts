/** Encoding of what is known of a member: `row = id, key, address, u8 is to vote`. */
import type { RosterRow } from '../engine/roster.ts';
import { MEMBER_TEXT_BYTES_MAX } from '../limits.ts';
import type { ByteReader, ByteWriter } from './bytes.ts';

export function writeRosterRow(out: ByteWriter, row: RosterRow): void {
  out.varint(row.id);
  out.latin1(row.key);
  out.latin1(row.address);
  out.u8(row.isToVote ? 1 : 0);
}

/** Throws RangeError for what is no row. */
export function readRosterRow(input: ByteReader): RosterRow {
  const id = input.varint();
  const key = input.latin1();
  const address = input.latin1();
  if (Math.max(key.length, address.length) > MEMBER_TEXT_BYTES_MAX) {
    throw new RangeError(`member ${id} has a long key or address`);
  }
  return { id, key, address, isToVote: input.u8() === 1 };
}
