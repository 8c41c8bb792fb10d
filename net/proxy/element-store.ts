/**
 * The wanted elements of all sets, counted by how many services want them, with a journal of what
 * changed since the last commit. Pure; cost is proportional to what is touched.
 *
 * Invariants: an element is there exactly while its count is above 0; all who want one key of a
 * map want the same value (frontends have one owner, the rest are keyed by their value).
 */
import { assert } from '#base/assert.ts';
import {
  type Change,
  type ElementMap,
  type ElementValue,
  type SetDeclaration,
  sameValue,
} from '#net/nftables/port.ts';
import type { PlannedElement } from './plan-service.ts';

export class ElementStore {
  readonly #sets = new Map<string, Map<string, ElementValue>>();
  /** By set: how many want a key beside the first; most keys are wanted once. */
  readonly #others = new Map<string, Map<string, number>>();
  /** By set: the values at the last commit of the keys touched since. */
  #journal: Map<string, Map<string, ElementValue | undefined>> | undefined = new Map();

  constructor(setNames: Iterable<string>) {
    for (const name of setNames) {
      this.#sets.set(name, new Map());
      this.#others.set(name, new Map());
    }
  }

  add({ set: name, key, value }: PlannedElement): void {
    const set = this.#set(name);
    const known = set.get(key);
    if (known === undefined) {
      this.#touch(name, key, undefined);
      set.set(key, value);
      return;
    }
    assert(sameValue(known, value), `two values for one key of ${name}`);
    const others = this.#othersOf(name);
    others.set(key, (others.get(key) ?? 0) + 1);
  }

  remove({ set: name, key }: PlannedElement): void {
    const set = this.#set(name);
    const known = set.get(key);
    assert(known !== undefined, `removal of an unknown element of ${name}`);
    const others = this.#othersOf(name);
    const count = others.get(key) ?? 0;
    if (count > 1) others.set(key, count - 1);
    else if (count === 1) others.delete(key);
    if (count > 0) return;
    this.#touch(name, key, known);
    set.delete(key);
  }

  /** As they are now; the map lives on and changes. */
  elements(setName: string): ElementMap {
    return this.#set(setName);
  }

  /** Deletions, then additions since the last call. */
  takeChanges(declarations: ReadonlyMap<string, SetDeclaration>): Change[] {
    const deletions: Change[] = [];
    const additions: Change[] = [];
    for (const [name, journal] of this.#journal ?? []) {
      const set = declarations.get(name);
      assert(set !== undefined, `undeclared set ${name}`);
      const deleted: string[] = [];
      const added: [string, ElementValue][] = [];
      for (const [key, before] of journal) {
        const now = this.#set(name).get(key);
        if (before !== undefined && now !== undefined && sameValue(before, now)) continue;
        if (before !== undefined) deleted.push(key);
        if (now !== undefined) added.push([key, now]);
      }
      if (deleted.length > 0) deletions.push({ kind: 'deleteElements', set, keys: deleted });
      if (added.length > 0) additions.push({ kind: 'addElements', set, elements: added });
    }
    this.#journal = new Map();
    return [...deletions, ...additions];
  }

  /** Runs `change` without a journal, and forgets what stood in it: everything is compared next. */
  withoutJournal<T>(change: () => T): T {
    this.#journal = undefined;
    try {
      return change();
    } finally {
      this.#journal = new Map();
    }
  }

  #set(name: string): Map<string, ElementValue> {
    const set = this.#sets.get(name);
    assert(set !== undefined, `undeclared set ${name}`);
    return set;
  }

  #othersOf(name: string): Map<string, number> {
    const others = this.#others.get(name);
    assert(others !== undefined, `undeclared set ${name}`);
    return others;
  }

  #touch(name: string, key: string, before: ElementValue | undefined): void {
    if (this.#journal === undefined) return;
    let journal = this.#journal.get(name);
    if (journal === undefined) {
      journal = new Map();
      this.#journal.set(name, journal);
    }
    if (!journal.has(key)) journal.set(key, before);
  }
}
