/**
 * How many live bytes the group may hold (reference/store.md section 8, rule 8). Replicated state: decided
 * at apply, from the log alone, so that equal members decide equally. Unless a quota is set it follows the
 * memory of the voters, which each member states and the log keeps.
 *
 *   room | nearlyFull (80 %, a warning) | full (95 %, until below 90 %: growth is refused)
 *
 * What remains is the reserve: deletes and updates that do not grow always pass, what a deletion adds to
 * an object while it is under way passes up to the quota itself.
 */
import type { Members } from '#control/raft/raft.ts';
import { QUOTA_BYTES_DEFAULT, QUOTA_MEMORY_SHARE } from '../limits.ts';
import { HashMixer, HashSum } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';

export type QuotaLevel = 'room' | 'nearlyFull' | 'full';

const WARNING_SHARE = 0.8;
const FULL_SHARE = 0.95;
const CLEAR_SHARE = 0.9;

/** Kind of part, for the mixer. */
const MEMORY_PART = 8;

export interface MemberMemory {
  readonly id: number;
  readonly bytes: number;
}

export class Quota {
  /** As configured; 0 = by the memory of the voters. */
  #setting = QUOTA_BYTES_DEFAULT;
  /** Set at 95 % of the quota, cleared below 90 %. */
  isFull = false;
  readonly #memory = new Map<number, number>();
  #voters: readonly number[] = [];
  #bytes = QUOTA_BYTES_DEFAULT;
  readonly #hash = new HashSum();
  readonly #mixer = new HashMixer();

  /** Live bytes that the group may hold. */
  get bytes(): number {
    return this.#bytes;
  }

  get setting(): number {
    return this.#setting;
  }

  set setting(bytes: number) {
    this.#setting = bytes;
    this.#decide();
  }

  /** Of what is known of the members' memory. */
  get memoryHash(): Lanes {
    return this.#hash;
  }

  /** By id. */
  memory(): MemberMemory[] {
    const rows = [...this.#memory].map(([id, bytes]) => ({ id, bytes }));
    return rows.sort((a, b) => a.id - b.id);
  }

  memoryOf(id: number): number | undefined {
    return this.#memory.get(id);
  }

  setMemory({ id, bytes }: MemberMemory): void {
    this.#forget(id);
    this.#memory.set(id, bytes);
    this.#hash.add(this.#part({ id, bytes }));
    this.#decide();
  }

  /** Who the members are now: those of others is forgotten, and voters count. */
  setMembers(members: Members, everyone: readonly number[]): void {
    for (const id of this.#memory.keys()) if (!everyone.includes(id)) this.#forget(id);
    this.#voters = [...members.voters, ...members.votersOutgoing];
    this.#decide();
  }

  level(liveBytes: number): QuotaLevel {
    if (this.isFull) return 'full';
    return liveBytes >= this.#bytes * WARNING_SHARE ? 'nearlyFull' : 'room';
  }

  /** Behind each command. */
  update(liveBytes: number): void {
    if (liveBytes >= this.#bytes * FULL_SHARE) this.isFull = true;
    else if (liveBytes < this.#bytes * CLEAR_SHARE) this.isFull = false;
  }

  #decide(): void {
    const known = this.#voters
      .map((id) => this.#memory.get(id))
      .filter((bytes) => bytes !== undefined);
    const share = Math.floor(Math.min(...known) * QUOTA_MEMORY_SHARE);
    this.#bytes = this.#setting === 0 ? Math.min(QUOTA_BYTES_DEFAULT, share) : this.#setting;
  }

  #forget(id: number): void {
    const bytes = this.#memory.get(id);
    if (bytes === undefined) return;
    this.#hash.subtract(this.#part({ id, bytes }));
    this.#memory.delete(id);
  }

  #part({ id, bytes }: MemberMemory): Lanes {
    return this.#mixer.begin(MEMORY_PART).number(id).number(bytes);
  }
}
