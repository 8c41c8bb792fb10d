/**
 * The replicated state machine: applies one log entry's command to the key space and the leases, and
 * writes the encoded answer. Deterministic: equal entries in equal order give equal state and equal
 * answers on every member, whatever its clock or disk. The only source of change is `apply`.
 *
 * An unknown command version or kind stops the process (reference/store.md section 8, rule 11);
 * skipping it would make this member differ from the others.
 */
import { assert } from '#base/assert.ts';
import { ByteReader, type ByteWriter } from '../codec/bytes.ts';
import { COMMAND, COMMAND_VERSION } from '../codec/command.ts';
import type { Crc32 } from '../codec/digest.ts';
import { readRangeBody } from '../codec/read-command.ts';
import { writeError } from '../codec/reply.ts';
import { LEASE_TTL_SECONDS_MAX, QUOTA_BYTES_DEFAULT, STATE_HASHES_KEPT } from '../limits.ts';
import { Mvcc } from '../mvcc/mvcc.ts';
import { HashHistory, HashMixer, HashSum } from '../mvcc/state-hash.ts';
import { StoreError } from '../port.ts';
import { Leases } from './leases.ts';
import { checkedRevision, writeRangeResponse } from './range.ts';
import { compacted, futureRevision, leaseNotFound, noSpace } from './refusals.ts';
import { applyTxn, deleteKey } from './txn.ts';

/** First byte of every answer. */
export const ANSWER_OK = 0;
export const ANSWER_ERROR = 1;

/** A log entry as far as the state machine cares. */
export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly data: Uint8Array;
}

/** Kind of part of the state hash, for the mixer. */
const SCALARS_PART = 3;

export class StateMachine {
  readonly mvcc: Mvcc;
  readonly leases = new Leases();
  /** The state hashes behind the last entries. */
  readonly hashes = new HashHistory(STATE_HASHES_KEPT);
  readonly #mixer = new HashMixer();
  quotaBytes = QUOTA_BYTES_DEFAULT;
  /** Set at 95 % of the quota, cleared below 90 %: growth is refused meanwhile. */
  noSpace = false;
  appliedIndex = 0;
  appliedTerm = 0;

  constructor(crc32: Crc32) {
    this.mvcc = new Mvcc(crc32);
  }

  /** The hash of the whole logical state behind the applied index. */
  get hash(): HashSum {
    const { mvcc, leases } = this;
    const sum = new HashSum();
    sum.add(mvcc.recordsHash);
    sum.add(leases.hash);
    const scalars = this.#mixer.begin(SCALARS_PART).number(mvcc.revision);
    sum.add(scalars.number(mvcc.compactRevision).number(this.quotaBytes).u32(Number(this.noSpace)));
    return sum;
  }

  /** Applies an entry and writes its answer to `reply`. An entry without data changes nothing. */
  apply(entry: AppliedEntry, reply: ByteWriter): void {
    assert(entry.index === this.appliedIndex + 1, `entry ${entry.index} follows the applied one`);
    this.appliedIndex = entry.index;
    this.appliedTerm = entry.term;
    if (entry.data.length > 0) this.#run(entry, reply);
    this.hashes.push(entry.index, this.hash);
  }

  /** Runs `write` as the body of an answer; a StoreError replaces whatever it wrote. */
  answer(reply: ByteWriter, write: () => void): void {
    const start = reply.length;
    reply.u8(ANSWER_OK);
    try {
      write();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      reply.truncate(start);
      reply.u8(ANSWER_ERROR);
      writeError(reply, error);
    }
  }

  /** Answers an encoded range request from the applied state. */
  range(input: ByteReader, reply: ByteWriter): void {
    this.answer(reply, () => {
      const request = readRangeBody(input);
      checkedRevision(this.mvcc, request.revision);
      writeRangeResponse(this.mvcc, request, reply);
    });
  }

  /** Answers an encoded transaction that cannot write. */
  readTxn(input: ByteReader, reply: ByteWriter): void {
    this.answer(reply, () => {
      assert(input.u8() === COMMAND_VERSION, 'own client speaks the own version');
      assert(input.u8() === COMMAND.txn, 'a read-only command is a transaction');
      const before = this.mvcc.revision;
      applyTxn(this, input, reply);
      assert(this.mvcc.revision === before, 'a read-only transaction wrote nothing');
    });
  }

  #run(entry: AppliedEntry, reply: ByteWriter): void {
    const input = new ByteReader(entry.data);
    const version = input.u8();
    assert(version === COMMAND_VERSION, `command version ${version} is known`);
    this.answer(reply, () => this.#command(entry, input, reply));
    this.#updateAlarm();
  }

  #command(entry: AppliedEntry, input: ByteReader, reply: ByteWriter): void {
    const kind = input.u8();
    if (kind === COMMAND.txn) applyTxn(this, input, reply);
    else if (kind === COMMAND.compact) this.#compact(input.varint(), reply);
    else if (kind === COMMAND.leaseGrant) this.#grant(entry.index, input.varint(), reply);
    else if (kind === COMMAND.leaseRevoke) this.#revoke(entry, input, reply);
    else if (kind === COMMAND.leaseCheckpoint) this.#leaseCheckpoint(input);
    else if (kind === COMMAND.configure) this.quotaBytes = input.varint();
    else assert(false, `command kind ${kind} is known`);
  }

  #compact(revision: number, reply: ByteWriter): void {
    const { compactRevision } = this.mvcc;
    if (revision <= compactRevision) throw compacted(revision, compactRevision);
    if (revision > this.mvcc.revision) throw futureRevision(revision, this.mvcc.revision);
    this.mvcc.compact(revision);
    reply.varint(this.mvcc.revision);
  }

  #grant(index: number, ttlSeconds: number, reply: ByteWriter): void {
    if (ttlSeconds < 1 || ttlSeconds > LEASE_TTL_SECONDS_MAX) {
      throw new StoreError('INVALID_REQUEST', `lease ttl of ${ttlSeconds} s is out of range`);
    }
    if (this.noSpace) throw noSpace();
    this.leases.grant(index, ttlSeconds);
    reply.varint(index);
    reply.varint(ttlSeconds);
  }

  /** Deletes the lease and its keys in one revision. Fenced by term: see rule 7 and etcd #15247. */
  #revoke(entry: AppliedEntry, input: ByteReader, reply: ByteWriter): void {
    const id = input.varint();
    const proposedInTerm = input.varint();
    const lease = this.leases.get(id);
    if (lease === undefined || (proposedInTerm !== 0 && proposedInTerm !== entry.term)) {
      throw leaseNotFound(id);
    }
    const { keys } = this.mvcc;
    const keyIds = [...lease.keyIds].sort((a, b) => keys.compare(a, keys.bytes(b)));
    for (const keyId of keyIds) deleteKey(this, keyId);
    this.leases.remove(id);
    this.mvcc.end();
    reply.varint(this.mvcc.revision);
  }

  #leaseCheckpoint(input: ByteReader): void {
    const count = input.varint();
    for (let i = 0; i < count; i++) {
      const id = input.varint();
      this.leases.setRemaining(id, input.varint());
    }
  }

  #updateAlarm(): void {
    const { liveBytes } = this.mvcc;
    if (liveBytes >= this.quotaBytes * 0.95) this.noSpace = true;
    else if (liveBytes < this.quotaBytes * 0.9) this.noSpace = false;
  }
}
