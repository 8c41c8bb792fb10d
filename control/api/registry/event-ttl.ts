/**
 * Events vanish after an hour: each is put under a lease of the store. One lease serves the events
 * of a minute, so that there are few.
 */
import type { Clock } from '#base/clock.ts';
import type { KubeObject } from '#base/kube/client.ts';
import type { LeaseId, Store } from '#control/store/store.ts';
import { EVENT_TTL_SECONDS } from '../limits.ts';
import type { WriteContext } from './admission.ts';
import type { Extra } from './object-storage.ts';
import type { KindHooks } from './write-hooks.ts';

const LEASE_SHARED_MS = 60_000;

export class EventTtl implements KindHooks {
  readonly #store: Store;
  readonly #clock: Clock;
  #lease: { granted: Promise<LeaseId>; untilMs: number } | undefined;

  constructor(parts: { store: Store; clock: Clock }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
  }

  onCreate(_object: KubeObject, context: WriteContext): Promise<Extra> {
    return this.#extra(context);
  }

  onUpdate(_object: KubeObject, _old: KubeObject, context: WriteContext): Promise<Extra> {
    return this.#extra(context);
  }

  async #extra(context: WriteContext): Promise<Extra> {
    if (context.dryRun) return { compare: [], operations: [] };
    const nowMs = this.#clock.monotonicMs();
    if (this.#lease === undefined || this.#lease.untilMs < nowMs) {
      const granted = this.#grant(context.signal);
      this.#lease = { granted, untilMs: nowMs + LEASE_SHARED_MS };
    }
    return { compare: [], operations: [], leaseId: await this.#lease.granted };
  }

  async #grant(signal: AbortSignal): Promise<LeaseId> {
    try {
      const seconds = EVENT_TTL_SECONDS + LEASE_SHARED_MS / 1000;
      return (await this.#store.leaseGrant(seconds, signal)).leaseId;
    } catch (error) {
      this.#lease = undefined; // The next event asks again.
      throw error;
    }
  }
}
