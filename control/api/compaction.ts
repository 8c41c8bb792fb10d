/**
 * Compaction of the store's history: every five minutes up to the revision of five minutes ago, so
 * that continue tokens and watches of that age still work (etcd3 compactor of kube-apiserver).
 */
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { type Store, StoreError } from '#control/store/store.ts';
import { COMPACTION_PERIOD_MS } from './limits.ts';

/** Runs until `signal` aborts. */
export async function compactPeriodically(
  io: { store: Store; clock: Clock; log: Log; hub: { compactRevision: number } },
  signal: AbortSignal,
): Promise<void> {
  const start = await io.store.status(signal);
  io.hub.compactRevision = start.compactRevision;
  let seen = start.revision;
  for (;;) {
    await io.clock.sleep(COMPACTION_PERIOD_MS, signal);
    try {
      const before = await io.store.status(signal);
      if (seen > before.compactRevision) await io.store.compact(seen, signal);
      // Caches may reach further back, but a list must not: clients rely on tokens that expire.
      io.hub.compactRevision = Math.max(seen, before.compactRevision);
      seen = before.revision;
    } catch (error) {
      signal.throwIfAborted();
      const isDone = error instanceof StoreError && error.code === 'COMPACTED';
      if (!isDone) io.log.warn('cannot compact the store', { error });
    }
  }
}
