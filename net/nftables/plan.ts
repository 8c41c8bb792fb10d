/**
 * The difference between the table that is wanted and the one that the kernel has, as one batch. Pure.
 *
 * Order inside a batch: what others refer to is made first and removed last. Chains are compared by
 * their rules' digests, sets by declaration and elements; the elements of dynamic sets belong to
 * the packets and stay. A base chain or a set that is declared otherwise cannot be changed in
 * place: then the whole table is replaced, still in one atomic batch.
 */
import { ruleDigest } from './digest.ts';
import {
  type BaseChain,
  type Chain,
  type Change,
  type ElementMap,
  type ElementValue,
  type NftSet,
  type Table,
  sameValue,
} from './model.ts';

/** What the kernel has under a table's name. */
export interface ObservedTable {
  readonly chains: ReadonlyMap<string, ObservedChain>;
  readonly sets: ReadonlyMap<string, ObservedSet>;
}

export interface ObservedChain {
  readonly base: BaseChain | undefined;
  /** Of its rules in order; empty for rules of other programs. */
  readonly ruleDigests: readonly string[];
}

export interface ObservedSet {
  readonly declaration: DeclarationNumbers;
  readonly elements: ElementMap;
}

/** A set's declaration as the kernel states it. */
export interface DeclarationNumbers {
  readonly flags: number;
  readonly keyType: number;
  readonly keyBytes: number;
  readonly dataType: number;
  readonly dataBytes: number;
}

export interface PlanOptions {
  readonly declarationOf: (set: NftSet) => DeclarationNumbers;
}

export function planTable(
  wanted: Table,
  observed: ObservedTable | undefined,
  options: PlanOptions,
): Change[] {
  if (observed === undefined) return [{ kind: 'addTable' }, ...planNew(wanted)];
  if (mustReplace(wanted, observed, options)) {
    return [{ kind: 'deleteTable' }, { kind: 'addTable' }, ...planNew(wanted)];
  }
  return planUpdate(wanted, observed);
}

function mustReplace(wanted: Table, observed: ObservedTable, options: PlanOptions): boolean {
  return (
    wanted.sets.some((set) => {
      const present = observed.sets.get(set.name);
      return present !== undefined && !same(present.declaration, options.declarationOf(set));
    }) ||
    wanted.chains.some((chain) => {
      const present = observed.chains.get(chain.name);
      return present !== undefined && !same(present.base ?? {}, chain.base ?? {});
    })
  );
}

function same(a: object, b: object): boolean {
  const [left, right] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return left.size === right.size && [...left].every(([key, value]) => right.get(key) === value);
}

function* planNew(wanted: Table): Generator<Change> {
  for (const set of wanted.sets) yield { kind: 'addSet', set };
  for (const { name, base } of wanted.chains) yield { kind: 'addChain', name, base };
  for (const chain of wanted.chains) yield* addRules(chain);
  for (const set of wanted.sets) {
    if (set.elements.size > 0) yield { kind: 'addElements', set, elements: set.elements };
  }
}

function* addRules(chain: Chain): Generator<Change> {
  for (const rule of chain.rules) yield { kind: 'addRule', chain: chain.name, rule };
}

function planUpdate(wanted: Table, observed: ObservedTable): Change[] {
  const changes: Change[] = [];
  const staleChains = [...observed.chains.keys()].filter(
    (name) => !wanted.chains.some((chain) => chain.name === name),
  );
  const staleSets = [...observed.sets.keys()].filter(
    (name) => !wanted.sets.some((set) => set.name === name),
  );
  for (const set of wanted.sets) {
    if (!observed.sets.has(set.name)) changes.push({ kind: 'addSet', set });
  }
  for (const { name, base } of wanted.chains) {
    if (!observed.chains.has(name)) changes.push({ kind: 'addChain', name, base });
  }
  for (const chain of wanted.chains) changes.push(...planRules(chain, observed));
  for (const set of wanted.sets) {
    if (set.dynamic !== undefined) continue;
    changes.push(...planElements(set, observed.sets.get(set.name)?.elements ?? new Map()));
  }
  for (const name of staleChains) changes.push({ kind: 'flushChain', name });
  for (const name of staleSets) changes.push({ kind: 'deleteSet', name });
  for (const name of staleChains) changes.push({ kind: 'deleteChain', name });
  return changes;
}

function planRules(chain: Chain, observed: ObservedTable): Change[] {
  const present = observed.chains.get(chain.name)?.ruleDigests ?? [];
  const wanted = chain.rules.map((rule) => ruleDigest(rule));
  if (present.length === wanted.length && wanted.every((digest, i) => digest === present[i])) {
    return [];
  }
  const flush: Change[] = present.length > 0 ? [{ kind: 'flushChain', name: chain.name }] : [];
  return [...flush, ...addRules(chain)];
}

/** Deletions come first: a key whose value changes is deleted and added. */
export function planElements(set: NftSet, present: ElementMap): Change[] {
  const added: [string, ElementValue][] = [];
  const deleted: string[] = [];
  for (const [key, value] of set.elements) {
    const old = present.get(key);
    if (old === undefined) added.push([key, value]);
    else if (!sameValue(old, value)) {
      deleted.push(key);
      added.push([key, value]);
    }
  }
  for (const key of present.keys()) if (!set.elements.has(key)) deleted.push(key);
  const changes: Change[] = [];
  if (deleted.length > 0) changes.push({ kind: 'deleteElements', set, keys: deleted });
  if (added.length > 0) changes.push({ kind: 'addElements', set, elements: added });
  return changes;
}
