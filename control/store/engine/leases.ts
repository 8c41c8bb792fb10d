/**
 * Leases as replicated state: which exist, how long they run, which keys hang on them. Time is not
 * part of it; the leader counts it down (engine/lessor.ts). A lease's id is the log index that
 * granted it, so ids are never used again.
 */
import { assert } from '#base/assert.ts';
import { HashMixer, HashSum } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';

export interface Lease {
  readonly id: number;
  readonly ttlSeconds: number;
  /** What was left when it was last written to the log; a new leader starts from it. */
  readonly remainingMs: number;
  /** How often that was written: whoever decided from an earlier one is refused. */
  readonly generation: number;
  readonly keyIds: Set<number>;
}

export type LeaseLeft = Pick<Lease, 'remainingMs' | 'generation'>;

/** Kind of part, for the mixer. */
const LEASE_PART = 2;

export class Leases {
  readonly #leases = new Map<number, Lease & { remainingMs: number; generation: number }>();
  readonly #hash = new HashSum();
  readonly #mixer = new HashMixer();

  /** Sum of the hashes of the leases. Which keys hang on them follows from the records. */
  get hash(): Lanes {
    return this.#hash;
  }

  get size(): number {
    return this.#leases.size;
  }

  get(id: number): Lease | undefined {
    return this.#leases.get(id);
  }

  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  grant(id: number, ttlSeconds: number, left: Partial<LeaseLeft> = {}): Lease {
    const { remainingMs = ttlSeconds * 1000, generation = 0 } = left;
    assert(!this.#leases.has(id), `lease ${id} is new`);
    const lease = { id, ttlSeconds, remainingMs, generation, keyIds: new Set<number>() };
    this.#leases.set(id, lease);
    this.#hash.add(this.#part(lease));
    return lease;
  }

  remove(id: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#hash.subtract(this.#part(lease));
    this.#leases.delete(id);
  }

  /** What is left of a lease, as the log says; nothing for one that is gone. */
  setRemaining(id: number, remainingMs: number, isCounted: boolean): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#hash.subtract(this.#part(lease));
    lease.remainingMs = remainingMs;
    if (isCounted) lease.generation++;
    this.#hash.add(this.#part(lease));
  }

  attach(id: number, keyId: number): void {
    this.#leases.get(id)?.keyIds.add(keyId);
  }

  detach(id: number, keyId: number): void {
    this.#leases.get(id)?.keyIds.delete(keyId);
  }

  #part(lease: Lease): Lanes {
    const { id, ttlSeconds, remainingMs, generation } = lease;
    const mixer = this.#mixer.begin(LEASE_PART).number(id).number(ttlSeconds).number(remainingMs);
    // Groups whose version knows no generations have the hash of before.
    return generation === 0 ? mixer : mixer.number(generation);
  }
}
