/** Rows of the chunks of a checkpoint (layout: format.ts): what of the state they hold, both ways. */
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { executedOf, remembered } from '../engine/sessions.ts';
import type { SessionCopy } from '../engine/sessions.ts';
import type { StateMachine } from '../engine/state-machine.ts';
import { KEY_BYTES_MAX } from '../limits.ts';
import type { Mvcc, RestoredRecord } from '../mvcc/mvcc.ts';
import { VERSION_FACTS } from '../versions.ts';

export function writeRecordRow(out: ByteWriter, mvcc: Mvcc, record: number): void {
  const { mod, sub, create, version, lease } = mvcc.records;
  out.bytes(mvcc.key(record));
  out.bytes(mvcc.value(record));
  out.varint(mod[record] as number); // Kept records are in bounds.
  out.varint(sub[record] as number); // Same.
  out.varint(create[record] as number); // Same.
  out.varint(version[record] as number); // Same.
  out.varint(lease[record] as number); // Same.
}

/** Throws RangeError for a row that no state holds. */
export function readRecordRow(input: ByteReader): RestoredRecord {
  const key = input.bytesView();
  if (key.length === 0 || key.length > KEY_BYTES_MAX) throw new RangeError('key has a bad length');
  const value = input.bytesView();
  const mod = input.varint();
  const sub = input.varint();
  const create = input.varint();
  const version = input.varint();
  return { key, value, mod, sub, create, version, lease: input.varint() };
}

/** Returns the number of rows. */
export function writeLeaseRows(out: ByteWriter, state: StateMachine): number {
  const leases = [...state.leases.all()].sort((a, b) => a.id - b.id);
  for (const { id, ttlSeconds, remainingMs, generation } of leases) {
    out.varint(id);
    out.varint(ttlSeconds);
    out.varint(remainingMs);
    if (state.version >= VERSION_FACTS) out.varint(generation);
  }
  return leases.length;
}

/** The state has the version of its group already. */
export function readLeaseRow(
  input: ByteReader,
  state: Pick<StateMachine, 'leases' | 'version'>,
): void {
  const id = input.varint();
  const ttlSeconds = input.varint();
  if (state.leases.get(id) !== undefined) throw new RangeError(`lease ${id} comes twice`);
  const remainingMs = input.varint();
  const generation = state.version >= VERSION_FACTS ? input.varint() : 0;
  state.leases.grant(id, ttlSeconds, { remainingMs, generation });
}

export function writeSessionRow(out: ByteWriter, session: SessionCopy): void {
  out.varint(session.id);
  out.varint(session.lastIndex);
  out.varint(session.highest);
  const sequences = [...remembered(session)];
  out.varint(sequences.length);
  for (const sequence of sequences) {
    const { outcome, revision } = executedOf(session, sequence);
    out.varint(sequence);
    out.u8(outcome);
    out.varint(revision);
  }
}

export function readSessionRow(input: ByteReader, state: Pick<StateMachine, 'sessions'>): void {
  const id = input.varint();
  const lastIndex = input.varint();
  const highest = input.varint();
  if (!state.sessions.restore({ id, lastIndex, highest })) {
    throw new RangeError(`session ${id} cannot be taken`);
  }
  for (let count = input.varint(); count > 0; count--) {
    const sequence = input.varint();
    const outcome = input.u8();
    const revision = input.varint();
    if (!state.sessions.restoreExecuted(id, sequence, { outcome, revision })) {
      throw new RangeError(`command ${sequence} is not in the window of session ${id}`);
    }
  }
}
