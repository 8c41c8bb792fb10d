/**
 * The watch cache of one resource: every object in key order, the events of the last minutes, and
 * the live watchers. Synchronous and without I/O: CacheHub feeds it whole transactions in revision
 * order, so between two calls of `apply` it is the store's state at `revision`.
 *
 * Reads at an older revision undo the events since; when the window does not reach back that far
 * the registry reads history from the store instead.
 */
import { CachedObject, type FieldsOf, withResourceVersion } from './cached-object.ts';
import {
  EVENTS_COUNT_MAX,
  EVENTS_COUNT_MIN,
  EVENT_WINDOW_BYTES_MAX,
  EVENT_WINDOW_MS,
} from '../limits.ts';
import { SortedKeys } from './sorted-keys.ts';

/** One change. `previous` is absent for ADDED, `current` for DELETED. */
export interface CacheEvent {
  readonly revision: number;
  readonly atMs: number;
  readonly key: string;
  readonly previous: CachedObject | undefined;
  readonly current: CachedObject | undefined;
  /** The state shown by a DELETED event, made when first needed. */
  deleted: CachedObject | undefined;
  /** Wire frames of this event by type and encoding, shared among watchers. */
  readonly frames: Map<string, Uint8Array>;
}

/** Called for each event in order. */
export interface EventReceiver {
  onEvent(event: CacheEvent): void;
  /**
   * The cache is emptied and filled anew: events are lost. A watch must `end`; an index that can be
   * made again from the cache may `stay` subscribed.
   */
  onReset(): 'end' | 'stay';
}

export interface CacheChange {
  readonly key: string;
  /** Absent: deleted. */
  readonly value: Uint8Array | undefined;
}

export class ResourceCache {
  readonly #fieldsOf: FieldsOf;
  readonly #objects = new Map<string, CachedObject>();
  #keys = new SortedKeys();
  #events: CacheEvent[] = [];
  #eventsHead = 0;
  /** Of states that only the events in the window still hold. */
  #eventBytes = 0;
  /** Events with a revision up to this one are not in the window. */
  #windowStart = 0;
  readonly #receivers = new Map<string, Set<EventReceiver>>();

  constructor(fieldsOf: FieldsOf) {
    this.#fieldsOf = fieldsOf;
  }

  get size(): number {
    return this.#objects.size;
  }

  get windowStart(): number {
    return this.#windowStart;
  }

