/**
 * Keeps the sum of the hashes of all readable records: a record comes in when it is written, and goes
 * out when a compaction makes it unreadable, at once, though it is freed later and bit by bit. What a
 * compaction drops is read off the history's running sums: the version that an entry replaced, by
 * compactions at or above the entry's revision; a tombstone itself, by those above it.
 */
import type { Crc32 } from '../codec/digest.ts';
import type { History } from './history.ts';
import type { Keys } from './keys.ts';
import { NONE } from './records.ts';
import type { Records } from './records.ts';
import { HashMixer, HashSum } from './state-hash.ts';
import type { Lanes } from './state-hash.ts';

/** Kind of part, for the mixer. */
const RECORD_PART = 1;

export class HashLedger {
  readonly #records: Records;
  readonly #keys: Keys;
  readonly #history: History;
  readonly #crc32: Crc32;
  readonly #mixer = new HashMixer();
  /** Of all records ever written, and of those among them that compaction dropped. */
  readonly #written = new HashSum();
  readonly #dropped = new HashSum();

  constructor(parts: { records: Records; keys: Keys; history: History; crc32: Crc32 }) {
    this.#records = parts.records;
    this.#keys = parts.keys;
    this.#history = parts.history;
    this.#crc32 = parts.crc32;
  }

  get sum(): Lanes {
    const sum = new HashSum();
    sum.add(this.#written);
    sum.subtract(this.#dropped);
    return sum;
  }

  /** Takes in a record whose columns are complete. */
  take(record: number, value: Uint8Array): void {
    const keyHash = this.#keys.hash(this.#records.keyId[record] as number); // Just written.
    const hash = this.hash(record, keyHash, value);
    this.#records.setHash(record, hash);
    this.#written.add(hash);
  }

  pushHistory(record: number): void {
    const records = this.#records;
    const old = records.prev[record] as number; // Chains are in bounds.
    // A tombstone that is replaced was accounted for with its own entry.
    if (old !== NONE && records.version[old] !== 0) this.#history.drop(records.hash(old));
    if (records.version[record] === 0) this.#history.drop(records.hash(record));
    this.#history.push(record);
  }

  /** A compaction at `revision` drops what it makes unreadable. */
  compact(revision: number): void {
    const records = this.#records;
    const history = this.#history;
    let position = history.seek(revision + 1, records.mod);
    this.#dropped.set(history.droppedBefore(position));
    while (position > history.first) {
      const record = history.at(--position);
      if (records.mod[record] !== revision) return;
      if (records.version[record] === 0) this.#dropped.subtract(records.hash(record));
    }
  }

  /** The hash of a record from its parts; valid until the next call. */
  hash(record: number, keyHash: number, value: Uint8Array): Lanes {
    const { mod, sub, create, version, lease } = this.#records;
    return this.#mixer
      .begin(RECORD_PART)
      .u32(keyHash)
      .u32(value.length)
      .u32(value.length === 0 ? 0 : this.#crc32(value, 0))
      .number(mod[record] as number) // A row that exists.
      .u32(sub[record] as number) // Same.
      .number(create[record] as number) // Same.
      .u32(version[record] as number) // Same.
      .number(lease[record] as number); // Same.
  }
}
