import t from 'tap';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { type Store, StoreError } from '#control/store/store.ts';
import { compactPeriodically } from './compaction.ts';

/** What a run over `periods` periods compacts, in a store that grows by 10 revisions in each. */
async function run(periods: number, compactedElsewhere = 0) {
  const stop = new AbortController();
  const hub = { compactRevision: 0 };
  const done: number[] = [];
  let revision = 5;
  let compactRevision = compactedElsewhere;
  const store = {
    status: async () => ({ revision, compactRevision }),
    compact: async (to: number) => {
      if (to <= compactRevision) throw new StoreError('COMPACTED', 'compacted');
      compactRevision = to;
      done.push(to);
    },
  };
  const clock = {
    sleep: async () => {
      if (periods-- === 0) stop.abort();
      stop.signal.throwIfAborted();
      revision += 10;
    },
  };
  const log = { warn: (text: string) => t.fail(text) };
  // Only these members are used.
  const io = { store: store as unknown as Store, clock: clock as unknown as Clock, hub };
  await t.rejects(
    compactPeriodically({ ...io, log: log as unknown as Log }, stop.signal),
    /abort/i,
  );
  return { done, known: hub.compactRevision };
}

t.test('compactPeriodically() keeps one period, and lists learn of it', async (t) => {
  t.same(await run(0), { done: [], known: 0 });
  t.same(await run(1), { done: [5], known: 5 });
  t.same(await run(3), { done: [5, 15, 25], known: 25 });
  t.same(await run(3, 20), { done: [25], known: 25 }, 'another one compacted first');
});
