/**
 * What the engine asks of the replicated log: propose commands, learn what is committed, know when a
 * read is linearizable. raft-consensus.ts is the real one; the sole-memory one below keeps nothing
 * and is for tests of what stands above it.
 */
import type { StoreError } from '../port.ts';
import type { AppliedEntry } from './state-machine.ts';

export interface Proposed {
  readonly index: number;
  readonly term: number;
}

export interface Consensus {
  /** Where the command will stand in the log if nothing intervenes, or why it was not taken. */
  propose(data: Uint8Array): Proposed | StoreError;
  /** Asks for a linearizable read; `confirmed` runs when the applied state may answer it. */
  read(confirmed: (refused: StoreError | undefined) => void): void;
  /**
   * Does the due work: persists what is new, hands committed entries to `apply` in order, confirms
   * reads. Cheap when there is none.
   */
  pump(apply: (entry: AppliedEntry) => void): void;
  readonly term: number;
  readonly lastIndex: number;
  readonly walBytes: number;
  /** True while this member leads and may decide lease expiry. */
  readonly isLeader: boolean;
}

/** Commits at once and remembers nothing. */
export class MemoryConsensus implements Consensus {
  readonly term = 1;
  readonly walBytes = 0;
  readonly isLeader = true;
  lastIndex = 0;
  #proposed: AppliedEntry[] = [];
  #reads: ((refused: StoreError | undefined) => void)[] = [];

  propose(data: Uint8Array): Proposed {
    this.lastIndex++;
    this.#proposed.push({ index: this.lastIndex, term: 1, data });
    return { index: this.lastIndex, term: 1 };
  }

  read(confirmed: (refused: StoreError | undefined) => void): void {
    this.#reads.push(confirmed);
  }

  pump(apply: (entry: AppliedEntry) => void): void {
    const entries = this.#proposed;
    this.#proposed = [];
    for (const entry of entries) apply(entry);
    const reads = this.#reads;
    this.#reads = [];
    for (const confirmed of reads) confirmed(undefined);
  }
}
