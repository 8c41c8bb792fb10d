/**
 * Writes a checkpoint while writes go on. The state at the index is pinned: its revisions are
 * immutable, physical compaction pauses, and what changes in place (leases, sessions, alarms) is
 * copied at once. Each `slice` does a bounded piece: records, then reading the file back and checking
 * it. Then it is complete, under a temporary name that no process but this one knows; `publish` makes it
 * count.
 *
 * What is written is read from memory byte by byte, and its hash computed anew and compared with the one
 * that was kept write by write, of the records and of all else (reference/store.md section 8, rule 1): a
 * difference is StoreError CORRUPT, and then memory can no longer be trusted.
 */
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { isNoSpace } from '../disk/disk.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { Leases } from '../engine/leases.ts';
import { Roster } from '../engine/roster.ts';
import { Sessions } from '../engine/sessions.ts';
import type { SessionCopy } from '../engine/sessions.ts';
import type { StateMachine } from '../engine/state-machine.ts';
import type { Sha256 } from '../codec/digest.ts';
import {
  CHECKPOINT_CHUNK_BYTES,
  CHECKPOINT_CHUNK_BYTES_MAX,
  CHECKPOINT_CHUNK_BYTES_MIN,
  CHECKPOINT_KEYS_PER_SLICE,
  CHECKPOINT_SESSIONS_PER_SLICE,
  RESTORE_SLICE_RECORDS,
} from '../limits.ts';
import { successor } from '../mvcc/byte-range.ts';
import { NONE } from '../mvcc/records.ts';
import { HashSum, formatHash } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import { StoreError } from '../port.ts';
import { CHUNK_KIND, writeManifest, writeTrailer } from './format.ts';
import type { ChunkPlace, Manifest } from './format.ts';
import { verifyCheckpoint } from './read.ts';
import {
  readLeaseRow,
  readSessionRow,
  writeLeaseRows,
  writeRecordRow,
  writeSessionRow,
} from './rows.ts';

export interface CheckpointWriterOptions {
  readonly disk: Disk;
  readonly sha256: Sha256;
  readonly groupId: number;
  /** The file's name when it is complete. */
  readonly name: string;
  /** Frees space on a full disk; false when there is none left, and the checkpoint must fail. */
  readonly spare?: (() => boolean) | undefined;
}

/** Chance that a chunk ends behind a record is this times the record's bytes, of 2^32. */
const CUT_SCALE = 2 ** 32 / (CHECKPOINT_CHUNK_BYTES - CHECKPOINT_CHUNK_BYTES_MIN);

/** Bytes after which the file is synced, so that no sync has much to do. */
const SYNC_BYTES = 1024 * 1024;

export class CheckpointWriter {
  readonly #state: StateMachine;
  readonly #options: CheckpointWriterOptions;
  readonly #file: DiskFile;
  /** As of the index; the chunks are added as they are written. */
  readonly #manifest: Omit<Manifest, 'chunks'>;
  readonly #chunks: ChunkPlace[] = [];
  /** Hash of the records, as it was kept, and as it is computed now. */
  readonly #recordsHash: HashSum;
  readonly #hash = new HashSum();
  /** Of leases, sessions and members, as it was kept. */
  readonly #restHash: HashSum;
  readonly #out = new ByteWriter(CHECKPOINT_CHUNK_BYTES * 2);
  /** What changes in place, as it was at the index. */
  readonly #leases = new ByteWriter();
  readonly #leaseRows: number;
  readonly #sessions: readonly SessionCopy[];
  /** First key not yet looked at; undefined = all are. */
  #nextKey: Uint8Array | undefined = new Uint8Array(0);
  /** Records of the key before it that are not yet written. */
  #pending: readonly number[] = [];
  #pendingRead = 0;
  #rows = 0;
  #offset = 0;
  #syncedOffset = 0;
  #completion: Generator<void> | undefined;
  #isOpen = true;

