/**
 * Snapshots for clients of this member: a checkpoint that holds everything that was applied when it was
 * asked for, read in pieces while writes go on. Nothing is copied: the file is held open, and stays on disk
 * while it is read. Who falls silent loses it.
 */
import { must } from '#base/assert.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import type { CheckpointIo } from '../checkpoint/checkpoints.ts';
import { checkpointName } from '../checkpoint/format.ts';
import { listCheckpoints, loadManifest } from '../checkpoint/read.ts';
import type { DiskFile } from '../disk/disk.ts';
import {
  SNAPSHOTS_OPEN_MAX,
  SNAPSHOT_IDLE_TICKS,
  SNAPSHOT_PIECE_BYTES_MAX,
  SNAPSHOT_WAIT_TICKS,
} from '../limits.ts';
import { StoreError } from '../port.ts';
import type { SnapshotInfo } from '../port.ts';

export interface OpenedSnapshot extends SnapshotInfo {
  readonly handle: number;
}

export type Opened = (result: OpenedSnapshot | StoreError) => void;

interface Waiting {
  readonly owner: object;
  /** The checkpoint must hold this entry. */
  readonly index: number;
  readonly askedAt: number;
  readonly opened: Opened;
}

interface Open {
  readonly owner: object;
  readonly index: number;
  readonly file: DiskFile;
  usedAt: number;
}

export class Backups {
  readonly #io: CheckpointIo;
  readonly #open = new Map<number, Open>();
  #checkpoints: Checkpoints | undefined;
  #waiting: Waiting[] = [];
  #nextHandle: number;
  #ticks = 0;

  /** Handles start at random, so that none of an earlier process is taken for one of this. */
  constructor(io: CheckpointIo, firstHandle: number) {
    this.#io = io;
    this.#nextHandle = firstHandle;
  }

  /** Whose checkpoints they are. */
  attach(checkpoints: Checkpoints): void {
    this.#checkpoints = checkpoints;
  }

  /** Opens a checkpoint that holds entry `index`, which is applied; `opened` runs when it is there. */
  open(owner: object, index: number, opened: Opened): void {
    if (this.#open.size + this.#waiting.length >= SNAPSHOTS_OPEN_MAX) {
      opened(new StoreError('UNAVAILABLE', `${SNAPSHOTS_OPEN_MAX} snapshots are being read`));
      return;
    }
    this.#waiting.push({ owner, index, askedAt: this.#ticks, opened });
  }

  /** Whether a client reads the checkpoint of this index. */
  uses(index: number): boolean {
    return [...this.#open.values()].some((open) => open.index === index);
  }

  /** The bytes of a snapshot from `at`; throws INVALID_REQUEST, UNAVAILABLE. */
  read(owner: object, handle: number, { at, length }: { at: number; length: number }): Uint8Array {
    const open = this.#open.get(handle);
    if (open?.owner !== owner) throw new StoreError('UNAVAILABLE', 'snapshot was given up');
    if (length > SNAPSHOT_PIECE_BYTES_MAX) {
      throw new StoreError('INVALID_REQUEST', `${length} bytes of a snapshot at once`);
    }
    open.usedAt = this.#ticks;
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, open.file.read(bytes, at));
  }

  /** Nothing for a handle that is closed. */
  close(owner: object, handle: number): void {
    if (this.#open.get(handle)?.owner === owner) this.#close(handle);
  }

  /** A client is gone. */
  leave(owner: object): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.owner !== owner);
    for (const [handle, open] of this.#open) if (open.owner === owner) this.#close(handle);
  }

  tick(): void {
    this.#ticks++;
    for (const [handle, { usedAt }] of this.#open) {
      if (this.#ticks - usedAt >= SNAPSHOT_IDLE_TICKS) this.#close(handle);
    }
    for (const waiting of this.#waiting) {
      if (this.#ticks - waiting.askedAt < SNAPSHOT_WAIT_TICKS) continue;
      this.#end(waiting, new StoreError('UNAVAILABLE', 'no checkpoint could be written'));
    }
  }

  /** Serves who waits, once a checkpoint reaches far enough. */
  pump(): void {
    if (this.#waiting.length === 0) return;
    const newest = listCheckpoints(this.#io.disk)[0] ?? 0;
    for (const waiting of this.#waiting) {
      if (waiting.index <= newest) this.#serve(waiting, newest);
    }
    if (this.#waiting.length > 0) must(this.#checkpoints, 'they were attached').want();
  }

  end(): void {
    for (const handle of this.#open.keys()) this.#close(handle);
  }

  #serve(waiting: Waiting, index: number): void {
    const name = checkpointName(index);
    const file = this.#io.disk.open(name);
    try {
      const { groupId, revision } = loadManifest(file, name, this.#io.sha256);
      const handle = this.#nextHandle++;
      const { owner } = waiting;
      this.#open.set(handle, { owner, index, file, usedAt: this.#ticks });
      this.#end(waiting, { handle, groupId, revision, index, bytes: file.size });
    } catch (error) {
      file.close();
      if (!(error instanceof StoreError)) throw error;
      this.#end(waiting, error);
    }
  }

  /** Whoever goes through the waiting goes on with those of before. */
  #end(waiting: Waiting, result: OpenedSnapshot | StoreError): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting);
    waiting.opened(result);
  }

  #close(handle: number): void {
    this.#open.get(handle)?.file.close();
    this.#open.delete(handle);
  }
}
