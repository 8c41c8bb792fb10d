/**
 * Goal: of a group of three processes the leader may be killed at any moment; what was acknowledged is
 * kept by all, once, and writing goes on with the next leader.
 */
import t from 'tap';
import type { Test } from 'tap';
import { must } from '#base/assert.ts';
import type { OwnStore } from '#control/store/store.ts';
import { StoreLoad, checkHistory, describeLoad } from './store-load.ts';
import { StoreGroup, leaderOf, waitFor } from './store-process.ts';

const KILLS = 5;
const { signal } = new AbortController();

/** A leader that stood still wakes up to another one: it must not answer from its old state. */
async function stopLeader(t: Test, group: StoreGroup, stores: readonly OwnStore[]): Promise<void> {
  const number = await leaderOf(stores);
  const [old, pid] = [must(stores[number], 'a store'), must(group.members[number]?.pid, 'a pid')];
  process.kill(pid, 'SIGSTOP');
  const others = stores.filter((store) => store !== old);
  let revision = 0;
  await waitFor(async () => {
    const answer = await must(others[0], 'a store')
      .status(AbortSignal.timeout(1000))
      .catch(() => {});
    const isNew = await leaderOf(others).then((leader) => leader >= 0);
    revision = answer?.revision ?? 0;
    return isNew && revision > 0;
  });
  const read = old.range({ key: 'k' }, signal);
  process.kill(pid, 'SIGCONT');
  t.ok((await read).revision >= revision, 'the old leader answers with what came meanwhile');
}

t.test('SIGKILL of leaders loses no acknowledged write', { timeout: 240_000 }, async (t) => {
  const settings = { checkpointLogBytes: 200_000, logTailEntries: 50 };
  await using group = await StoreGroup.start(settings, signal);
  const each = await Promise.all([0, 1, 2].map((number) => group.connect([number], signal)));
  const load = new StoreLoad([await group.connect([0, 1, 2], signal), ...each], {
    writersPerStore: 8,
    pauseMs: 0,
    signal,
  });
  const outagesMs: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    await waitFor(() => Promise.resolve(load.acknowledged.size > 300 * (kill + 1)));
    const leader = must(group.members[await leaderOf(each)], 'a member');
    const before = load.acknowledged.size;
    const startedAt = performance.now();
    await leader.end('SIGKILL');
    await waitFor(() => Promise.resolve(load.acknowledged.size > before + 50));
    outagesMs.push(Math.round(performance.now() - startedAt));
    await leader.start();
  }
  await stopLeader(t, group, each);
  await load.stop();
  t.comment(describeLoad(load));
  t.comment(`from kill to 50 more writes: ${outagesMs.join(', ')} ms`);
  const logged = group.members.flatMap((member) => member.logged).join('');
  const installed = logged.match(/snapshot installed/g)?.length ?? 0;
  t.comment(`${installed} snapshots installed`);
  await checkHistory(t, load, { stores: each, signal });
});