  /** Starts a checkpoint of the state as it is now. */
  constructor(options: CheckpointWriterOptions, state: StateMachine) {
    this.#options = options;
    this.#state = state;
    this.#manifest = describe(state, options.groupId);
    this.#recordsHash = new HashSum();
    this.#recordsHash.set(state.mvcc.recordsHash);
    this.#restHash = restHash(state);
    this.#leaseRows = writeLeaseRows(this.#leases, state);
    this.#sessions = state.sessions.copies();
    this.#file = options.disk.create(this.#temporaryName);
    state.mvcc.pin(1);
  }

  get index(): number {
    return this.#manifest.index;
  }

  /** Of the state that it holds. */
  get hash(): Lanes {
    return this.#manifest.hash;
  }

  /** Given to the disk so far. */
  get bytes(): number {
    return this.#offset;
  }

  /** Does a bounded piece of work; true when the file is complete and durable. */
  slice(): boolean {
    if (this.#nextKey !== undefined || this.#pendingRead < this.#pending.length) {
      this.#writeRecords();
      return false;
    }
    this.#completion ??= this.#complete();
    if (this.#completion.next().done !== true) return false;
    this.#close();
    return true;
  }

  /** Gives the file, which is complete, its name: from now on it counts. */
  publish(): void {
    const { disk, name } = this.#options;
    disk.rename(this.#temporaryName, name);
    disk.syncDirectory();
  }

  /** Gives up, for instance on a full disk. */
  abandon(): void {
    this.#close();
    this.#options.disk.remove(this.#temporaryName);
  }

  get #temporaryName(): string {
    return `${this.#options.name}.tmp`;
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#state.mvcc.pin(-1);
    this.#file.close();
  }

  /** Writes records up to a bound of keys and of bytes. */
  #writeRecords(): void {
    const { keys } = this.#state.mvcc;
    let budget = CHECKPOINT_CHUNK_BYTES - this.#writePending(CHECKPOINT_CHUNK_BYTES);
    if (this.#nextKey === undefined || budget <= 0) return;
    const position = keys.seek(this.#nextKey);
    for (let count = CHECKPOINT_KEYS_PER_SLICE; budget > 0; count--) {
      const id = keys.next(position);
      if (id === NONE) {
        this.#nextKey = undefined;
        return;
      }
      const { revision, compactRevision } = this.#manifest;
      this.#pending = this.#state.mvcc.readable(id, revision, compactRevision);
      this.#pendingRead = 0;
      budget -= this.#writePending(budget);
      if (count > 1 && budget > 0) continue;
      // The smallest key behind this one; keys may come in between before the next slice.
      this.#nextKey = successor(keys.bytes(id));
      return;
    }
  }

  /** Writes pending records up to a bound of bytes; returns how many bytes there were. */
  #writePending(bytesMax: number): number {
    let bytes = 0;
    while (this.#pendingRead < this.#pending.length && bytes < bytesMax) {
      bytes += this.#writeRecord(this.#pending[this.#pendingRead++] as number); // Below length.
    }
    return bytes;
  }

  #writeRecord(record: number): number {
    const { mvcc } = this.#state;
    const start = this.#out.length;
    writeRecordRow(this.#out, mvcc, record);
    this.#rows++;
    const hash = mvcc.rehash(record);
    this.#hash.add(hash);
    const bytes = this.#out.length - start;
    const { length } = this.#out;
    const isCut = length >= CHECKPOINT_CHUNK_BYTES_MIN && hash.a < bytes * CUT_SCALE;
    if (isCut || length >= CHECKPOINT_CHUNK_BYTES_MAX) this.#endRecords();
    return bytes;
  }

  #endRecords(): void {
    if (this.#rows === 0) return;
    this.#writeChunk(CHUNK_KIND.records, this.#rows, this.#out.view());
    this.#out.truncate(0);
    this.#rows = 0;
  }

  #writeChunk(kind: number, rows: number, bytes: Uint8Array): void {
    this.#chunks.push({ kind, rows, length: bytes.length, sha256: this.#options.sha256(bytes) });
    this.#write(bytes);
    if (this.#offset - this.#syncedOffset < SYNC_BYTES) return;
    this.#file.sync();
    this.#syncedOffset = this.#offset;
  }

  /** Writes what comes behind the records, and reads the file back, a chunk per step. */
  *#complete(): Generator<void> {
    this.#endRecords();
    this.#compare(this.#hash, this.#recordsHash, 'records');
    const { version, format } = this.#manifest;
    const written = {
      leases: new Leases(),
      sessions: new Sessions(),
      roster: new Roster(),
      version,
    };
    for (const row of this.#manifest.roster) written.roster.set(row);
    const leases = new ByteReader(this.#leases.view());
    for (let i = 0; i < this.#leaseRows; i++) {
      if (i % RESTORE_SLICE_RECORDS === 0) yield;
      this.#decoded(() => readLeaseRow(leases, written));
    }
    if (this.#leaseRows > 0) {
      this.#writeChunk(CHUNK_KIND.leases, this.#leaseRows, this.#leases.view());
    }
    for (const [i, session] of this.#sessions.entries()) {
      if (i % CHECKPOINT_SESSIONS_PER_SLICE === 0) yield;
      const start = this.#out.length;
      writeSessionRow(this.#out, session);
      const row = new ByteReader(this.#out.view(), start);
      this.#decoded(() => readSessionRow(row, written));
    }
    this.#compare(restHash(written), this.#restHash, 'leases, sessions and members');
    if (this.#sessions.length > 0) {
      this.#writeChunk(CHUNK_KIND.sessions, this.#sessions.length, this.#out.view());
      this.#out.truncate(0);
    }
    writeManifest(this.#out, { ...this.#manifest, chunks: this.#chunks });
    const manifestBytes = this.#out.length;
    const sha256 = this.#options.sha256(this.#out.view());
    writeTrailer(this.#out, { format, manifestBytes, sha256 });
    this.#write(this.#out.view());
    this.#file.sync();
    yield;
    yield* verifyCheckpoint(this.#file, this.#temporaryName, this.#options.sha256);
  }

  #compare(found: HashSum, kept: HashSum, what: string): void {
    if (found.equals(kept)) return;
    const text = `memory holds ${what} with hash ${formatHash(found)} at entry ${this.index}`;
    throw new StoreError('CORRUPT', `${text}, not ${formatHash(kept)}`);
  }

  /** What no state holds was not in memory at any time. */
  #decoded(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const text = `memory holds what is no state at entry ${this.index}`;
      throw new StoreError('CORRUPT', text, { cause: error });
    }
  }

  #write(bytes: Uint8Array): void {
    for (;;) {
      try {
        this.#file.write(bytes, this.#offset);
        break;
      } catch (error) {
        if (!isNoSpace(error) || this.#options.spare?.() !== true) throw error;
      }
    }
    this.#offset += bytes.length;
  }
}

function restHash(of: Pick<StateMachine, 'leases' | 'sessions' | 'roster'>): HashSum {
  const sum = new HashSum();
  for (const { hash } of [of.leases, of.sessions, of.roster]) sum.add(hash);
  return sum;
}

function describe(state: StateMachine, groupId: number): Omit<Manifest, 'chunks'> {
  const { mvcc, quota, version, logBytes, checkpointMark, members } = state;
  return {
    groupId,
    index: state.appliedIndex,
    term: state.appliedTerm,
    revision: mvcc.revision,
    compactRevision: mvcc.compactRevision,
    quotaBytes: quota.setting,
    isFull: quota.isFull,
    logBytes,
    checkpointMark,
    hash: state.hash,
    members,
    roster: state.roster.all(),
    memory: quota.memory(),
    version,
    format: state.formats.checkpoint,
  };
}
