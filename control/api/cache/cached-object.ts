/**
 * One version of one stored object as the watch cache holds it: the JSON bytes that clients get,
 * made once from the stored bytes by inserting the resource version, and what selectors look at,
 * parsed when first asked for. Shared by every list and every watcher, never changed.
 *
 * Stored bytes begin `{"kind":K,"apiVersion":V,"metadata":{` and name the uid before any other
 * string that a client chose freely, so the first `"uid":"` in them is that of metadata
 * (formatStored in ../registry/codec.ts writes them so, and asserts it).
 */
import type { KubeObject } from '#base/kube/client.ts';
import { assert } from '#base/assert.ts';

const UID = Buffer.from('"uid":"');
const UID_LENGTH = 36;

/** What selectors are matched against. */
export interface Selectable {
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
}

export type FieldsOf = (object: KubeObject) => Readonly<Record<string, string>>;

/** Stored bytes with `,"resourceVersion":"N"` after the uid. */
export function withResourceVersion(stored: Uint8Array, revision: number): Buffer {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const uid = bytes.indexOf(UID);
  assert(uid >= 0, 'stored object has no uid');
  const end = uid + UID.length + UID_LENGTH + 1;
  const insert = `,"resourceVersion":"${revision}"`;
  const out = Buffer.allocUnsafe(bytes.length + insert.length);
  bytes.copy(out, 0, 0, end);
  out.write(insert, end, 'latin1');
  bytes.copy(out, end + insert.length, end);
  return out;
}

export class CachedObject {
  /** `namespace/name`, or `name`. */
  readonly key: string;
  readonly revision: number;
  /** As served, JSON, storage version. */
  readonly json: Buffer;
  readonly #fieldsOf: FieldsOf;
  #selectable: Selectable | undefined;
  #encoded: Map<string, Uint8Array> | undefined;

  constructor(at: { key: string; revision: number }, json: Buffer, fieldsOf: FieldsOf) {
    this.key = at.key;
    this.revision = at.revision;
    this.json = json;
    this.#fieldsOf = fieldsOf;
  }

  /** A fresh copy, which the caller may change. */
  parse(): KubeObject {
    return JSON.parse(this.json.toString());
  }

  get namespace(): string {
    const slash = this.key.indexOf('/');
    return slash < 0 ? '' : this.key.slice(0, slash);
  }

  get name(): string {
    return this.key.slice(this.key.indexOf('/') + 1);
  }

  get selectable(): Selectable {
    this.#selectable ??= this.#select();
    return this.#selectable;
  }

  #select(): Selectable {
    const object = this.parse();
    const { name, namespace } = this;
    return {
      labels: object.metadata.labels ?? {},
      fields: {
        ...this.#fieldsOf(object),
        'metadata.name': name,
        'metadata.namespace': namespace,
      },
    };
  }

  /** This version in another encoding, made by `encode` once. */
  encoded(format: string, encode: (object: CachedObject) => Uint8Array): Uint8Array {
    const known = this.#encoded?.get(format);
    if (known !== undefined) return known;
    const made = encode(this);
    this.#encoded ??= new Map();
    this.#encoded.set(format, made);
    return made;
  }

  /** The same state under the revision at which it was deleted. */
  deletedAt(revision: number): CachedObject {
    const object = this.parse();
    object.metadata.resourceVersion = String(revision);
    const json = Buffer.from(JSON.stringify(object));
    return new CachedObject({ key: this.key, revision }, json, this.#fieldsOf);
  }
}