  get receiverCount(): number {
    let count = 0;
    for (const set of this.#receivers.values()) count += set.size;
    return count;
  }

  get(key: string): CachedObject | undefined {
    return this.#objects.get(key);
  }

  /** Objects whose key begins with `prefix`, from `start` on, in key order. */
  *scan(prefix: string, start = prefix): IterableIterator<CachedObject> {
    for (const key of this.#keys.from(start > prefix ? start : prefix)) {
      if (!key.startsWith(prefix)) return;
      const object = this.#objects.get(key);
      if (object !== undefined) yield object;
    }
  }

  /** Number of objects whose key begins with `prefix` and is at or above `start`. */
  count(prefix: string, start: string): number {
    return this.#keys.count(start, `${prefix}\uffff`);
  }

  /** The objects as of `revision`; undefined when the window does not reach back to it. */
  snapshot(prefix: string, revision: number): CachedObject[] | undefined {
    if (revision < this.#windowStart) return undefined;
    const undo = new Map<string, CachedObject | undefined>();
    for (const event of this.eventsAfter(revision)) {
      if (event.key.startsWith(prefix) && !undo.has(event.key)) undo.set(event.key, event.previous);
    }
    const current = [...this.scan(prefix)];
    if (undo.size === 0) return current;
    const kept = current.filter((o) => !undo.has(o.key));
    for (const object of undo.values()) if (object !== undefined) kept.push(object);
    return kept.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Events with a revision above `revision`, in order. */
  eventsAfter(revision: number): CacheEvent[] {
    let low = this.#eventsHead;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
  }

  /** Calls `receiver` for events of `scope`: '' = all, a namespace with `/`, or one whole key. */
  subscribe(scope: string, receiver: EventReceiver): Disposable {
    const set = this.#receivers.get(scope) ?? new Set();
    this.#receivers.set(scope, set);
    set.add(receiver);
    return {
      [Symbol.dispose]: () => {
        set.delete(receiver);
        if (set.size === 0 && this.#receivers.get(scope) === set) this.#receivers.delete(scope);
      },
    };
  }

  /**
   * Fills the empty cache with the state at `revision`. Who came while it was empty is told as well: an
   * index that was made then is of nothing.
   */
  load(objects: readonly { key: string; value: Uint8Array; revision: number }[], revision: number) {
    this.#tellReset();
    this.#objects.clear();
    for (const { key, value, revision: at } of objects) {
      this.#keys.add(key);
      this.#objects.set(key, this.#make(key, value, at));
    }
    this.#windowStart = revision;
  }

  /** Empties the cache, because the feed from the store broke; `load` fills it again. */
  reset(): void {
    this.#tellReset();
    this.#keys = new SortedKeys();
    this.#objects.clear();
    this.#events = [];
    this.#eventsHead = 0;
    this.#eventBytes = 0;
  }

  #tellReset(): void {
    for (const set of this.#receivers.values()) {
      const all = Array.from(set); // The set changes meanwhile.
      for (const receiver of all) if (receiver.onReset() === 'end') set.delete(receiver);
    }
  }

  apply(change: CacheChange, revision: number, nowMs: number): void {
    const { key, value } = change;
    const previous = this.#objects.get(key);
    if (value === undefined && previous === undefined) return;
    const current = value === undefined ? undefined : this.#make(key, value, revision);
    if (current === undefined) {
      this.#objects.delete(key);
      this.#keys.delete(key);
    } else {
      this.#objects.set(key, current);
      if (previous === undefined) this.#keys.add(key);
    }
    const event: CacheEvent = {
      revision,
      atMs: nowMs,
      key,
      previous,
      current,
      deleted: undefined,
      frames: new Map(),
    };
    this.#events.push(event);
    this.#eventBytes += previousBytes(event);
    this.trim(nowMs);
    this.#deliver(event);
  }

  #make(key: string, value: Uint8Array, revision: number): CachedObject {
    return new CachedObject(
      { key, revision },
      withResourceVersion(value, revision),
      this.#fieldsOf,
    );
  }

  #deliver(event: CacheEvent): void {
    if (this.#receivers.size === 0) return;
    const slash = event.key.indexOf('/');
    this.#deliverTo('', event);
    if (slash >= 0) this.#deliverTo(event.key.slice(0, slash + 1), event);
    this.#deliverTo(event.key, event);
  }

  #deliverTo(scope: string, event: CacheEvent): void {
    const set = this.#receivers.get(scope);
    if (set !== undefined) for (const receiver of set) receiver.onEvent(event);
  }

  /** Forgets events that are too old, too many or hold too much. */
  trim(nowMs: number): void {
    for (;;) {
      const oldest = this.#events[this.#eventsHead];
      if (oldest === undefined || !this.#isTooMuch(oldest, nowMs)) break;
      // Events of one revision leave together: a window starts at a whole revision.
      this.#windowStart = oldest.revision;
      for (;;) {
        const event = this.#events[this.#eventsHead];
        if (event?.revision !== this.#windowStart) break;
        this.#eventBytes -= previousBytes(event);
        this.#eventsHead++;
      }
    }
    // At most as many are kept for nothing as for something.
    if (this.#eventsHead * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#eventsHead);
      this.#eventsHead = 0;
    }
  }

  #isTooMuch(oldest: CacheEvent, nowMs: number): boolean {
    if (this.#eventBytes > EVENT_WINDOW_BYTES_MAX) return true;
    const count = this.#events.length - this.#eventsHead;
    if (count <= EVENTS_COUNT_MIN) return false;
    return count > EVENTS_COUNT_MAX || nowMs - oldest.atMs >= EVENT_WINDOW_MS;
  }
}

function previousBytes({ previous }: CacheEvent): number {
  return previous?.json.length ?? 0;
}

/** The state a DELETED event shows: the last one before, under the deletion's revision. */
export function deletedState(event: CacheEvent): CachedObject | undefined {
  if (event.deleted === undefined && event.previous !== undefined) {
    event.deleted = event.previous.deletedAt(event.revision);
  }
  return event.deleted;
}
