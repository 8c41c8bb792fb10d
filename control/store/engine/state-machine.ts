/**
 * The replicated state machine: applies one log entry's command to the key space, the leases and the
 * sessions, and writes the encoded answer. Deterministic: equal entries in equal order give equal
 * state and equal answers on every member, whatever its clock or disk. The only source of change is
 * `apply`.
 *
 * A command that this version does not know stops it with StoreError UNSUPPORTED, one that does not
 * decode with CORRUPT (reference/store.md section 8, rule 11); skipping either would make this member
 * differ from the others. After such an error the state is of no use.
 */
import { assert } from '#base/assert.ts';
import { NO_MEMBERS, everyone } from '#control/raft/raft.ts';
import type { Members } from '#control/raft/raft.ts';
import { ByteReader, type ByteWriter } from '../codec/bytes.ts';
import { COMMAND, isTxn } from '../codec/command.ts';
import type { Crc32 } from '../codec/digest.ts';
import { readCommandHead, readRangeBody } from '../codec/read-command.ts';
import type { CommandHead } from '../codec/read-command.ts';
import { ERROR_CODES, writeError } from '../codec/reply.ts';
import { CHECKPOINT_LOG_BYTES_MIN, STATE_HASHES_KEPT, STATE_HASHES_MARKED_MAX } from '../limits.ts';
import { Mvcc } from '../mvcc/mvcc.ts';
import { HashHistory, HashMixer, HashSum } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import { StoreError } from '../port.ts';
import { SOFTWARE, formatsOf } from '../software.ts';
import type { Software } from '../software.ts';
import { VERSION_FACTS, VERSION_MIN } from '../versions.ts';
import type { Formats } from '../versions.ts';
import { RECORD_OVERHEAD_BYTES } from '../wal/record.ts';
import { runCommand } from './commands.ts';
import { Leases } from './leases.ts';
import { Quota } from './quota.ts';
import { checkedRevision, writeRangeResponse } from './range.ts';
import { repeatAnswer } from './repeat.ts';
import { Roster } from './roster.ts';
import { OUTCOME, Sessions } from './sessions.ts';
import type { Executed } from './sessions.ts';
import { applyTxn } from './txn.ts';

/** First byte of every answer. */
export const ANSWER_OK = 0;
export const ANSWER_ERROR = 1;
/** The command's session is not known (any more); nothing was executed. */
export const ANSWER_NO_SESSION = 2;
/** The command was taken, but its place in the log fell to another: it may come back or not. */
export const ANSWER_NOT_KNOWN = 3;
/** With an error: the command was not taken this time; if it was sent before, that says nothing. */
export const ANSWER_NOT_TAKEN = 4;

/** A log entry as far as the state machine cares. */
export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly data: Uint8Array;
  /** Who the group is from here on. */
  readonly members?: Members;
}

/** Kind of part of the state hash, for the mixer. */
const SCALARS_PART = 3;
const MEMBERS_PART = 7;
const VERSION_PART = 9;

/** Members of a group have equal ones but for what they run as. */
export interface StateOptions {
  readonly checkpointLogBytes: number;
  /** Absent = what ships. */
  readonly software?: Software | undefined;
  /** Commands of later versions are not known; absent = the software's own. */
  readonly runsAs?: number | undefined;
}

export class StateMachine {
  #mvcc: Mvcc;
  #leases = new Leases();
  #sessions = new Sessions();
  #roster = new Roster();
  #members: Members = NO_MEMBERS;
  readonly #membersHash = new HashSum();
  /** The state hashes behind the last entries, and where checkpoints were due. */
  readonly hashes = new HashHistory(STATE_HASHES_KEPT, STATE_HASHES_MARKED_MAX);
  readonly #mixer = new HashMixer();
  #quota = new Quota();
  /** Of the group: whose formats are written, and whose rules hold (versions.ts). */
  version = VERSION_MIN;
  readonly software: Software;
  readonly runsAs: number;
  appliedIndex = 0;
  appliedTerm = 0;
  /** Bytes of all entries applied since the group began. */
  logBytes = 0;
  /** Of those, how many there were when a checkpoint was due last. */
  checkpointMark = 0;
  readonly #checkpointLogBytes: number;

