/**
 * Writes a checkpoint while writes go on. The state at the index is pinned: its revisions are
 * immutable, physical compaction pauses, and what changes in place (leases, alarms) is copied in the
 * first slice. Each `slice` does a bounded piece: records, then reading the file back and checking
 * it, then the rename that makes it count.
 */
import { assert } from '#base/assert.ts';
import { ByteWriter } from '../codec/bytes.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import type { StateMachine } from '../engine/state-machine.ts';
import {
  CHECKPOINT_CHUNKS_VERIFIED_PER_SLICE,
  CHECKPOINT_CHUNK_BYTES,
  CHECKPOINT_KEYS_PER_SLICE,
} from '../limits.ts';
import { NONE } from '../mvcc/records.ts';
import { HashSum, formatHash } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import { StoreError } from '../port.ts';
import {
  CHECKPOINT_FORMAT_VERSION,
  CHECKPOINT_MAGIC,
  CHUNK_HEADER_BYTES,
  CHUNK_KIND,
  checkpointName,
} from './format.ts';
import { verifyCheckpoint } from './read.ts';

export class CheckpointWriter {
  readonly index: number;
  readonly #state: StateMachine;
  readonly #disk: Disk;
  readonly #crc32: Crc32;
  readonly #file: DiskFile;
  readonly #temporaryName: string;
  readonly #revision: number;
  readonly #compactRevision: number;
  /** Of all readable records, as it was kept while they were written, and as it is computed now. */
  readonly #wantedHash: Lanes;
  readonly #hash = new HashSum();
  readonly #out = new ByteWriter(CHECKPOINT_CHUNK_BYTES * 2);
  /** First key not yet written; undefined = all are. */
  #nextKey: Uint8Array | undefined = new Uint8Array(0);
  #countAt = 0;
  #chunkRecords = 0;
  #records = 0;
  #offset = 0;
  #syncedOffset = 0;
  #crc = 0;
  #verification: Generator<void> | undefined;

