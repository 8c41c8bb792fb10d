/**
 * The multi-version key space: every kept version of every key, by revision. Pure and synchronous;
 * the state machine (engine/state-machine.ts) drives it with decoded commands and writes replies
 * from what it returns.
 *
 * A write transaction runs between `begin` and `end`; its writes share one revision, and reads in
 * between see them. A fresh store is at revision 1. Compaction is logical at once (`compact`) and
 * physical in slices (`compactSlice`): of what lies at or below the compact revision, each key keeps
 * its newest record, unless that is a tombstone below the compact revision (etcd #19179: one exactly
 * at it stays, watchers that start there need it).
 */
import { assert } from '#base/assert.ts';
import type { Crc32 } from '../codec/digest.ts';
import {
  COMPACTION_KEYS_PER_SLICE,
  RELOCATION_BYTES_PER_SLICE,
  RESTORE_SLICE_RECORDS,
} from '../limits.ts';
import type { ByteRange } from './byte-range.ts';
import { HashLedger } from './hash-ledger.ts';
import { History } from './history.ts';
import { type KeyPosition, Keys, hashOf } from './keys.ts';
import { NONE, Records } from './records.ts';
import { NO_ADDRESS, Slabs } from './slab.ts';
import { sortInSlices } from './sort-slices.ts';
import type { Lanes } from './state-hash.ts';

export interface RangeLimits {
  readonly revision: number;
  /** Of the writes of that revision itself only those before this one count; absent = all. */
  readonly subEnd?: number | undefined;
  /** 0 = no limit. */
  readonly limit: number;
}

export class Mvcc {
  readonly keys = new Keys();
  readonly records = new Records();
  readonly history = new History();
  readonly #values: Slabs;
  #revision = 1;
  #compactRevision = 0;
  #liveKeys = 0;
  #liveBytes = 0;
  /** Revision of the running transaction's writes, 0 when it wrote nothing so far. */
  #writeRevision = 0;
  #writeCount = 0;
  #compacting = false;
  /** Next history position that physical compaction looks at. */
  #trimPosition = 0;
  #relocating = false;
  #pins = 0;
  readonly #hashes: HashLedger;

