/**
 * The local copy of one resource's objects: by key, by namespace, and by indexes that callers add.
 * Objects are shared by all readers and never changed in place. Filled by an Informer.
 */
import { assert } from '../assert.ts';
import type { KubeObject } from './client.ts';
import { keyOf, makeKey } from './metadata.ts';

export type IndexFunction<T extends KubeObject> = (object: T) => readonly string[];

class Index<T extends KubeObject> {
  readonly keysOf: IndexFunction<T>;
  readonly #buckets = new Map<string, Map<string, T>>();

  constructor(keysOf: IndexFunction<T>) {
    this.keysOf = keysOf;
  }

  add(key: string, object: T): void {
    for (const value of this.keysOf(object)) {
      let bucket = this.#buckets.get(value);
      if (bucket === undefined) {
        bucket = new Map();
        this.#buckets.set(value, bucket);
      }
      bucket.set(key, object);
    }
  }

  remove(key: string, object: T): void {
    for (const value of this.keysOf(object)) {
      const bucket = this.#buckets.get(value);
      bucket?.delete(key);
      if (bucket?.size === 0) this.#buckets.delete(value);
    }
  }

  get(value: string): T[] {
    const bucket = this.#buckets.get(value);
    return bucket === undefined ? [] : [...bucket.values()];
  }
}

const byNamespace = (object: KubeObject) => [object.metadata.namespace ?? ''];

export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #namespaces = new Index<T>(byNamespace);

  get size(): number {
    return this.#objects.size;
  }

  /** By `NAMESPACE/NAME` (metadata.ts keyOf). */
  getByKey(key: string): T | undefined {
    return this.#objects.get(key);
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(makeKey(namespace, name));
  }

  /** All objects, or those of one namespace. */
  list(namespace?: string): T[] {
    if (namespace === undefined || namespace === '') return [...this.#objects.values()];
    return this.#namespaces.get(namespace);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  /** Adds an index; adding the same name again is allowed and keeps the first. */
  addIndex(name: string, keysOf: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index = new Index(keysOf);
    for (const [key, object] of this.#objects) index.add(key, object);
    this.#indexes.set(name, index);
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    assert(index !== undefined, `no index '${name}'`);
    return index.get(value);
  }

  /** Stores `object`; returns what it replaced. */
  put(object: T): T | undefined {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#everyIndex()) {
      if (old !== undefined) index.remove(key, old);
      index.add(key, object);
    }
    return old;
  }

  remove(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (old === undefined) return undefined;
    this.#objects.delete(key);
    for (const index of this.#everyIndex()) index.remove(key, old);
    return old;
  }

  *#everyIndex(): Iterable<Index<T>> {
    yield this.#namespaces;
    yield* this.#indexes.values();
  }
}
