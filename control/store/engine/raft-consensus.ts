/**
 * Hosts the Raft core: carries out its Ready in the order that it asks for (control/raft/types.ts),
 * with the write-ahead log as its disk. Everything proposed since the last `pump` is one batch and
 * one sync. A failed write or sync is thrown out of `pump` and ends the process: what is on disk is
 * unknown then, and only a restart finds out.
 */
import type { Entry, MemberChange, Raft, Ready } from '#control/raft/raft.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { LOG_TAIL_ENTRIES } from '../limits.ts';
import { StoreError } from '../port.ts';
import { RECORD_OVERHEAD_BYTES } from '../wal/record.ts';
import type { Wal } from '../wal/wal.ts';
import type { Consensus, Proposed } from './consensus.ts';
import type { DiskRoom, Need } from './disk-room.ts';

type Confirmed = (refused: StoreError | undefined) => void;

export class RaftConsensus implements Consensus {
  readonly #raft: Raft;
  readonly #wal: Wal;
  readonly #checkpoints: Checkpoints;
  readonly #room: DiskRoom;
  /** Bytes proposed and not yet written, for which the disk has room. */
  #unwrittenBytes = 0;
  #nextContext = 1;
  readonly #reads = new Map<number, Confirmed>();
  /** Confirmed reads whose index is not applied yet, by that index. */
  #unapplied: { index: number; confirmed: Confirmed }[] = [];

  constructor(parts: { raft: Raft; wal: Wal; checkpoints: Checkpoints; room: DiskRoom }) {
    this.#raft = parts.raft;
    this.#wal = parts.wal;
    this.#checkpoints = parts.checkpoints;
    this.#room = parts.room;
  }

  get memberId(): number {
    return this.#wal.identity.memberId;
  }

  get term(): number {
    return this.#raft.term;
  }

  get lastIndex(): number {
    return this.#raft.lastIndex;
  }

  get isLeader(): boolean {
    return this.#raft.isLeader;
  }

  get walBytes(): number {
    return this.#wal.bytesUsed;
  }

  tick(): void {
    this.#raft.tick();
    this.#room.tick();
  }

  propose(data: Uint8Array, need: () => Need): Proposed | StoreError {
    if (!this.#raft.isLeader) return new StoreError('UNAVAILABLE', 'this member does not lead');
    const bytes = this.#unwrittenBytes + data.length + RECORD_OVERHEAD_BYTES;
    if (!this.#room.admit(bytes, need)) {
      return new StoreError('NO_SPACE', 'disk of the store is full');
    }
    const entry = this.#raft.propose(data);
    if (typeof entry === 'string') {
      return new StoreError('UNAVAILABLE', 'too many writes wait for the disk');
    }
    this.#unwrittenBytes = bytes;
    return entry;
  }

  changeMembers(changes: readonly MemberChange[], data: Uint8Array): Proposed | StoreError {
    const entry = this.#raft.proposeChange(changes, { data });
    if (typeof entry !== 'string') return entry;
    return new StoreError('UNAVAILABLE', `members cannot be changed now: ${entry}`);
  }

  read(confirmed: Confirmed): void {
    const context = this.#nextContext++;
    if (this.#raft.read(context)) this.#reads.set(context, confirmed);
    else confirmed(new StoreError('UNAVAILABLE', 'no leader can confirm the read'));
  }

  pump(apply: (entry: Entry) => void): boolean {
    while (this.#raft.hasReady) this.#carryOut(this.#raft.ready(), apply);
    return this.#checkpoints.pump();
  }

  close(): void {
    this.#wal.close();
  }

  abort(): void {
    this.#wal.abort();
  }

  #carryOut(ready: Ready, apply: (entry: Entry) => void): void {
    // A group of one has nobody to send to.
    if (ready.entries.length > 0 || ready.hardState !== undefined) {
      this.#wal.write(ready.entries, ready.hardState);
      this.#unwrittenBytes = 0;
    }
    this.#raft.persisted(ready.sequence);
    for (const entry of ready.committed) {
      apply(entry);
      this.#checkpoints.applied();
    }
    const last = ready.committed.at(-1);
    if (last !== undefined) {
      this.#raft.applied(last.index);
      this.#trimMemory();
    }
    for (const { context, index } of ready.readStates) {
      const confirmed = this.#reads.get(context);
      this.#reads.delete(context);
      if (confirmed !== undefined) this.#unapplied.push({ index, confirmed });
    }
    this.#answerReads();
  }

  #answerReads(): void {
    if (this.#unapplied.length === 0) return;
    const { appliedIndex } = this.#raft.status;
    const waiting = this.#unapplied;
    this.#unapplied = waiting.filter(({ index }) => index > appliedIndex);
    for (const { index, confirmed } of waiting) if (index <= appliedIndex) confirmed(undefined);
  }

  /** Nobody follows a group of one: old entries leave memory, the disk still has them. */
  #trimMemory(): void {
    const { firstIndex, appliedIndex } = this.#raft.status;
    if (appliedIndex - firstIndex > 2 * LOG_TAIL_ENTRIES) {
      this.#raft.compact(appliedIndex - LOG_TAIL_ENTRIES);
    }
  }
}
