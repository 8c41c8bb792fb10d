/**
 * Decides when checkpoints are written, keeps the newest two, and lets go of the log behind the
 * older: if the newest one turns out damaged, the older one and the log replace it. The decision
 * follows log bytes, never time, so that equal members decide equally.
 */
import { isErrno } from '#base/errors.ts';
import type { EngineLog } from '../engine/engine-log.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import { StateMachine } from '../engine/state-machine.ts';
import { StoreError } from '../port.ts';
import { checkpointName } from './format.ts';
import { listCheckpoints, loadCheckpoint } from './read.ts';
import { CheckpointWriter } from './write.ts';

export interface CheckpointIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly log: EngineLog;
  /** A checkpoint is due after this much log, or as much as there is live data if that is more. */
  readonly checkpointLogBytes: number;
}

/** The newest state that can be read; a fresh one when there is no checkpoint at all. */
export function loadNewestState(io: CheckpointIo): StateMachine {
  const indexes = listCheckpoints(io.disk);
  let failure: StoreError | undefined;
  for (const index of indexes) {
    const name = checkpointName(index);
    try {
      return loadCheckpoint(io.disk, name, io.crc32);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      io.log.error('checkpoint is damaged, trying the one before', { name, error });
      failure = error;
    }
  }
  if (failure !== undefined) throw failure;
  return new StateMachine(io.crc32);
}

export class Checkpoints {
  readonly #io: CheckpointIo;
  readonly #state: StateMachine;
  /** Lets go of log entries up to an index. */
  readonly #release: (index: number) => void;
  #logBytes = 0;
  #writer: CheckpointWriter | undefined;

  constructor(io: CheckpointIo, state: StateMachine, release: (index: number) => void) {
    this.#io = io;
    this.#state = state;
    this.#release = release;
  }

  /** `bytes` of entries were applied since the last call. */
  applied(bytes: number): void {
    this.#logBytes += bytes;
  }

  /** Starts or continues a checkpoint when one is due; true = more to do at once. */
  pump(): boolean {
    try {
      return this.#pump();
    } catch (error) {
      if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
      this.#io.log.warn('no space for a checkpoint, keeping the log', { error });
      if (this.#writer !== undefined) this.#writer.abandon();
      this.#writer = undefined;
      // Tried again after as much log as led here.
      return false;
    }
  }

  #pump(): boolean {
    if (this.#writer === undefined) {
      if (this.#logBytes < Math.max(this.#io.checkpointLogBytes, this.#state.mvcc.liveBytes)) {
        return false;
      }
      this.#logBytes = 0;
      this.#removeOld(1);
      this.#writer = new CheckpointWriter(this.#io, this.#state);
      return true;
    }
    if (!this.#writer.slice()) return true;
    this.#io.log.info('checkpoint written', { index: this.#writer.index });
    this.#writer = undefined;
    const older = listCheckpoints(this.#io.disk)[1];
    if (older !== undefined) this.#release(older);
    return false;
  }

  #removeOld(keep: number): void {
    const old = listCheckpoints(this.#io.disk).slice(keep);
    for (const index of old) this.#io.disk.remove(checkpointName(index));
    if (old.length > 0) this.#io.disk.syncDirectory();
  }
}
