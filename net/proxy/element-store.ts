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
  type ElementValue,
  type SetDeclaration,
  sameValue,
} from '#net/nftables/port.ts';
import type { PlannedElement } from './plan-service.ts';

interface Counted {
  readonly value: ElementValue;
  count: number;
}

export class ElementStore {
  readonly #sets = new Map<string, Map<string, Counted>>();
  /** By set: the values at the last commit of the keys touched since. */
  #journal = new Map<string, Map<string, ElementValue | undefined>>();

  constructor(setNames: Iterable<string>) {
    for (const name of setNames) this.#sets.set(name, new Map());
  }

  add(element: PlannedElement): void {
    const set = this.#set(element.set);
    const known = set.get(element.key);
    if (known !== undefined) {
      assert(sameValue(known.value, element.value), `two values for one key of ${element.set}`);
      known.count++;
      return;
    }
    this.#touch(element.set, element.key, undefined);
    set.set(element.key, { value: element.value, count: 1 });
  }

  remove(element: PlannedElement): void {
    const set = this.#set(element.set);
    const known = set.get(element.key);
    assert(known !== undefined, `removal of an unknown element of ${element.set}`);
    known.count--;
    if (known.count > 0) return;
    this.#touch(element.set, element.key, known.value);
    set.delete(element.key);
  }

  elements(setName: string): Map<string, ElementValue> {
    const elements = new Map<string, ElementValue>();
    for (const [key, { value }] of this.#set(setName)) elements.set(key, value);
    return elements;
  }

  /** Deletions, then additions since the last call. */
  takeChanges(declarations: ReadonlyMap<string, SetDeclaration>): Change[] {
    const deletions: Change[] = [];
    const additions: Change[] = [];
    for (const [name, journal] of this.#journal) {
      const set = declarations.get(name);
      assert(set !== undefined, `undeclared set ${name}`);
      const deleted: string[] = [];
      const added: [string, ElementValue][] = [];
      for (const [key, before] of journal) {
        const now = this.#set(name).get(key)?.value;
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

  #set(name: string): Map<string, Counted> {
    const set = this.#sets.get(name);
    assert(set !== undefined, `undeclared set ${name}`);
    return set;
  }

  #touch(name: string, key: string, before: ElementValue | undefined): void {
    let journal = this.#journal.get(name);
    if (journal === undefined) {
      journal = new Map();
      this.#journal.set(name, journal);
    }
    if (!journal.has(key)) journal.set(key, before);
  }
}
