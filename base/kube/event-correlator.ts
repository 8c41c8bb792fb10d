/**
 * Decides what becomes of an event that a component reports: a new Event object, a higher count on an
 * earlier one, or nothing (client-go's EventCorrelator: counting of equal events, folding of ten
 * similar ones within ten minutes, a token bucket per source and object). Pure; the caller gives time.
 */
import type { ObjectReference } from './api/core-v1.gen.ts';
import { EVENT_CACHE_MAX } from './limits.ts';

const SIMILAR_MAX = 10;
const SIMILAR_INTERVAL_MS = 600_000;
const SPAM_BURST = 25;
const SPAM_REFILL_PER_MS = 1 / 300_000;

export interface EventFacts {
  readonly regarding: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly component: string;
}

export interface EventIdentity {
  /** Name of the stored Event; undefined until the caller created it. */
  name: string | undefined;
  count: number;
  firstMs: number;
}

export type EventDecision =
  | { readonly kind: 'drop' }
  | { readonly kind: 'record'; readonly message: string; readonly identity: EventIdentity };

interface Similar {
  messages: Set<string>;
  lastMs: number;
}

interface Bucket {
  tokens: number;
  lastMs: number;
}

/** A map that forgets what was used longest ago. */
class Lru<V> {
  readonly #map = new Map<string, V>();

  get(key: string): V | undefined {
    const value = this.#map.get(key);
    if (value !== undefined) {
      this.#map.delete(key);
      this.#map.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    for (const oldest of this.#map.keys()) {
      if (this.#map.size <= EVENT_CACHE_MAX) break;
      this.#map.delete(oldest);
    }
  }
}

export class EventCorrelator {
  readonly #known = new Lru<EventIdentity>();
  readonly #similar = new Lru<Similar>();
  readonly #buckets = new Lru<Bucket>();

  decide(facts: EventFacts, nowMs: number): EventDecision {
    const { regarding: r, type, reason, component } = facts;
    const source = [component, r.kind, r.namespace, r.name, r.uid, r.apiVersion].join('\0');
    if (!this.#takeToken(source, nowMs)) return { kind: 'drop' };
    const group = [source, r.fieldPath, type, reason].join('\0');
    const isFolded = this.#isFolded(group, facts.message, nowMs);
    const message = isFolded ? `(combined from similar events): ${facts.message}` : facts.message;
    // Folded events share one object whatever their message.
    const key = isFolded ? group : `${group}\0${facts.message}`;
    let identity = this.#known.get(key);
    if (identity === undefined) {
      identity = { name: undefined, count: 0, firstMs: nowMs };
      this.#known.set(key, identity);
    }
    identity.count++;
    return { kind: 'record', message, identity };
  }

  #takeToken(source: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(source) ?? { tokens: SPAM_BURST, lastMs: nowMs };
    const refill = Math.max(0, nowMs - bucket.lastMs) * SPAM_REFILL_PER_MS;
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + refill);
    bucket.lastMs = nowMs;
    this.#buckets.set(source, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  #isFolded(group: string, message: string, nowMs: number): boolean {
    let similar = this.#similar.get(group);
    if (similar === undefined || nowMs - similar.lastMs > SIMILAR_INTERVAL_MS) {
      similar = { messages: new Set(), lastMs: nowMs };
      this.#similar.set(group, similar);
    }
    similar.lastMs = nowMs;
    similar.messages.add(message);
    if (similar.messages.size < SIMILAR_MAX) return false;
    similar.messages.delete([...similar.messages][0] ?? ''); // Bounded: enough to stay folded.
    return true;
  }
}
