/**
 * Which requests of other members' clients a leader has taken in: a network may double them, and what
 * the member says to the second, as a leader or as one no more, must not pass for the answer to the first.
 */
import { ASKS_REMEMBERED } from '../limits.ts';

export class AskedBefore {
  /** By member; ids in the order in which they came. */
  readonly #ids = new Map<number, Set<number>>();

  /** True when this member asked this before. */
  has(from: number, id: number): boolean {
    return this.#ids.get(from)?.has(id) === true;
  }

  /** True when this member asked this before; remembers it otherwise. */
  check(from: number, id: number): boolean {
    const ids = this.#ids.get(from) ?? new Set();
    this.#ids.set(from, ids);
    if (ids.has(id)) return true;
    ids.add(id);
    if (ids.size > ASKS_REMEMBERED) for (const oldest of ids) return !ids.delete(oldest);
    return false;
  }

  /** Forgets who is no member any more. */
  retain(members: readonly number[]): void {
    for (const id of this.#ids.keys()) if (!members.includes(id)) this.#ids.delete(id);
  }
}
