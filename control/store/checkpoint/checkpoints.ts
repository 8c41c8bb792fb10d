/**
 * Decides when checkpoints are written, keeps the newest two, and lets go of the log behind the
 * older: if the newest one turns out damaged, the older one and the log replace it. When one is due is
 * part of the replicated state, so that equal members write them at equal indexes.
 *
 *   begun -> complete (`.tmp`) -> counts, once a quorum was found to have its state (hash-rounds.ts)
 *                              -> dropped: by a start, or for a newer one when no quorum can say any more
 *
 * Until it counts the log stays that would show what is wrong with it, and nobody is given it; so what
 * memory held in error ends with its process. The log grows no longer than a quorum commits, and those
 * answer; on a disk that is full meanwhile, nothing that grows is taken.
 *
 * A full disk changes the order. What can be spared goes first: the older checkpoint and its log, once
 * the newest was read through. If the state has shrunk since, a checkpoint out of turn gives the rest
 * of the log free.
 */
import type { Crc32, Sha256 } from '../codec/digest.ts';
import { isNoSpace } from '../disk/disk.ts';
import type { Disk } from '../disk/disk.ts';
import type { DiskRoom } from '../engine/disk-room.ts';
import type { EngineLog } from '../engine/engine-log.ts';
import type { BulkRate } from '../engine/bulk-rate.ts';
import { StateMachine } from '../engine/state-machine.ts';
import type { StateOptions } from '../engine/state-machine.ts';
import { StoreError } from '../port.ts';
import { CHECKPOINT_WAIT_TICKS } from '../limits.ts';
import { formatHash, isSameHash } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import { checkpointName } from './format.ts';
import { listCheckpoints, loadCheckpoint, verifyCheckpoint } from './read.ts';
import type { LoadedCheckpoint } from './read.ts';
import { CheckpointWriter } from './write.ts';

export interface CheckpointIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly sha256: Sha256;
  readonly log: EngineLog;
}

/** What the members say of a state (hash-rounds.ts). */
export interface Agreement {
  /** Begins to ask whose state behind this index is this one. */
  check(index: number, hash: Lanes): void;
  /** A quorum's is. */
  isAgreed(index: number): boolean;
}

/** Kept when nothing is wrong. */
const KEPT = 2;

/** On a full disk a checkpoint out of turn pays when the state is this much smaller than the last. */
const SHRUNK_SHARE = 0.8;

/**
 * The newest state that can be read; a fresh one when there is no checkpoint at all. A damaged one in
 * front of it is put aside.
 */
export function loadNewest(
  io: CheckpointIo,
  options: StateOptions,
): Partial<LoadedCheckpoint> & Pick<LoadedCheckpoint, 'state'> {
  const damaged: string[] = [];
  let failure: StoreError | undefined;
  for (const index of listCheckpoints(io.disk)) {
    const name = checkpointName(index);
    try {
      const loaded = loadCheckpoint(io, name, options);
      for (const other of damaged) io.disk.rename(other, `${other}.damaged`);
      return loaded;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'CORRUPT') throw error;
      io.log.error('checkpoint is damaged, trying the one before', { name, error });
      damaged.push(name);
      failure = error;
    }
  }
  if (failure !== undefined) throw failure;
  return { state: new StateMachine(io.crc32, options) };
}

export class Checkpoints {
  readonly #io: CheckpointIo;
  readonly #groupId: number;
  readonly #state: StateMachine;
  readonly #room: DiskRoom;
  /** Lets go of log entries up to an index. */
  readonly #release: (index: number) => void;
  readonly #written: (index: number) => void;
  readonly #isInUse: (index: number) => boolean;
  readonly #agreement: Agreement;
  readonly #bulk: BulkRate;
  #writer: CheckpointWriter | undefined;
  /** Complete, and does not count yet. */
  #complete: CheckpointWriter | undefined;
  #completeTicks = 0;
  /** Reads the newest checkpoint through before what it makes dispensable goes. */
  #shedding: Generator<void> | undefined;
  /** Index of the checkpoint for which that was done. */
  #shedIndex = 0;
  /** Bytes of the state when the last checkpoint was begun; a smaller one may fit where it did not. */
  #bytesAtLast: number;
  /** Something on the disk is to be replaced; the checkpoint that is written does so. */
  #isDamaged = false;
  #isReplacing = false;