  constructor(crc32: Crc32) {
    const { records: rows, keys, history } = this;
    this.#hashes = new HashLedger({ records: rows, keys, history, crc32 });
    const records = this.records;
    this.#values = new Slabs({
      addressOf: (record) => records.address[record] ?? NO_ADDRESS,
      moved: (record, address) => {
        records.address[record] = address;
      },
    });
    this.keys.liveOf = (id) => this.#isLive(id);
  }

  /** Revision of the last write, the running transaction's own included. */
  get revision(): number {
    return this.#writeRevision === 0 ? this.#revision : this.#writeRevision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  get keyCount(): number {
    return this.#liveKeys;
  }

  /** Bytes of the newest version of live keys: keys and values. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Sum of the hashes of all readable records: live ones, and the kept history. */
  get recordsHash(): Lanes {
    return this.#hashes.sum;
  }

  /** Bytes of all records that are not freed yet, their keys included. */
  get storedBytes(): number {
    return this.#values.liveBytes + this.keys.storedBytes;
  }

  /** True while there is something that compaction has made unreadable and not yet freed. */
  get isCompacting(): boolean {
    return this.#compacting;
  }

  get reservedBytes(): number {
    return this.#values.reservedBytes + this.keys.reservedBytes;
  }

  /** Ends the transaction; its revision becomes the store's if it wrote, which is the result. */
  end(): boolean {
    const wrote = this.#writeRevision !== 0;
    if (wrote) this.#revision = this.#writeRevision;
    this.#writeRevision = 0;
    this.#writeCount = 0;
    return wrote;
  }

  /** The living record of `key` now, or NONE. */
  current(key: Uint8Array): number {
    const id = this.keys.find(key);
    return id === NONE ? NONE : this.#living(this.keys.head[id] as number); // Of a known key.
  }

  /** Writes a version of `key` and returns its record. */
  put(key: Uint8Array, value: Uint8Array, lease: number): number {
    let id = this.keys.find(key);
    if (id === NONE) id = this.keys.add(key);
    const old = this.keys.head[id] as number; // Of a known key.
    const lived = this.#isLive(id);
    const record = this.#append(id);
    const records = this.records;
    records.create[record] = lived ? (records.create[old] as number) : this.#writeRevision;
    records.version[record] = lived ? (records.version[old] as number) + 1 : 1;
    records.lease[record] = lease;
    records.size[record] = value.length;
    records.address[record] = this.#values.add(record, value, 0, value.length);
    this.#hashes.take(record, value);
    this.#hashes.pushHistory(record);
    if (lived) {
      this.#liveBytes += value.length - (records.size[old] as number);
    } else {
      this.#liveBytes += value.length + key.length;
      this.#liveKeys++;
      this.keys.addLive(id, 1);
    }
    return record;
  }

  /** Deletes a living key by its id and returns the record that it had. */
  delete(id: number): number {
    const old = this.#living(this.keys.head[id] as number); // Of a known key.
    assert(old !== NONE, 'only a living key is deleted');
    const record = this.#append(id);
    this.records.create[record] = 0;
    this.records.version[record] = 0;
    this.records.lease[record] = 0;
    this.records.size[record] = 0;
    this.records.address[record] = NO_ADDRESS;
    this.#hashes.take(record, NO_BYTES);
    this.#hashes.pushHistory(record);
    this.#liveBytes -= (this.records.size[old] as number) + this.keys.size(id);
    this.#liveKeys--;
    this.keys.addLive(id, -1);
    return old;
  }

  /**
   * Calls `visit` with the living record of each key of the range at a revision that is kept, in key
   * order, up to the limit; returns the number of keys in the range whatever the limit.
   */
  scan(range: ByteRange, limits: RangeLimits, visit: (record: number) => void): number {
    if (range.end === undefined) {
      const id = this.keys.find(range.start);
      const record = id === NONE ? NONE : this.#at(id, limits);
      if (record !== NONE) visit(record);
      return record === NONE ? 0 : 1;
    }
    const position = this.keys.seek(range.start);
    const end = range.end.length === 0 ? this.keys.end() : this.keys.seek(range.end);
    const latest = limits.revision >= this.revision && limits.subEnd === undefined;
    const most = limits.limit === 0 ? Number.MAX_SAFE_INTEGER : limits.limit;
    let count = 0;
    while (isBefore(position, end)) {
      if (latest && count >= most) {
        return count + this.keys.countLive(position, end, (id) => this.#isLive(id));
      }
      const record = this.#at(this.keys.next(position), limits);
      if (record === NONE) continue;
      if (count < most) visit(record);
      count++;
    }
    return count;
  }

  /** Number of keys in the range at a kept revision. */
  count(range: ByteRange, point: Omit<RangeLimits, 'limit'>): number {
    const latest = point.revision >= this.revision && point.subEnd === undefined;
    if (range.end !== undefined && latest) {
      const end = range.end.length === 0 ? this.keys.end() : this.keys.seek(range.end);
      return this.keys.countLive(this.keys.seek(range.start), end, (id) => this.#isLive(id));
    }
    return this.scan(range, { ...point, limit: 0 }, () => {});
  }

  /** The record that `record` replaced, if it lived and is still readable; else NONE. */
  previous(record: number): number {
    if ((this.records.mod[record] as number) <= this.#compactRevision) return NONE;
    return this.#living(this.records.prev[record] as number);
  }

  key(record: number): Uint8Array {
    return this.keys.bytes(this.records.keyId[record] as number); // Of a kept record.
  }

  /** The value of a record, as a view that is valid until the next write or slice of compaction. */
  value(record: number): Uint8Array {
    const address = this.records.address[record] as number; // Of a kept record.
    if (address === NO_ADDRESS) return NO_BYTES;
    const at = this.#values.offset(address);
    return this.#values.bytesOf(address).subarray(at, at + (this.records.size[record] as number));
  }

  /** Goes on from a revision that is ahead, as if there had been so many writes. */
  skipTo(revision: number): void {
    assert(revision > this.revision && this.#writeRevision === 0, 'a store skips ahead only');
    this.#revision = revision;
  }

  /** Makes history below `revision` unreadable. The caller has checked its bounds. */
  compact(revision: number): void {
    assert(revision > this.#compactRevision, 'compaction moves forward');
    assert(revision <= this.revision, 'compaction stays behind the present');
    this.#compactRevision = revision;
    this.#compacting = true;
    this.#trimPosition = this.history.first;
    this.#hashes.compact(revision);
  }

  /** Hash of a record from its bytes as they are in memory now; valid until the next change. */
  rehash(record: number): Lanes {
    return this.#hashes.hash(record, hashOf(this.key(record)), this.value(record));
  }

  /**
   * The records of a key that can be read at `revision` when everything below `compactRevision` is
   * compacted, from old to new; some may not be freed yet, and there may be newer ones.
   */
  readable(id: number, revision: number, compactRevision: number): number[] {
    const { mod, prev, version } = this.records;
    const found: number[] = [];
    let record = this.keys.head[id] as number; // Of a known key.
    for (; record !== NONE; record = prev[record] as number) {
      const changed = mod[record] as number; // Chains are in bounds.
      if (changed > revision) continue;
      const isDeleted = version[record] === 0;
      if (changed >= compactRevision || !isDeleted) found.push(record);
      if (changed <= compactRevision) break;
    }
    return found.reverse();
  }

  /** While the count of pins is above zero, nothing that exists is freed or moved. */
  pin(change: 1 | -1): void {
    this.#pins += change;
    assert(this.#pins >= 0, 'pins are balanced');
  }

  /** Frees what compaction made unreadable, a bounded slice at a time; true = more to do. */
  compactSlice(): boolean {
    if (this.#pins > 0) return false;
    if (this.#compacting) this.#trimSlice();
    else if (this.#relocating) {
      const values = this.#values.relocateSlice(RELOCATION_BYTES_PER_SLICE);
      const keys = this.keys.relocateSlice(RELOCATION_BYTES_PER_SLICE);
      this.#relocating = values || keys;
    }
    return this.#compacting || this.#relocating;
  }

  /** Adds a record of a checkpoint; records of one key come from old to new. */
  restoreRecord(row: RestoredRecord): number {
    let id = this.keys.find(row.key);
    if (id === NONE) id = this.keys.add(row.key);
    const lived = this.#isLive(id);
    const old = this.keys.head[id] as number; // Of a known key.
    assert(old === NONE || (this.records.mod[old] as number) < row.mod, 'restored in order');
    if (lived) this.#liveBytes -= (this.records.size[old] as number) + row.key.length;
    const record = this.records.allocate();
    const records = this.records;
    records.keyId[record] = id;
    records.mod[record] = row.mod;
    records.sub[record] = row.sub;
    records.create[record] = row.create;
    records.version[record] = row.version;
    records.lease[record] = row.lease;
    records.prev[record] = old;
    records.size[record] = row.value.length;
    records.address[record] = this.#values.add(record, row.value, 0, row.value.length);
    this.#hashes.take(record, row.value);
    this.keys.head[id] = record;
    const lives = row.version !== 0;
    if (lives) this.#liveBytes += row.value.length + row.key.length;
    if (lives !== lived) {
      this.keys.addLive(id, lives ? 1 : -1);
      this.#liveKeys += lives ? 1 : -1;
    }
    return record;
  }

  /** Before a restore: makes room for so many records, so that none of them waits for it. */
  expect(records: number): void {
    this.records.expect(records);
    this.keys.expect(records);
  }

  /**
   * Finishes a restore, in slices: sets the revisions and the history, whose records come in any order.
   */
  *restoreEnd(
    revision: number,
    compactRevision: number,
    records: readonly number[],
  ): Generator<void> {
    const { mod, sub } = this.records;
    this.#revision = revision;
    this.#compactRevision = compactRevision;
    const kept = new Uint32Array(records.length);
    let count = 0;
    for (const [i, record] of records.entries()) {
      if (i % RESTORE_SLICE_RECORDS === 0) yield;
      if ((mod[record] as number) >= compactRevision) kept[count++] = record; // Just restored.
    }
    const by = (column: Float64Array | Uint32Array, a: number, b: number) =>
      (column[a] as number) - (column[b] as number); // Restored rows are in bounds.
    const sorted = kept.subarray(0, count);
    yield* sortInSlices(sorted, (a, b) => by(mod, a, b) || by(sub, a, b));
    for (const [i, record] of sorted.entries()) {
      if (i % RESTORE_SLICE_RECORDS === 0) yield;
      this.#hashes.pushHistory(record);
    }
    this.#hashes.compact(compactRevision);
  }

  #append(id: number): number {
    if (this.#writeRevision === 0) this.#writeRevision = this.#revision + 1;
    const old = this.keys.head[id] as number; // Of a known key.
    assert(this.records.mod[old] !== this.#writeRevision, 'a key changes once per revision');
    const record = this.records.allocate();
    this.records.keyId[record] = id;
    this.records.mod[record] = this.#writeRevision;
    this.records.sub[record] = this.#writeCount++;
    this.records.prev[record] = old;
    this.keys.head[id] = record;
    return record;
  }

  #isLive(id: number): boolean {
    return this.records.version[this.keys.head[id] as number] !== 0; // NONE has version 0.
  }

  #living(record: number): number {
    return record !== NONE && this.records.version[record] !== 0 ? record : NONE;
  }

  #at(id: number, { revision, subEnd }: RangeLimits): number {
    const { mod, prev, sub } = this.records;
    let record = this.keys.head[id] as number; // Of a known key.
    while (record !== NONE) {
      const changed = mod[record] as number; // Chains are in bounds.
      if (changed < revision) break;
      if (changed === revision && (subEnd === undefined || (sub[record] as number) < subEnd)) break;
      record = prev[record] as number; // Same.
    }
    return this.#living(record);
  }

  #trimSlice(): void {
    const { mod, version } = this.records;
    const stop = Math.min(this.history.end, this.#trimPosition + COMPACTION_KEYS_PER_SLICE);
    let position = this.#trimPosition;
    for (; position < stop; position++) {
      const record = this.history.at(position);
      const revision = mod[record] as number; // Of a kept record.
      if (revision > this.#compactRevision) break;
      this.#freeOlder(record);
      // Entries at the compact revision stay for watches that start there; a few at most.
      if (revision === this.#compactRevision) continue;
      this.history.shift();
      const id = this.records.keyId[record] as number; // Of a kept record.
      // A newer version of the key frees this tombstone later, when it is compacted itself.
      if (version[record] === 0 && this.keys.head[id] === record) {
        this.#release(record);
        this.keys.head[id] = NONE;
        this.keys.drop(id);
      }
    }
    this.#trimPosition = position;
    if (position < stop || position === this.history.end) {
      this.#compacting = false;
      this.#relocating = true;
    }
  }

  #freeOlder(record: number): void {
    let older = this.records.prev[record] as number; // Chains are in bounds.
    this.records.prev[record] = NONE;
    while (older !== NONE) {
      const next = this.records.prev[older] as number; // Same.
      this.#release(older);
      older = next;
    }
  }

  #release(record: number): void {
    this.#values.free(this.records.address[record] as number, this.records.size[record] as number);
    this.records.address[record] = NO_ADDRESS;
    this.records.release(record);
  }
}

export interface RestoredRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly mod: number;
  readonly sub: number;
  readonly create: number;
  readonly version: number;
  readonly lease: number;
}

const NO_BYTES = new Uint8Array(0);

function isBefore(position: KeyPosition, end: KeyPosition): boolean {
  return position.chunk < end.chunk || (position.chunk === end.chunk && position.slot < end.slot);
}
