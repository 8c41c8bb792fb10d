/**
 * Counts leases down on the leader's monotonic clock. A lease that is new to this leader starts with
 * what the log says is left, so it may live longer across leaders, never shorter. Deadlines are
 * memory only; every minute, and soon after a leader began, the remaining times go into the log, so that
 * crash loops do not keep leases for ever (reference/store.md section 8, rule 7). A lease of which the log
 * says that less is left is renewed in the log, or the promise would end with its leader.
 * Invariant: a lease whose revocation was proposed is never renewed by this leader. A revocation names the
 * generation of the lease that it was decided on; should the log have counted on meanwhile, it is refused,
 * and decided anew.
 */
import type { Lease, Leases } from './leases.ts';

const CHECKPOINT_INTERVAL_MS = 60_000;
/** Of a new leader: leaders that do not live for a minute must count, too. */
const CHECKPOINT_FIRST_MS = 10_000;
/** Revocations proposed in one tick; the rest waits for the next. */
const REVOKES_PER_TICK_MAX = 1000;
/** A revocation that did not come through (term change) is proposed again after this. */
const REVOKE_RETRY_MS = 10_000;

export interface LessorTick {
  readonly revoke: readonly Lease[];
  /** Leases with the time that is left, to be written to the log; empty when not due. */
  readonly checkpoint: readonly { readonly id: number; readonly remainingMs: number }[];
}

export class Lessor {
  readonly #state: { readonly leases: Leases };
  /** A new leader adds this: the old one may have renewed up to an election ago. */
  readonly #electionMs: number;
  readonly #deadlines = new Map<number, number>();
  /** By lease: when, and on which generation. */
  readonly #revoking = new Map<number, { readonly atMs: number; readonly generation: number }>();
  #term = -1;
  #checkpointAtMs = 0;

  constructor(state: { readonly leases: Leases }, electionMs: number) {
    this.#state = state;
    this.#electionMs = electionMs;
  }

  /** Starts over for a term that this member leads. */
  lead(term: number, nowMs: number): void {
    if (term === this.#term) return;
    this.#term = term;
    this.#deadlines.clear();
    this.#revoking.clear();
    this.#checkpointAtMs = nowMs + CHECKPOINT_FIRST_MS;
    for (const lease of this.#state.leases.all()) {
      this.#deadlines.set(lease.id, nowMs + lease.remainingMs + this.#electionMs);
    }
  }

  /** The lease, which has its whole time again; undefined when it is gone or going. */
  renew(id: number, nowMs: number): Lease | undefined {
    const lease = this.#state.leases.get(id);
    if (lease === undefined || this.#revoking.has(id)) return undefined;
    this.#deadlines.set(id, nowMs + lease.ttlSeconds * 1000);
    return lease;
  }

  /** A revocation of `id` was proposed. */
  revoking({ id, generation }: Lease, nowMs: number): void {
    this.#revoking.set(id, { atMs: nowMs, generation });
  }

  tick(nowMs: number): LessorTick {
    for (const id of this.#deadlines.keys()) {
      if (this.#state.leases.get(id) !== undefined) continue;
      this.#deadlines.delete(id);
      this.#revoking.delete(id);
    }
    const revoke: Lease[] = [];
    for (const lease of this.#state.leases.all()) {
      const deadline = this.#deadlines.get(lease.id);
      if (deadline === undefined) {
        this.#deadlines.set(lease.id, nowMs + lease.remainingMs);
      } else if (deadline <= nowMs && revoke.length < REVOKES_PER_TICK_MAX) {
        const proposed = this.#revoking.get(lease.id);
        const isUnderWay =
          proposed?.generation === lease.generation && nowMs - proposed.atMs <= REVOKE_RETRY_MS;
        if (!isUnderWay) revoke.push(lease);
      }
    }
    return { revoke, checkpoint: this.#dueCheckpoint(nowMs) };
  }

  #dueCheckpoint(nowMs: number): { id: number; remainingMs: number }[] {
    if (nowMs < this.#checkpointAtMs) return [];
    this.#checkpointAtMs = nowMs + CHECKPOINT_INTERVAL_MS;
    const rows: { id: number; remainingMs: number }[] = [];
    for (const [id, deadlineMs] of this.#deadlines) {
      const lease = this.#state.leases.get(id);
      const leftMs = Math.max(0, Math.round(deadlineMs - nowMs));
      // Unchanged leases stay out of the log.
      if (lease === undefined || this.#revoking.has(id)) continue;
      // What an election added is no part of it.
      const remainingMs = Math.min(leftMs, lease.ttlSeconds * 1000);
      if (Math.abs(lease.remainingMs - remainingMs) > 1000) {
        rows.push({ id, remainingMs });
      }
    }
    return rows;
  }
}
