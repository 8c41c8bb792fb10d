/** A connection of the load generator to our store: the client that ships. */
import { connectStore } from '#control/store/transport/remote-store.ts';
import type { Access, Session } from './target.ts';

export async function connectBareboat(
  access: Extract<Access, { kind: 'bareboat' }>,
  signal: AbortSignal,
): Promise<Session> {
  const store = await connectStore(access, signal);
  return {
    async put(key, value) {
      const success = [{ kind: 'put', request: { key, value } }] as const;
      await store.txn({ compare: [], success, failure: [] }, signal);
    },
    async putAll(keys, value) {
      const success = keys.map((key) => ({ kind: 'put', request: { key, value } }) as const);
      await store.txn({ compare: [], success, failure: [] }, signal);
    },
    async get(key) {
      await store.range({ key }, signal);
    },
    async watch(prefix, seen) {
      const { revision } = await store.status(signal);
      const range = { key: prefix, rangeEnd: `${prefix}\xff`, startRevision: revision + 1 };
      follow(store.watch(range), seen).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    },
    close: () => void store.close().catch(() => {}), // The process ends.
  };
}

async function follow(
  watch: ReturnType<Awaited<ReturnType<typeof connectStore>>['watch']>,
  seen: (value: Uint8Array) => void,
): Promise<void> {
  for await (const batch of watch) {
    if (batch.kind === 'events') for (const { kv } of batch.events) seen(kv.value);
  }
}
