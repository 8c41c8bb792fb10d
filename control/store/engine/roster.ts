/**
 * What is known of each member beside its part in the group (that is in `Members`): the key that
 * proves who it is, and where it is reached. Replicated state, changed by log entries alone, so that
 * membership has one home. A row goes when the entry that removes its member is applied.
 */
import { HashMixer, HashSum } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';

export interface RosterRow {
  readonly id: number;
  /** Hash of the member's public key; empty where nothing has to be proved (a group of one). */
  readonly key: string;
  /** Where the others reach it; empty for a member that nobody has to reach. */
  readonly address: string;
  /** A learner that is to vote as soon as it has caught up. */
  readonly isToVote: boolean;
}

/** Kind of part, for the mixer. */
const ROSTER_PART = 6;

export class Roster {
  readonly #rows = new Map<number, RosterRow>();
  readonly #hash = new HashSum();
  readonly #mixer = new HashMixer();

  get hash(): Lanes {
    return this.#hash;
  }

  get(id: number): RosterRow | undefined {
    return this.#rows.get(id);
  }

  /** By id. */
  all(): RosterRow[] {
    return [...this.#rows.values()].sort((a, b) => a.id - b.id);
  }

  set(row: RosterRow): void {
    this.#remove(row.id);
    this.#rows.set(row.id, row);
    this.#hash.add(this.#part(row));
  }

  /** Forgets all but these members. */
  retain(ids: readonly number[]): void {
    for (const id of this.#rows.keys()) if (!ids.includes(id)) this.#remove(id);
  }

  #remove(id: number): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#hash.subtract(this.#part(row));
    this.#rows.delete(id);
  }

  #part({ id, key, address, isToVote }: RosterRow): Lanes {
    const mixer = this.#mixer
      .begin(ROSTER_PART)
      .number(id)
      .u32(isToVote ? 1 : 0);
    for (const text of [key, address]) {
      mixer.u32(text.length);
      for (let i = 0; i < text.length; i++) mixer.u32(text.charCodeAt(i));
    }
    return mixer;
  }
}
