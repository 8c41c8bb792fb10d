/** Members that start again in a group that went on without them. */
import t from 'tap';
import { must } from '#base/assert.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';

const { signal } = new AbortController();

const request = { key: 'a', value: Buffer.from('1') };
const write = { compare: [], success: [{ kind: 'put', request } as const], failure: [] };

t.test('a member that knows only former members votes for one that came since', async (t) => {
  for (const seed of [1, 2, 3]) {
    const group = new Group(new SeededRandom(seed), {});
    await group.grow(3);
    const leader = must(group.leader, 'a leader');
    const [away, former] = group.members.filter((member) => member !== leader);
    must(away, 'a follower').kill();
    const client = group.connect(leader);
    const late = await group.finish(group.add(client), 20_000);
    const votes = () => leader.engine?.state.members.voters.includes(late.id) === true;
    await group.runUntil(votes, 20_000);
    await group.finish(group.dismiss(client, must(former, 'a follower').id), 20_000);
    await group.run(500);
    for (const member of group.members) member.kill();
    late.start();
    must(away, 'a follower').start();
    // Two of the three voters: the one that is gone and the one that was removed say nothing.
    await group.runUntil(() => late.engine?.isLeader === true, 20_000);
    const { store } = group.connect(late);
    t.ok((await group.finish(store.txn(write, signal), 10_000)).succeeded);
    group.close();
  }
});
