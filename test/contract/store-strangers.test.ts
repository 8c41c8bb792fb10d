/** Members as processes that meet others of their group whom they do not know yet. */
import t from 'tap';
import { must } from '#base/assert.ts';
import { StoreGroup, leaderOf, waitFor } from './store-process.ts';

const { signal } = new AbortController();

function put(key: string) {
  const request = { key, value: Buffer.from(key) };
  return { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
}

t.test(
  'a member that was away while its next leader came in finds its way',
  { timeout: 120_000 },
  async (t) => {
    await using group = await StoreGroup.start({}, signal);
    const store = await group.connect([0, 1], signal);
    const away = must(group.members[2], 'a member');
    await away.end('SIGKILL');
    const number = await group.grow(store, {}, signal);
    const { members } = await store.members(signal);
    const key = must(group.members[number], 'a member').identity.key;
    const id = must(members.find((member) => member.key === key)?.id, 'a member');
    const each = await Promise.all([0, 1, number].map((at) => group.connect([at], signal)));
    const leads = async () => (await leaderOf(each)) === 2;
    await waitFor(async () => {
      await store.moveLeader(id, signal).catch(() => {});
      return leads();
    });
    await store.txn(put('of the new leader'), signal);
    await away.start();
    const own = await group.connect([2], signal);
    const { kvs } = await own.range({ key: 'of the new leader' }, AbortSignal.timeout(15_000));
    t.equal(kvs.length, 1);
    t.ok(await leads(), 'and the leader is the same');
  },
);
