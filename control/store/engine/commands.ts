/**
 * What each kind of command does to the state. A command is refused, with a StoreError, before it has
 * changed anything. Its answer's body goes to `reply`; what is to be remembered of it is returned.
 */
import { assert } from '#base/assert.ts';
import { everyone } from '#control/raft/raft.ts';
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { COMMAND } from '../codec/command.ts';
import { readRosterRow } from '../codec/roster.ts';
import { LEASE_TTL_SECONDS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { VERSION_FACTS, unknownVersion } from '../versions.ts';
import { compacted, futureRevision, leaseNotFound, noSpace } from './refusals.ts';
import { OUTCOME } from './sessions.ts';
import type { Executed } from './sessions.ts';
import type { AppliedEntry, StateMachine } from './state-machine.ts';
import { applyTxn, deleteKey } from './txn.ts';

/** The entry that a command stands in, and the reader of its body. */
export interface CommandEntry {
  readonly entry: AppliedEntry;
  readonly kind: number;
  readonly input: ByteReader;
}

export function runCommand(
  state: StateMachine,
  { entry, kind, input }: CommandEntry,
  reply: ByteWriter,
): Executed {
  switch (kind) {
    case COMMAND.txn:
    case COMMAND.reliefTxn: {
      const outcome = applyTxn(state, input, reply, kind === COMMAND.reliefTxn);
      return { outcome, revision: state.mvcc.revision };
    }
    case COMMAND.compact:
      return compact(state, input.varint(), reply);
    case COMMAND.leaseGrant:
      return grant(state, entry.index, input.varint(), reply);
    case COMMAND.leaseRevoke:
      return revoke(state, entry, input, reply);
    case COMMAND.leaseExpire:
      return expire(state, entry, input, reply);
    case COMMAND.leaseCheckpoint:
      return leaseCheckpoint(state, input);
    case COMMAND.configure:
      state.quota.setting = input.varint();
      return { outcome: OUTCOME.done, revision: 0 };
    case COMMAND.openSession:
      state.sessions.open(entry.index);
      reply.varint(entry.index);
      return { outcome: OUTCOME.done, revision: entry.index };
    case COMMAND.describeMember:
      return describeMember(state, input);
    case COMMAND.memberMemory:
      return memberMemory(state, input);
    case COMMAND.raiseVersion:
      return raiseVersion(state, input.varint());
    default:
      return assert(false, `command kind ${kind} was checked`) as never;
  }
}

/** Comes with the entry that adds the member, or by itself when its address or key changes. */
function describeMember(state: StateMachine, input: ByteReader): Executed {
  const row = readRosterRow(input);
  if (!everyone(state.members).includes(row.id)) {
    throw new StoreError('INVALID_REQUEST', `member ${row.id} is not in the group`);
  }
  state.roster.set(row);
  return { outcome: OUTCOME.done, revision: row.id };
}

function memberMemory(state: StateMachine, input: ByteReader): Executed {
  const id = input.varint();
  const bytes = input.varint();
  if (!everyone(state.members).includes(id)) {
    throw new StoreError('INVALID_REQUEST', `member ${id} is not in the group`);
  }
  state.quota.setMemory({ id, bytes });
  return { outcome: OUTCOME.done, revision: id };
}

/** From this entry on the group's state, formats and hash follow the rules of the version. */
function raiseVersion(state: StateMachine, version: number): Executed {
  if (version > state.runsAs) throw unknownVersion('group', version, state.runsAs);
  if (version <= state.version) {
    throw new StoreError('INVALID_REQUEST', `group has version ${state.version} already`);
  }
  state.version = version;
  return { outcome: OUTCOME.done, revision: 0 };
}

function compact(state: StateMachine, revision: number, reply: ByteWriter): Executed {
  const { mvcc } = state;
  if (revision <= mvcc.compactRevision) throw compacted(revision, mvcc.compactRevision);
  if (revision > mvcc.revision) throw futureRevision(revision, mvcc.revision);
  mvcc.compact(revision);
  reply.varint(mvcc.revision);
  return { outcome: OUTCOME.done, revision: mvcc.revision };
}

function grant(
  state: StateMachine,
  index: number,
  ttlSeconds: number,
  reply: ByteWriter,
): Executed {
  if (ttlSeconds < 1 || ttlSeconds > LEASE_TTL_SECONDS_MAX) {
    throw new StoreError('INVALID_REQUEST', `lease ttl of ${ttlSeconds} s is out of range`);
  }
  if (state.quota.isFull) throw noSpace();
  state.leases.grant(index, ttlSeconds);
  reply.varint(index);
  reply.varint(ttlSeconds);
  return { outcome: OUTCOME.done, revision: index };
}

/** Deletes the lease and its keys in one revision. Fenced by term: see rule 7 and etcd #15247. */
function revoke(
  state: StateMachine,
  entry: AppliedEntry,
  input: ByteReader,
  reply: ByteWriter,
): Executed {
  const id = input.varint();
  const proposedInTerm = input.varint();
  if (proposedInTerm !== 0 && proposedInTerm !== entry.term) throw leaseNotFound(id);
  return removeLease(state, id, reply);
}

/** The same when a leader found it run out: what it knew of the lease must still be so. */
function expire(
  state: StateMachine,
  entry: AppliedEntry,
  input: ByteReader,
  reply: ByteWriter,
): Executed {
  const id = input.varint();
  const proposedInTerm = input.varint();
  const generation = input.varint();
  const isStale = proposedInTerm !== entry.term || state.leases.get(id)?.generation !== generation;
  if (isStale) throw leaseNotFound(id);
  return removeLease(state, id, reply);
}

function removeLease(state: StateMachine, id: number, reply: ByteWriter): Executed {
  const lease = state.leases.get(id);
  if (lease === undefined) throw leaseNotFound(id);
  const { keys } = state.mvcc;
  const keyIds = [...lease.keyIds].sort((a, b) => keys.compare(a, keys.bytes(b)));
  for (const keyId of keyIds) deleteKey(state, keyId);
  state.leases.remove(id);
  state.mvcc.end();
  reply.varint(state.mvcc.revision);
  return { outcome: OUTCOME.done, revision: state.mvcc.revision };
}

function leaseCheckpoint(state: StateMachine, input: ByteReader): Executed {
  for (let count = input.varint(); count > 0; count--) {
    const id = input.varint();
    state.leases.setRemaining(id, input.varint(), state.version >= VERSION_FACTS);
  }
  return { outcome: OUTCOME.done, revision: 0 };
}
