/**
 * Answers a command that was executed before, as it was answered then. What is stored of it is an
 * outcome and a revision; the rest is read off the history, where the state that the command saw
 * still stands. When that has been compacted, the answer is OUTCOME_UNKNOWN.
 */
import { must } from '#base/assert.ts';
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { COMMAND, OP, isTxn } from '../codec/command.ts';
import { readCompare, readOperation } from '../codec/read-command.ts';
import type { DecodedOperation } from '../codec/read-command.ts';
import { ERROR_CODES } from '../codec/reply.ts';
import { covers } from '../mvcc/byte-range.ts';
import type { ByteRange } from '../mvcc/byte-range.ts';
import type { Mvcc } from '../mvcc/mvcc.ts';
import { NONE } from '../mvcc/records.ts';
import { StoreError } from '../port.ts';
import { writeRangeResponse, writeRecord } from './range.ts';
import { OUTCOME } from './sessions.ts';
import type { Executed } from './sessions.ts';
import { branchOf } from './txn.ts';

/** Writes the answer's body behind `reply`, or throws the StoreError that it was or has become. */
export function repeatAnswer(
  mvcc: Mvcc,
  command: { readonly kind: number; readonly executed: Executed; readonly input: ByteReader },
  reply: ByteWriter,
): void {
  const { kind, executed, input } = command;
  const { outcome, revision } = executed;
  if (outcome >= OUTCOME.error) throw repeatedError(executed);
  if (isTxn(kind)) {
    repeatTxn(mvcc, executed, input, reply);
    return;
  }
  reply.varint(revision);
  if (kind === COMMAND.leaseGrant) reply.varint(input.varint());
}

function repeatedError({ outcome, revision }: Executed): StoreError {
  const code = must(ERROR_CODES[outcome - OUTCOME.error], 'a stored error is known');
  const text = `refused with ${code} when it was first applied`;
  return new StoreError(code, text, code === 'COMPACTED' ? { compactRevision: revision } : {});
}

function repeatTxn(mvcc: Mvcc, executed: Executed, input: ByteReader, reply: ByteWriter): void {
  const { outcome, revision } = executed;
  for (let count = input.varint(); count > 0; count--) readCompare(input);
  const succeeded = outcome === OUTCOME.succeeded || outcome === OUTCOME.succeededWriting;
  const branch = branchOf(input, succeeded);
  const wrote = outcome === OUTCOME.succeededWriting || outcome === OUTCOME.failedWriting;
  reply.varint(revision);
  reply.u8(succeeded ? 1 : 0);
  const count = branch.varint();
  reply.varint(count);
  const past = new PastWrites(mvcc, revision, wrote);
  for (let i = 0; i < count; i++) past.repeat(readOperation(branch), reply);
}

/** Goes once more through the operations of a transaction, beside the records that it wrote. */
class PastWrites {
  readonly #mvcc: Mvcc;
  readonly #revision: number;
  readonly #wrote: boolean;
  /** Of the transaction's own writes: those of the operations before this one. */
  #sub = 0;

  constructor(mvcc: Mvcc, revision: number, wrote: boolean) {
    this.#mvcc = mvcc;
    this.#revision = revision;
    this.#wrote = wrote;
  }

  repeat(operation: DecodedOperation, reply: ByteWriter): void {
    const mvcc = this.#mvcc;
    reply.u8(operation.kind);
    if (operation.kind === OP.range) {
      this.#checkHistory(this.#wrote ? this.#revision - 1 : this.#revision);
      this.#checkHistory(operation.body.revision || this.#revision);
      const subEnd = this.#wrote ? this.#sub : undefined;
      writeRangeResponse(mvcc, operation.body, reply, { revision: this.#revision, subEnd });
    } else if (operation.kind === OP.put) {
      const old = operation.wantsPrevious ? this.#previous() : NONE;
      this.#sub++;
      reply.u8(old === NONE ? 0 : 1);
      if (old !== NONE) writeRecord(mvcc, old, false, reply);
    } else {
      const deleted = this.#deleted(operation.range);
      reply.varint(deleted.length);
      reply.varint(operation.wantsPrevious ? deleted.length : 0);
      if (!operation.wantsPrevious) return;
      for (const record of deleted) writeRecord(mvcc, mvcc.previous(record), false, reply);
    }
  }

  #previous(): number {
    this.#checkHistory(this.#revision - 1);
    return this.#mvcc.previous(this.#recordAt(this.#sub));
  }

  /** The tombstones that a deletion of `range` wrote: those in it that come next. */
  #deleted(range: ByteRange): number[] {
    const mvcc = this.#mvcc;
    const found: number[] = [];
    if (!this.#wrote) return found;
    this.#checkHistory(this.#revision - 1);
    for (; ; this.#sub++) {
      const record = this.#recordAt(this.#sub);
      const isDeletion = record !== NONE && mvcc.records.version[record] === 0;
      if (!isDeletion || !covers(range, mvcc.key(record))) return found;
      found.push(record);
    }
  }

  /** The record that the transaction wrote as number `sub`, NONE behind the last. */
  #recordAt(sub: number): number {
    const { history, records } = this.#mvcc;
    const position = history.seek(this.#revision, records.mod) + sub;
    if (position >= history.end) return NONE;
    const record = history.at(position);
    return records.mod[record] === this.#revision ? record : NONE;
  }

  #checkHistory(revision: number): void {
    if (revision >= this.#mvcc.compactRevision) return;
    const text = `executed at revision ${this.#revision}, but its results are compacted`;
    throw new StoreError('OUTCOME_UNKNOWN', text);
  }
}