  constructor(
    crc32: Crc32,
    options: StateOptions = { checkpointLogBytes: CHECKPOINT_LOG_BYTES_MIN },
  ) {
    this.#mvcc = new Mvcc(crc32);
    this.software = options.software ?? SOFTWARE;
    this.runsAs = options.runsAs ?? this.software.version;
    this.#checkpointLogBytes = options.checkpointLogBytes;
  }

  get mvcc(): Mvcc {
    return this.#mvcc;
  }

  get leases(): Leases {
    return this.#leases;
  }

  get sessions(): Sessions {
    return this.#sessions;
  }

  get roster(): Roster {
    return this.#roster;
  }

  get quota(): Quota {
    return this.#quota;
  }

  /** What is written in a group of this version. */
  get formats(): Formats {
    return formatsOf(this.software, this.version);
  }

  /** By the last entry applied that names them; nobody before the first one. */
  get members(): Members {
    return this.#members;
  }

  set members(members: Members) {
    this.#members = members;
    this.#quota.setMembers(members, everyone(members));
    // States of a time before members stood in the log have none, and their old hash.
    if (members.voters.length === 0) this.#membersHash.set({ a: 0, b: 0 });
    else this.#membersHash.set(this.#membersPart(members));
  }

  /** Becomes the state that a snapshot brought; `from` is given up. */
  install(from: StateMachine): void {
    assert(from.appliedIndex > this.appliedIndex, 'a snapshot is installed only when ahead');
    this.#mvcc = from.mvcc;
    this.#leases = from.leases;
    this.#sessions = from.sessions;
    this.#roster = from.roster;
    this.#quota = from.quota;
    this.version = from.version;
    this.members = from.members;
    this.appliedIndex = from.appliedIndex;
    this.appliedTerm = from.appliedTerm;
    this.logBytes = from.logBytes;
    this.checkpointMark = from.checkpointMark;
    this.restored();
  }

  /** It became what a checkpoint holds: others may ask what that is. */
  restored(): void {
    this.hashes.push(this.appliedIndex, this.hash);
    this.hashes.mark();
  }

  /** A checkpoint is due behind the entry applied last: by bytes of log, so that members agree. */
  get isCheckpointDue(): boolean {
    return this.checkpointMark === this.logBytes && this.logBytes > 0;
  }

  /** The hash of the whole logical state behind the applied index. */
  get hash(): HashSum {
    const { mvcc, leases, sessions, quota } = this;
    const sum = new HashSum();
    sum.add(mvcc.recordsHash);
    sum.add(leases.hash);
    sum.add(sessions.hash);
    sum.add(this.roster.hash);
    sum.add(this.#membersHash);
    const scalars = this.#mixer.begin(SCALARS_PART).number(mvcc.revision);
    scalars.number(mvcc.compactRevision).number(quota.setting).u32(Number(quota.isFull));
    sum.add(scalars.number(this.logBytes).number(this.checkpointMark));
    if (this.version < VERSION_FACTS) return sum;
    sum.add(quota.memoryHash);
    sum.add(this.#mixer.begin(VERSION_PART).number(this.version));
    return sum;
  }

  /** Applies an entry and writes its answer to `reply`. An entry without data changes nothing. */
  apply(entry: AppliedEntry, reply: ByteWriter): void {
    assert(entry.index === this.appliedIndex + 1, `entry ${entry.index} follows the applied one`);
    this.appliedIndex = entry.index;
    this.appliedTerm = entry.term;
    if (entry.members !== undefined) {
      this.members = entry.members;
      this.roster.retain(everyone(entry.members));
    }
    if (entry.data.length > 0) {
      try {
        this.#run(entry, reply);
      } catch (error) {
        throw stopped(entry, error);
      }
      this.#quota.update(this.mvcc.liveBytes);
    }
    this.#countLog(entry);
    this.hashes.push(entry.index, this.hash);
    if (this.isCheckpointDue) this.hashes.mark();
  }

  /**
   * Writes the answer to an entry that was applied before; false when it is not remembered. A session's
   * id is the index that opened it.
   */
  repeat(entry: AppliedEntry, reply: ByteWriter): boolean {
    const input = new ByteReader(entry.data);
    const { kind, session, sequence } = readCommandHead(input, this.software);
    if (kind === COMMAND.openSession) {
      this.answer(reply, () => reply.varint(entry.index));
      return true;
    }
    const executed = this.sessions.find(session, sequence, this.appliedIndex);
    if (typeof executed === 'string') return false;
    this.answer(reply, () => repeatAnswer(this.mvcc, { kind, executed, input }, reply));
    return true;
  }

  /** Runs `write` as the body of an answer; a StoreError replaces whatever it wrote. */
  answer(reply: ByteWriter, write: () => void): void {
    const start = reply.length;
    reply.u8(ANSWER_OK);
    try {
      write();
    } catch (error) {
      writeRefusal(reply, start, error);
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
      assert(isTxn(readCommandHead(input).kind), 'a read-only command is a transaction');
      const before = this.mvcc.revision;
      applyTxn(this, input, reply);
      assert(this.mvcc.revision === before, 'a read-only transaction wrote nothing');
    });
  }

  #run(entry: AppliedEntry, reply: ByteWriter): void {
    const input = new ByteReader(entry.data);
    const head = readCommandHead(input, this.software, this.runsAs);
    if (head.session === 0) {
      this.#execute(entry, head, input, reply);
      return;
    }
    const { kind, session, sequence } = head;
    const known = this.sessions.find(session, sequence, entry.index);
    if (known === 'new') {
      const executed = this.#execute(entry, head, input, reply);
      this.sessions.executed(session, sequence, { ...executed, index: entry.index });
    } else if (known === 'expired') {
      reply.u8(ANSWER_NO_SESSION);
    } else {
      this.answer(reply, () => {
        if (known === 'stale') throw forgotten(head);
        repeatAnswer(this.mvcc, { kind, executed: known, input }, reply);
      });
    }
  }

