/**
 * Leases as replicated state: which exist, how long they run, which keys hang on them. Time is not
 * part of it; the leader counts it down (engine/lessor.ts). A lease's id is the log index that
 * granted it, so ids are never used again.
 */
import { assert } from '#base/assert.ts';

export interface Lease {
  readonly id: number;
  readonly ttlSeconds: number;
  /** What was left when it was last written to the log; a new leader starts from it. */
  remainingMs: number;
  readonly keyIds: Set<number>;
}

export class Leases {
  readonly #leases = new Map<number, Lease>();

  get size(): number {
    return this.#leases.size;
  }

  get(id: number): Lease | undefined {
    return this.#leases.get(id);
  }

  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  grant(id: number, ttlSeconds: number, remainingMs = ttlSeconds * 1000): Lease {
    assert(!this.#leases.has(id), `lease ${id} is new`);
    const lease = { id, ttlSeconds, remainingMs, keyIds: new Set<number>() };
    this.#leases.set(id, lease);
    return lease;
  }

  remove(id: number): void {
    this.#leases.delete(id);
  }

  attach(id: number, keyId: number): void {
    this.#leases.get(id)?.keyIds.add(keyId);
  }

  detach(id: number, keyId: number): void {
    this.#leases.get(id)?.keyIds.delete(keyId);
  }
}
