/**
 * Pods waiting to be scheduled: active (ready to be tried, by priority, then by age), backing off
 * (tried in vain not long ago), parked (tried in vain; wait for an event that could help, at most five
 * minutes). Pure; the caller gives time. Bounded by the number of pods.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { PodFacts } from './pod-facts.ts';

export const BACKOFF_MS_MIN = 1_000;
export const BACKOFF_MS_MAX = 10_000;
export const PARKED_MS_MAX = 300_000;

/** What happened in the cluster, as far as it can help a pod that does not fit. */
export type ClusterEvent = 'node' | 'podGone' | 'podPlaced' | 'namespace';

/** Plugins that each event can make change their mind. A node event may help any. */
const HELPED: Readonly<Record<Exclude<ClusterEvent, 'node'>, ReadonlySet<string>>> = {
  podGone: new Set(['NodeResourcesFit', 'NodePorts', 'InterPodAffinity', 'PodTopologySpread']),
  podPlaced: new Set(['InterPodAffinity', 'PodTopologySpread']),
  namespace: new Set(['InterPodAffinity']),
};

interface Entry {
  facts: PodFacts;
  attempts: number;
  readonly sinceMs: number;
  state:
    | { readonly kind: 'active' }
    | { readonly kind: 'backoff'; readonly untilMs: number }
    | {
        readonly kind: 'parked';
        readonly plugins: ReadonlySet<string>;
        readonly atMs: number;
        readonly untilMs: number;
      }
    /** Handed out; an event that came meanwhile counts when it fails. */
    | { readonly kind: 'trying'; readonly events: Set<ClusterEvent> };
}

export class SchedulingQueue {
  readonly #entries = new Map<string, Entry>();
  /** Uids by priority, highest first: few priorities exist. */
  readonly #active = new Map<number, Set<string>>();

  /** No entry that waits for time alone is due before this. */
  #dueMs = Infinity;

  get size(): number {
    return this.#entries.size;
  }

  /** A new pod, or a changed one: a change may have made it fit. */
  put(facts: PodFacts, nowMs: number): void {
    const old = this.#entries.get(facts.uid);
    if (old === undefined) {
      const entry: Entry = { facts, attempts: 0, sinceMs: nowMs, state: { kind: 'active' } };
      this.#entries.set(facts.uid, entry);
      this.#activate(entry);
      return;
    }
    if (old.state.kind === 'active') this.#deactivate(old);
    old.facts = facts;
    if (old.state.kind === 'trying') old.state.events.add('node');
    else if (old.state.kind !== 'backoff') this.#activate(old);
  }

  /** The pod's status changed, nothing that could make it fit. */
  refresh(pod: Pod): void {
    const entry = this.#entries.get(pod.metadata.uid);
    if (entry !== undefined) entry.facts = { ...entry.facts, pod };
  }

  remove(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    if (entry.state.kind === 'active') this.#deactivate(entry);
    this.#entries.delete(uid);
  }

  /** The next pod to try; it stays in the queue until removed. */
  next(nowMs: number): PodFacts | undefined {
    this.#wake(nowMs);
    let best: number | undefined;
    for (const priority of this.#active.keys()) {
      if (best === undefined || priority > best) best = priority;
    }
    if (best === undefined) return undefined;
    for (const uid of this.#active.get(best) ?? []) {
      const entry = this.#entries.get(uid);
      if (entry === undefined) continue;
      this.#deactivate(entry);
      entry.attempts++;
      entry.state = { kind: 'trying', events: new Set() };
      return entry.facts;
    }
    return undefined;
  }

  /** The pod fitted nowhere because of `plugins` (none: there was an error; it is tried again). */
  failed(uid: string, plugins: ReadonlySet<string>, nowMs: number): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined || entry.state.kind !== 'trying') return;
    const untilMs = nowMs + backoffMs(entry.attempts);
    const isHelped = [...entry.state.events].some((event) => helps(event, plugins));
    if (isHelped || plugins.size === 0) {
      entry.state = { kind: 'backoff', untilMs };
      this.#dueMs = Math.min(this.#dueMs, untilMs);
    } else {
      entry.state = { kind: 'parked', plugins, atMs: nowMs, untilMs };
      this.#dueMs = Math.min(this.#dueMs, nowMs + PARKED_MS_MAX);
    }
  }

  /** Parked pods that the event may help are tried again, once their back-off is over. */
  happened(event: ClusterEvent, nowMs: number): void {
    for (const entry of this.#entries.values()) {
      const { state } = entry;
      if (state.kind === 'trying') state.events.add(event);
      if (state.kind !== 'parked' || !helps(event, state.plugins)) continue;
      if (state.untilMs <= nowMs) this.#activate(entry);
      else {
        entry.state = { kind: 'backoff', untilMs: state.untilMs };
        this.#dueMs = Math.min(this.#dueMs, state.untilMs);
      }
    }
  }

  /** When next() may have something that it has not now; undefined: only after an event. */
  wakeAtMs(): number | undefined {
    return this.#dueMs === Infinity ? undefined : this.#dueMs;
  }

  #wake(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Infinity;
    for (const entry of this.#entries.values()) {
      const { state } = entry;
      if (state.kind !== 'backoff' && state.kind !== 'parked') continue;
      const atMs = state.kind === 'backoff' ? state.untilMs : state.atMs + PARKED_MS_MAX;
      if (atMs <= nowMs) this.#activate(entry);
      else this.#dueMs = Math.min(this.#dueMs, atMs);
    }
  }

  #activate(entry: Entry): void {
    entry.state = { kind: 'active' };
    const { priority, uid } = entry.facts;
    const bucket = this.#active.get(priority);
    if (bucket === undefined) this.#active.set(priority, new Set([uid]));
    else bucket.add(uid);
  }

  #deactivate(entry: Entry): void {
    const { priority, uid } = entry.facts;
    const bucket = this.#active.get(priority);
    bucket?.delete(uid);
    if (bucket?.size === 0) this.#active.delete(priority);
  }
}

function helps(event: ClusterEvent, plugins: ReadonlySet<string>): boolean {
  if (event === 'node') return true;
  const helped = HELPED[event];
  return [...plugins].some((plugin) => helped.has(plugin));
}

function backoffMs(attempts: number): number {
  return Math.min(BACKOFF_MS_MIN * 2 ** Math.max(0, attempts - 1), BACKOFF_MS_MAX);
}
