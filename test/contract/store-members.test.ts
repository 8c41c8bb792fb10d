/**
 * Goal: of a group of three processes the leader may be killed at any moment; what was acknowledged is
 * kept by all, once, and writing goes on with the next leader.
 */
import t from 'tap';
import type { Test } from 'tap';
import { must } from '#base/assert.ts';
import { StoreError } from '#control/store/store.ts';
import type { OwnStore } from '#control/store/store.ts';
import { StoreGroup, waitFor } from './store-process.ts';

const KILLS = 5;
const { signal } = new AbortController();

/** Writers that go on until they are stopped; remembers what was acknowledged. */
class Load {
  readonly acknowledged = new Set<string>();
  readonly unknown = new Set<string>();
  readonly #writers: Promise<void>[];
  #next = 0;
  #isStopped = false;

  constructor(stores: readonly OwnStore[], perStore: number) {
    this.#writers = stores.flatMap((store) =>
      Array.from({ length: perStore }, () => this.#write(store)),
    );
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#writers);
  }

  async #write(store: OwnStore): Promise<void> {
    while (!this.#isStopped) {
      const key = `k${String(this.#next++).padStart(9, '0')}`;
      const put = { kind: 'put', request: { key, value: Buffer.from('x'.repeat(200)) } } as const;
      try {
        await store.txn({ compare: [], success: [put], failure: [] }, signal);
        this.acknowledged.add(key);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.code === 'OUTCOME_UNKNOWN') this.unknown.add(key);
      }
    }
  }
}

/** The number of the process that leads. */
async function leaderOf(stores: readonly OwnStore[]): Promise<number> {
  let leader = -1;
  await waitFor(async () => {
    const statuses = await Promise.all(
      stores.map((store) => store.memberStatus(AbortSignal.timeout(1000)).catch(() => undefined)),
    );
    leader = statuses.findIndex((status) => status?.leaderId === status?.memberId && status);
    return leader >= 0;
  });
  return leader;
}

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
  const load = new Load([await group.connect([0, 1, 2], signal), ...each], 8);
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
  t.comment(`${load.acknowledged.size} acknowledged, ${load.unknown.size} unknown`);
  t.comment(`from kill to 50 more writes: ${outagesMs.join(', ')} ms`);
  const logged = group.members.flatMap((member) => member.logged).join('');
  const installed = logged.match(/snapshot installed/g)?.length ?? 0;
  t.comment(`${installed} snapshots installed`);
  for (const [number, store] of each.entries()) {
    const { kvs } = await store.range({ key: 'k', rangeEnd: 'l', keysOnly: true }, signal);
    const kept = new Map(kvs.map(({ key, version }) => [key, version]));
    const lost = [...load.acknowledged].filter((key) => !kept.has(key));
    t.same(lost, [], `member ${number} keeps all`);
    const twice = [...kept].filter(([, version]) => version !== 1);
    t.same(twice, [], `member ${number} executed each once`);
  }
});
