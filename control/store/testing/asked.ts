/**
 * What was asked of a store since it was last looked at, and what came of it: finds the prefix of the
 * operations whose effect the store holds.
 */
import { inspect, isDeepStrictEqual } from 'node:util';
import { NO_LEASE, StoreError } from '../port.ts';
import type { KeyValue, LeaseId, Store } from '../port.ts';
import { EMPTY, applyToModel } from './model.ts';
import type { ModelOperation, ModelState } from './model.ts';
import { runOperation } from './operations.ts';

/** What a store holds. */
export interface Found {
  readonly kvs: readonly KeyValue[];
  readonly revision: number;
  readonly compactRevision: number;
}

type Outcome = 'waiting' | 'done' | 'refused' | 'unknown';

interface Issued {
  readonly operation: ModelOperation;
  outcome: Outcome;
}

export class Asked {
  /** What the store held at the last match. */
  #base: ModelState = EMPTY;
  #issued: Issued[] = [];
  /** Lease ids by the operation that granted them. */
  readonly #leaseIds = new Map<number, LeaseId>();

  /** Leases that exist if nothing is lost, and whose ids are known. */
  get leases(): number[] {
    return [...this.state.leases].filter((lease) => this.#leaseIds.has(lease));
  }

  /** What the store holds if nothing is lost. */
  get state(): ModelState {
    return this.#taken().reduce(
      (state, { operation }) => applyToModel(state, operation),
      this.#base,
    );
  }

  /** Sends an operation; the result tells what came of it, as far as is known. */
  issue(store: Store, operation: ModelOperation): { readonly outcome: Outcome } {
    const issued: Issued = { operation, outcome: 'waiting' };
    this.#issued.push(issued);
    runOperation(store, operation, this.#leaseIds).then(
      () => {
        issued.outcome = 'done';
      },
      (error: unknown) => {
        if (!(error instanceof StoreError)) throw error;
        issued.outcome = outcomeOf(error);
      },
    );
    return issued;
  }

  get outcomes(): Outcome[] {
    return this.#issued.map(({ outcome }) => outcome);
  }

  /** Number of the last operation that was acknowledged, counted from the last match. */
  get acknowledged(): number {
    return this.#taken().findLastIndex(({ outcome }) => outcome === 'done') + 1;
  }

  /**
   * Finds the longest prefix, of at least `atLeast` operations, that leaves what was found. Returns its
   * length and goes on from there. Throws when there is none.
   */
  match(found: Found, atLeast: number): number {
    const operations = this.#taken();
    let state = this.#base;
    let match: { state: ModelState; length: number } | undefined;
    for (let length = 0; ; length++) {
      if (length >= atLeast && this.#isState(state, found)) match = { state, length };
      const next = operations[length];
      if (next === undefined) break;
      state = applyToModel(state, next.operation);
    }
    if (match === undefined) {
      const lines = [
        `no prefix of ${operations.length} operations (at least ${atLeast}) leaves`,
        ...[found.revision, found.compactRevision, ...this.#held(found)].map(show),
        'all leave',
        ...[state.revision, state.compactRevision, ...this.#wanted(state)].map(show),
        ...operations.map(({ operation, outcome }) => `${outcome} ${show(operation)}`),
      ];
      throw new Error(lines.join('\n'));
    }
    this.#base = match.state;
    this.#issued = [];
    return match.length;
  }

  #taken(): Issued[] {
    return this.#issued.filter(({ outcome }) => outcome !== 'refused');
  }

  #isState(state: ModelState, found: Found): boolean {
    if (state.revision !== found.revision) return false;
    if (state.compactRevision !== found.compactRevision) return false;
    return isDeepStrictEqual(this.#wanted(state), this.#held(found));
  }

  #wanted(state: ModelState): unknown[] {
    const keys = [...state.keys].sort(([a], [b]) => (a < b ? -1 : 1));
    return keys.map(([key, { value, create, mod, version, lease }]) => [
      key,
      value,
      create,
      mod,
      version,
      lease === 0 ? NO_LEASE : this.#leaseIds.get(lease),
    ]);
  }

  #held(found: Found): unknown[] {
    return found.kvs.map((kv) => [
      kv.key,
      Buffer.from(kv.value).toString(),
      kv.createRevision,
      kv.modRevision,
      kv.version,
      kv.leaseId,
    ]);
  }
}

function outcomeOf({ code, message }: StoreError): Outcome {
  if (code === 'NO_SPACE') return 'refused';
  if (code === 'CLOSED') return 'unknown';
  // It was executed; only its results can no longer be told.
  if (code === 'OUTCOME_UNKNOWN') return /results are compacted/.test(message) ? 'done' : 'unknown';
  // Refusals of the state machine change nothing in the model either.
  return 'done';
}

function show(value: unknown): string {
  return inspect(value, { breakLength: Infinity }).replaceAll(/x{9,}/g, 'x..');
}
