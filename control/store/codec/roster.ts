/**
 * Encoding of what is known of a member, and of requests to change the members:
 *
 *   row     = id, key, address, u8 is to vote
 *   request = u8 kind, then: add = key, address, u8 is to vote; remove, move = id; describe = row;
 *             rejoin = former id, key, address, u8 0; join = token, key, address, u8 is to vote
 *   members = group id, leader, members (members.ts), n, row{n}
 */
import type { RosterRow } from '../engine/roster.ts';
import { JOIN_TOKEN_BYTES_MAX, MEMBERS_MAX, MEMBER_TEXT_BYTES_MAX } from '../limits.ts';
import type { GroupMember, GroupMembers } from '../port.ts';
import { StoreError } from '../port.ts';
import { everyone, isVoter } from '#control/raft/raft.ts';
import type { Members } from '#control/raft/raft.ts';
import type { ByteReader, ByteWriter } from './bytes.ts';
import { readMembers, writeMembers } from './members.ts';

export type MemberRequest =
  /** Comes in as a learner, under an id that the leader draws. */
  | ({ readonly kind: 'add' } & Omit<RosterRow, 'id'>)
  | { readonly kind: 'remove'; readonly id: number }
  /** Another key or address. */
  | { readonly kind: 'describe'; readonly row: RosterRow }
  /** Hands leadership to a voter. */
  | { readonly kind: 'move'; readonly id: number }
  /** A member that cannot go on under its id, which it may not know any more (0), wants another. */
  | {
      readonly kind: 'rejoin';
      readonly formerId: number;
      readonly key: string;
      /** Empty: as before. */
      readonly address: string;
    }
  /** Who holds a token of the group (join-token.ts) comes in as if it were added. */
  | ({ readonly kind: 'join'; readonly token: string } & Omit<RosterRow, 'id'>);

const KINDS = ['add', 'remove', 'describe', 'move', 'rejoin', 'join'] as const;

export function writeRosterRow(out: ByteWriter, row: RosterRow): void {
  out.varint(row.id);
  writeDescription(out, row);
}

/** Throws RangeError for what is no row. */
export function readRosterRow(input: ByteReader): RosterRow {
  const id = input.varint();
  return { id, ...readDescription(input) };
}

export function writeMemberRequest(out: ByteWriter, request: MemberRequest): void {
  out.u8(KINDS.indexOf(request.kind));
  if (request.kind === 'add') writeDescription(out, request);
  else if (request.kind === 'describe') writeRosterRow(out, request.row);
  else if (request.kind === 'rejoin') {
    writeRosterRow(out, { ...request, id: request.formerId, isToVote: false });
  } else if (request.kind === 'join') {
    out.latin1(request.token);
    writeDescription(out, request);
  } else out.varint(request.id);
}

/** Throws RangeError, or StoreError UNSUPPORTED. */
export function readMemberRequest(input: ByteReader): MemberRequest {
  const kind = KINDS[input.u8()];
  if (kind === undefined) throw new StoreError('UNSUPPORTED', 'change of members is unknown');
  if (kind === 'add') return { kind, ...readDescription(input) };
  if (kind === 'describe') return { kind, row: readRosterRow(input) };
  if (kind === 'rejoin') {
    const { id: formerId, key, address } = readRosterRow(input);
    return { kind, formerId, key, address };
  }
  if (kind === 'join') {
    const token = input.latin1();
    if (token.length > JOIN_TOKEN_BYTES_MAX) throw new RangeError('join token is too long');
    return { kind, token, ...readDescription(input) };
  }
  return { kind, id: input.varint() };
}

export function writeGroupMembers(
  out: ByteWriter,
  group: { groupId: number; leader: number; members: Members; rows: readonly RosterRow[] },
): void {
  out.varint(group.groupId);
  out.varint(group.leader);
  writeMembers(out, group.members);
  out.varint(group.rows.length);
  for (const row of group.rows) writeRosterRow(out, row);
}

export function readGroupMembers(input: ByteReader): GroupMembers {
  const groupId = input.varint();
  const leaderId = input.varint();
  const members = readMembers(input);
  const rows = new Map<number, RosterRow>();
  for (let count = input.varint(); count > 0 && rows.size < MEMBERS_MAX; count--) {
    const row = readRosterRow(input);
    rows.set(row.id, row);
  }
  const describe = (id: number): GroupMember => {
    const { key = '', address = '' } = rows.get(id) ?? {};
    return { id, key, address, role: isVoter(members, id) ? 'voter' : 'learner' };
  };
  return { groupId, leaderId, members: everyone(members).map(describe) };
}

function writeDescription(out: ByteWriter, row: Omit<RosterRow, 'id'>): void {
  if (Math.max(row.key.length, row.address.length) > MEMBER_TEXT_BYTES_MAX) {
    throw new StoreError('INVALID_REQUEST', 'key or address of a member is too long');
  }
  out.latin1(row.key);
  out.latin1(row.address);
  out.u8(row.isToVote ? 1 : 0);
}

function readDescription(input: ByteReader): Omit<RosterRow, 'id'> {
  const key = input.latin1();
  const address = input.latin1();
  if (Math.max(key.length, address.length) > MEMBER_TEXT_BYTES_MAX) {
    throw new RangeError('key or address of a member is too long');
  }
  return { key, address, isToVote: input.u8() === 1 };
}