  #execute(entry: AppliedEntry, head: CommandHead, input: ByteReader, reply: ByteWriter): Executed {
    const start = reply.length;
    reply.u8(ANSWER_OK);
    try {
      return runCommand(this, { entry, kind: head.kind, input }, reply);
    } catch (error) {
      const { code, compactRevision } = writeRefusal(reply, start, error);
      const outcome = OUTCOME.error + ERROR_CODES.indexOf(code);
      return { outcome, revision: compactRevision ?? 0 };
    }
  }

  #membersPart(members: Members): Lanes {
    const { voters, votersOutgoing, learners, learnersNext, autoLeave } = members;
    const mixer = this.#mixer.begin(MEMBERS_PART).u32(autoLeave ? 1 : 0);
    for (const list of [voters, votersOutgoing, learners, learnersNext]) {
      mixer.u32(list.length);
      for (const id of list) mixer.number(id);
    }
    return mixer;
  }

  #countLog(entry: AppliedEntry): void {
    this.logBytes += entry.data.length + RECORD_OVERHEAD_BYTES;
    const wanted = Math.max(this.#checkpointLogBytes, this.mvcc.liveBytes);
    if (this.logBytes - this.checkpointMark >= wanted) this.checkpointMark = this.logBytes;
  }
}

/** Puts a StoreError in the place of what was written from `start` on; throws what is none. */
function writeRefusal(reply: ByteWriter, start: number, error: unknown): StoreError {
  // What this version does not understand another one may: it is no answer, but the end.
  if (!(error instanceof StoreError) || error.code === 'UNSUPPORTED') throw error;
  reply.truncate(start);
  reply.u8(ANSWER_ERROR);
  writeError(reply, error);
  return error;
}

function forgotten({ session, sequence }: CommandHead): StoreError {
  const text = `command ${sequence} of session ${session} is older than what is remembered`;
  return new StoreError('OUTCOME_UNKNOWN', text);
}

/** Why the state machine cannot go on behind an entry that the log holds. */
function stopped(entry: AppliedEntry, error: unknown): unknown {
  const where = `log entry ${entry.index}`;
  if (error instanceof StoreError) {
    return new StoreError(error.code, `${where}: ${error.message}`, { cause: error });
  }
  if (error instanceof RangeError) {
    return new StoreError('CORRUPT', `${where}: command ends early`, { cause: error });
  }
  return error;
}