  constructor(
    io: CheckpointIo,
    parts: {
      readonly groupId: number;
      readonly state: StateMachine;
      readonly room: DiskRoom;
      readonly release: (index: number) => void;
      readonly agreement: Agreement;
      /** Of what is written beside the log. */
      readonly bulk: BulkRate;
      /** A checkpoint counts. */
      readonly written: (index: number) => void;
      /** Another member fetches the checkpoint of this index. */
      readonly isInUse: (index: number) => boolean;
    },
  ) {
    this.#io = io;
    this.#groupId = parts.groupId;
    this.#state = parts.state;
    this.#room = parts.room;
    this.#release = parts.release;
    this.#written = parts.written;
    this.#isInUse = parts.isInUse;
    this.#agreement = parts.agreement;
    this.#bulk = parts.bulk;
    this.#bytesAtLast = parts.state.mvcc.storedBytes;
  }

  /** An entry was applied: begins a checkpoint if it is due behind this one. */
  applied(): void {
    if (!this.#state.isCheckpointDue) return;
    if (this.#writer === undefined && this.#shedding === undefined) this.#begin();
  }

  /** Another member waits for a checkpoint that the log reaches: one out of turn. */
  want(): void {
    if (this.#writer === undefined && this.#shedding === undefined) this.#begin();
  }

  /**
   * A checkpoint, or log that is closed, turned out damaged where it lies. Memory holds the state: once it
   * is in a checkpoint of now, all that is older goes.
   */
  replaceDamaged(): void {
    this.#isDamaged = true;
  }

  tick(): void {
    const complete = this.#complete;
    if (complete === undefined || ++this.#completeTicks !== CHECKPOINT_WAIT_TICKS) return;
    const { index } = complete;
    this.#io.log.warn('no quorum says that a checkpoint is right, the log is kept', { index });
  }

  /** The state was replaced by this checkpoint: all others stand before a hole in the log. */
  installed(index: number): void {
    this.#writer?.abandon();
    this.#writer = undefined;
    this.#dropComplete();
    this.#shedding = undefined;
    this.#remove(listCheckpoints(this.#io.disk).filter((other) => other !== index));
    this.#release(index);
  }

  /** Goes on with what was begun; true = more to do at once. */
  pump(): boolean {
    if (this.#writer !== undefined) return this.#writeOn(this.#writer);
    if (this.#complete !== undefined && this.#agreement.isAgreed(this.#complete.index)) {
      return this.#count(this.#complete);
    }
    if (this.#isDamaged && this.#shedding === undefined && !this.#room.isFull) this.#begin();
    if (!this.#room.isFull) return this.#writer !== undefined;
    this.#shedding ??= this.#planShedding();
    if (this.#shedding !== undefined) return this.#shedOn(this.#shedding);
    const { mvcc } = this.#state;
    if (mvcc.isCompacting || mvcc.storedBytes > this.#bytesAtLast * SHRUNK_SHARE) return false;
    this.#begin(this.#room.spare);
    return this.#writer !== undefined;
  }

  #begin(spare?: () => boolean): void {
    if (!this.#isReplaceable || this.#state.appliedIndex === 0) return;
    this.#bytesAtLast = this.#state.mvcc.storedBytes;
    const { disk, sha256 } = this.#io;
    const name = checkpointName(this.#state.appliedIndex);
    // A full disk had one written out of turn. One that may be damaged is replaced.
    if (disk.list().includes(name) && !this.#isDamaged) return;
    this.#dropComplete();
    this.#isReplacing = this.#isDamaged;
    this.#attempt(() => {
      const options = { disk, sha256, groupId: this.#groupId, name, spare };
      const writer = new CheckpointWriter(options, this.#state);
      this.#writer = writer;
      checkUnchanged(this.#state, writer.hash);
      // At once: the others know what was behind the last entries.
      this.#agreement.check(writer.index, writer.hash);
    });
  }

  /** None waits to count, or for so long that a newer one is more likely to. */
  get #isReplaceable(): boolean {
    if (this.#complete === undefined) return true;
    const isOlder = this.#complete.index < this.#state.appliedIndex;
    return isOlder && this.#completeTicks >= CHECKPOINT_WAIT_TICKS;
  }

  #dropComplete(): void {
    this.#complete?.abandon();
    this.#complete = undefined;
  }

  #writeOn(writer: CheckpointWriter): boolean {
    // On a full disk nothing is written that it would hold up.
    if (!this.#bulk.hasBudget && !this.#room.isFull) return false;
    const { bytes } = writer;
    const isDone = this.#attempt(() => writer.slice());
    if (writer.bytes > bytes) this.#bulk.spend(writer.bytes - bytes);
    if (isDone === false) return true;
    this.#writer = undefined;
    if (isDone === undefined) return false;
    this.#complete = writer;
    this.#completeTicks = 0;
    return true;
  }

  /** What older ones held is dispensable now. */
  #count(complete: CheckpointWriter): boolean {
    const isDone = this.#attempt(() => {
      complete.publish();
      return true;
    });
    if (isDone === undefined) return false;
    this.#complete = undefined;
    const { index } = complete;
    this.#io.log.info('checkpoint written', { index });
    this.#written(index);
    if (this.#isReplacing) this.#isDamaged = false;
    this.#keep(this.#room.isFull || this.#isReplacing ? 1 : KEPT);
    this.#isReplacing = false;
    return this.#room.isFull;
  }

  /** Undefined when the disk has no space: then what was begun is undone. */
  #attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      this.#io.log.warn('no space for a checkpoint, keeping the log', { error });
      this.#writer?.abandon();
      this.#writer = undefined;
      this.#room.noSpace();
      return undefined;
    }
  }

  /** Undefined when there is nothing that the newest checkpoint makes dispensable. */
  #planShedding(): Generator<void> | undefined {
    const newest = listCheckpoints(this.#io.disk)[0] ?? 0;
    if (newest === this.#shedIndex) return undefined;
    this.#shedIndex = newest;
    return readThrough(this.#io, checkpointName(newest));
  }

  #shedOn(shedding: Generator<void>): boolean {
    try {
      if (shedding.next().done !== true) return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Then the store depends on the older one and its log; the damaged one is the one to spare.
      this.#io.log.error('newest checkpoint is damaged', { error });
      this.#shedding = undefined;
      if (listCheckpoints(this.#io.disk).length > 1) this.#remove([this.#shedIndex]);
      return false;
    }
    this.#shedding = undefined;
    this.#keep(1);
    return true;
  }

  /** Removes all but the newest checkpoints, and the log that none of them needs. */
  #keep(count: number): void {
    const { disk } = this.#io;
    const indexes = listCheckpoints(disk);
    this.#remove(indexes.slice(count).filter((index) => !this.#isInUse(index)));
    for (const name of disk.list()) if (name.endsWith('.damaged')) disk.remove(name);
    const oldest = indexes[count - 1];
    if (oldest !== undefined) this.#release(oldest);
  }

  #remove(indexes: readonly number[]): void {
    for (const index of indexes) this.#io.disk.remove(checkpointName(index));
    if (indexes.length > 0) this.#io.disk.syncDirectory();
  }
}

/** Entries alone change the state: since the last one it has the hash that was kept then. */
function checkUnchanged({ hashes, appliedIndex }: StateMachine, hash: Lanes): void {
  const known = hashes.at(appliedIndex);
  if (known === undefined || isSameHash(known, hash)) return;
  const text = `memory holds a state with hash ${formatHash(hash)} behind entry ${appliedIndex}`;
  throw new StoreError('CORRUPT', `${text}, not ${formatHash(known)}`);
}

function* readThrough(io: CheckpointIo, name: string): Generator<void> {
  const file = io.disk.open(name);
  try {
    yield* verifyCheckpoint(file, name, io.sha256);
  } finally {
    file.close();
  }
}
