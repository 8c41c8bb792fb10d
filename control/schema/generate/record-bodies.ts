/**
 * Bodies and patches for record-answers.ts: upstream's recorded objects with values broken, dropped
 * and renamed by chance, and random strategic merge patches of pods. Seeded: the same each time.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Body {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly text: string;
  /** Of a strategic merge patch on `text`. */
  readonly patch?: string;
}

type Json = Record<string, unknown>;

/** mulberry32 */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  maybe(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)] as T; // Lists here are not empty.
  }

  subset<T>(list: readonly T[]): T[] {
    const kept = list.filter(() => this.maybe(0.55));
    return kept
      .map((item) => ({ item, rank: this.next() }))
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ item }) => item);
  }
}

const JUNK: readonly unknown[] = [
  null,
  '',
  'x',
  0,
  1,
  -1,
  1.5,
  true,
  false,
  [],
  {},
  [null],
  ['a'],
  { a: 'b' },
  '2024-01-01T00:00:00Z',
  '2024-01-01T00:00:00.123456Z',
  '1h',
  '100m',
  '0.5',
  '1024Ki',
  'YQ==',
  '!!',
  3_000_000_000,
  'ünï',
  '<&>',
  [1],
  [{}],
  { a: 1 },
  { b: '1', a: '2' },
];

function mutate(chance: Chance, value: unknown, depth: number): unknown {
  if (chance.maybe(0.02)) return chance.pick(JUNK);
  if (Array.isArray(value)) return value.map((v) => mutate(chance, v, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(() => !chance.maybe(depth < 1 ? 0.02 : 0.35))
    .map(([key, v]) => [chance.maybe(0.006) ? `${key}X` : key, mutate(chance, v, depth + 1)]);
  return Object.fromEntries(chance.maybe(0.3) ? entries.toReversed() : entries);
}

/** Broken variants of the recorded objects in `folder` (k8s.io/api/testdata/HEAD) of `kinds`. */
export function brokenBodies(folder: string, kinds: RegExp, count: number): Body[] {
  const chance = new Chance(1);
  const names = readdirSync(folder).filter((f) => kinds.test(f));
  return Array.from({ length: count }, () => {
    const file = chance.pick(names);
    const [, group = '', version = '', kind = ''] = /^(.*)\.(v\w+)\.(\w+)\.json$/.exec(file) ?? [];
    const {
      kind: _,
      apiVersion: __,
      ...object
    } = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const text = JSON.stringify(mutate(chance, object, 0));
    return { group: group === 'core' ? '' : group, version, kind, text };
  });
}

const NAMES = ['a', 'b', 'c', 'd'];

/** Adds a $setElementOrder that mostly fits the list. */
function addOrder(chance: Chance, target: Json, field: string, key: string | undefined): void {
  if (!chance.maybe(0.35)) return;
  const list = (target[field] ?? []) as unknown[]; // Made by this file.
  const idOf = (item: unknown): string =>
    (key === undefined ? item : (item as Json)[key]) as string;
  const present = list
    .filter((item) => key === undefined || !('$patch' in (item as Json)))
    .map(idOf);
  const order = chance.maybe(0.85) ? [...present] : chance.subset(NAMES);
  for (const name of NAMES) if (!order.includes(name) && chance.maybe(0.4)) order.push(name);
  if (order.length === 0) return; // Upstream orders an empty list by chance.
  target[`$setElementOrder/${field}`] =
    key === undefined ? order : order.map((v) => ({ [key]: v }));
}

function keyed(chance: Chance, isPatch: boolean, make: () => Json): Json[] {
  return chance.subset(NAMES).map((name) => {
    if (!isPatch || !chance.maybe(0.15)) return { name, ...make() };
    return { name, $patch: chance.pick(['delete', 'delete', 'replace', 'merge', 'x']) };
  });
}

function container(chance: Chance, isPatch: boolean): Json {
  const out: Json = {};
  if (chance.maybe(0.6)) out['image'] = chance.pick(['i', 'j']);
  if (chance.maybe(0.5)) {
    out['env'] = keyed(chance, isPatch, () => ({ value: chance.pick(['1', '2']) }));
    if (isPatch) addOrder(chance, out, 'env', 'name');
  }
  if (chance.maybe(0.3)) out['args'] = chance.subset(NAMES);
  return out;
}

function volume(chance: Chance, isPatch: boolean): Json {
  const out: Json = chance.maybe(0.5) ? { emptyDir: {} } : { configMap: { name: 'x' } };
  if (isPatch && chance.maybe(0.5)) out['$retainKeys'] = ['name', ...Object.keys(out)];
  return out;
}

function pod(chance: Chance, isPatch: boolean): Json {
  const metadata: Json = {};
  const spec: Json = {};
  if (chance.maybe(0.6)) {
    const labels = chance.subset(NAMES).map((n) => [n, isPatch && chance.maybe(0.2) ? null : '1']);
    metadata['labels'] = Object.fromEntries(labels);
  }
  if (chance.maybe(0.5)) metadata['finalizers'] = chance.subset(NAMES);
  if (isPatch) addOrder(chance, metadata, 'finalizers', undefined);
  if (chance.maybe(0.7))
    spec['containers'] = keyed(chance, isPatch, () => container(chance, isPatch));
  if (isPatch) addOrder(chance, spec, 'containers', 'name');
  if (chance.maybe(0.5)) spec['volumes'] = keyed(chance, isPatch, () => volume(chance, isPatch));
  if (chance.maybe(0.4)) spec['tolerations'] = chance.subset(NAMES).map((key) => ({ key }));
  if (chance.maybe(0.3)) spec['securityContext'] = { runAsUser: chance.pick([1, 2]) };
  if (isPatch && chance.maybe(0.1)) spec['tolerations'] = null;
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec };
}

export function patchedPods(count: number): Body[] {
  const chance = new Chance(2);
  return Array.from({ length: count }, () => ({
    group: '',
    version: 'v1',
    kind: 'Pod',
    text: JSON.stringify(pod(chance, false)),
    patch: JSON.stringify(pod(chance, true)),
  }));
}
