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
  io: { store: Store; clock: Clock; log: Log },
  signal: AbortSignal,
): Promise<void> {
  let seen = (await io.store.status(signal)).revision;
  for (;;) {
    await io.clock.sleep(COMPACTION_PERIOD_MS, signal);
    try {
      if (seen > 0) await io.store.compact(seen, signal);
      seen = (await io.store.status(signal)).revision;
    } catch (error) {
      signal.throwIfAborted();
      const isDone = error instanceof StoreError && error.code === 'COMPACTED';
      if (!isDone) io.log.warn('cannot compact the store', { error });
    }
  }
}