  constructor(io: { disk: Disk; crc32: Crc32 }, state: StateMachine) {
    this.index = state.appliedIndex;
    this.#state = state;
    this.#disk = io.disk;
    this.#crc32 = io.crc32;
    this.#revision = state.mvcc.revision;
    this.#compactRevision = state.mvcc.compactRevision;
    this.#wantedHash = state.mvcc.recordsHash;
    this.#temporaryName = `${checkpointName(this.index)}.tmp`;
    this.#file = this.#disk.create(this.#temporaryName);
    state.mvcc.pin(1);
    try {
      this.#writeHeader();
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** Does a bounded piece of work; true when the checkpoint is complete and durable. */
  slice(): boolean {
    if (this.#nextKey !== undefined) {
      this.#writeKeys(this.#nextKey);
      return false;
    }
    this.#verification ??= this.#writeEnd();
    for (let i = 0; i < CHECKPOINT_CHUNKS_VERIFIED_PER_SLICE; i++) {
      if (this.#verification.next().done === true) {
        this.#publish();
        return true;
      }
    }
    return false;
  }

  /** Gives up, for instance on a full disk. */
  abandon(): void {
    this.#state.mvcc.pin(-1);
    this.#file.close();
    this.#disk.remove(this.#temporaryName);
  }

  #writeHeader(): void {
    const { leases, quotaBytes, noSpace, appliedTerm } = this.#state;
    const out = this.#beginChunk(CHUNK_KIND.header);
    out.latin1(CHECKPOINT_MAGIC);
    out.varint(CHECKPOINT_FORMAT_VERSION);
    out.varint(this.index);
    out.varint(appliedTerm);
    out.varint(this.#revision);
    out.varint(this.#compactRevision);
    out.varint(quotaBytes);
    out.u8(noSpace ? 1 : 0);
    const { hash } = this.#state;
    out.u32(hash.a);
    out.u32(hash.b);
    out.varint(leases.size);
    for (const lease of leases.all()) {
      out.varint(lease.id);
      out.varint(lease.ttlSeconds);
      out.varint(Math.round(lease.remainingMs));
    }
    this.#endChunk();
  }

  #writeKeys(from: Uint8Array): void {
    const { keys } = this.#state.mvcc;
    const position = keys.seek(from);
    this.#beginRecords();
    for (let i = 0; i < CHECKPOINT_KEYS_PER_SLICE; i++) {
      const id = keys.next(position);
      if (id === NONE) {
        this.#nextKey = undefined;
        break;
      }
      this.#writeKey(id);
      // The smallest key behind this one; keys may come in between before the next slice.
      if (i === CHECKPOINT_KEYS_PER_SLICE - 1) this.#nextKey = successor(keys.bytes(id));
    }
    this.#endRecords();
    if (this.#offset - this.#syncedOffset > CHECKPOINT_CHUNK_BYTES * 4) this.#sync();
  }

  #writeKey(id: number): void {
    const { mvcc } = this.#state;
    for (const record of mvcc.readable(id, this.#revision, this.#compactRevision)) {
      this.#hash.add(mvcc.rehash(record));
      this.#writeRecord(record);
    }
  }

  #writeRecord(record: number): void {
    const { mvcc } = this.#state;
    const { mod, sub, create, version, lease } = mvcc.records;
    if (this.#out.length > CHECKPOINT_CHUNK_BYTES) {
      this.#endRecords();
      this.#beginRecords();
    }
    const out = this.#out;
    out.bytes(mvcc.key(record));
    out.bytes(mvcc.value(record));
    out.varint(mod[record] as number); // Kept records are in bounds.
    out.varint(sub[record] as number); // Same.
    out.varint(create[record] as number); // Same.
    out.varint(version[record] as number); // Same.
    out.varint(lease[record] as number); // Same.
    this.#chunkRecords++;
  }

  #writeEnd(): Generator<void> {
    // What was written, read from memory byte by byte, against what was counted write by write.
    if (!this.#hash.equals(this.#wantedHash)) {
      const text = `memory holds records with hash ${formatHash(this.#hash)} at entry ${this.index}`;
      throw new StoreError('CORRUPT', `${text}, not ${formatHash(this.#wantedHash)}`);
    }
    const out = this.#beginChunk(CHUNK_KIND.end);
    out.varint(this.#records);
    this.#endChunk();
    this.#sync();
    return verifyCheckpoint(this.#file, this.#temporaryName, this.#crc32);
  }

  #publish(): void {
    this.#file.close();
    this.#disk.rename(this.#temporaryName, checkpointName(this.index));
    this.#disk.syncDirectory();
    this.#state.mvcc.pin(-1);
  }

  #sync(): void {
    this.#file.sync();
    this.#syncedOffset = this.#offset;
  }

  #beginRecords(): void {
    const out = this.#beginChunk(CHUNK_KIND.records);
    this.#countAt = out.varintGap();
    this.#chunkRecords = 0;
  }

  #endRecords(): void {
    this.#out.fillVarint(this.#countAt, this.#chunkRecords);
    this.#records += this.#chunkRecords;
    this.#endChunk();
  }

  #beginChunk(kind: number): ByteWriter {
    this.#out.truncate(0);
    this.#out.zeros(CHUNK_HEADER_BYTES);
    this.#out.u8(kind);
    return this.#out;
  }

  #endChunk(): void {
    const chunk = this.#out.view();
    this.#crc = this.#crc32(chunk.subarray(CHUNK_HEADER_BYTES), this.#crc);
    this.#out.patchU32(0, chunk.length - CHUNK_HEADER_BYTES);
    this.#out.patchU32(4, this.#crc);
    this.#file.write(chunk, this.#offset);
    this.#offset += chunk.length;
    assert(chunk.length > CHUNK_HEADER_BYTES, 'a chunk has a kind');
  }
}

function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
