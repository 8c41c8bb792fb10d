/** Members whose states differ while no quorum says which of them is right. */
import t from 'tap';
import { must } from '#base/assert.ts';
import { decodePeerMessage } from '#control/store/codec/peer.ts';
import { ByteReader } from '#control/store/codec/bytes.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import type { SimClient } from './group.ts';
import type { SimMember } from './member.ts';

const { signal } = new AbortController();

const small = {
  checkpointLogBytes: 20_000,
  segmentBytes: 20_000,
  preallocateBytes: 4096,
  ballastPieceBytes: 512,
  logTailEntries: 10,
};

function put(client: SimClient, value: string) {
  const request = { key: 'a', value: Buffer.from(value) };
  const success = [{ kind: 'put', request } as const];
  return client.store.txn({ compare: [], success, failure: [] }, signal);
}

interface Disputed {
  readonly group: Group;
  readonly client: SimClient;
  readonly leader: SimMember;
  readonly away: SimMember;
}

/** Three members, of which one is away and the leader has another state than the third. */
async function disputed(seed: number, writesMissed: number): Promise<Disputed> {
  const group = new Group(new SeededRandom(seed), small);
  await group.grow(3);
  const leader = must(group.leader, 'a leader');
  const [away, other] = group.members.filter((member) => member !== leader);
  const client = group.connect(must(other, 'a follower'));
  await group.finish(put(client, 'first'), 10_000);
  must(away, 'a follower').kill();
  for (let i = 0; i < writesMissed; i++) {
    await group.finish(put(client, 'x'.repeat(500)), 10_000);
  }
  await group.run(500);
  group.oracle.suspects.add(leader);
  leader.engine?.state.leases.grant(999_999, 1000);
  // Its hash is taken behind each entry.
  await group.finish(put(client, 'second'), 10_000);
  await group.run(2500);
  return { group, client, leader, away: must(away, 'a follower') };
}

t.test('writes stop, and go on without the member that is found wrong', async (t) => {
  const { group, client, leader, away } = await disputed(1, 3);
  t.ok(leader.isUp, 'no quorum has found it wrong');
  t.same(leader.engine?.status().alarms, ['CORRUPT']);
  await t.rejects(group.finish(put(client, 'third'), 10_000), { code: 'CORRUPT' });
  away.start();
  await t.rejects(group.run(5000), { cause: { code: 'CORRUPT', message: /differs from that/ } });
  group.failures = [];
  t.notOk(leader.isUp);
  await group.finish(put(client, 'fourth'), 10_000);
  t.same(group.leader?.engine?.status().alarms, []);
  group.close();
});

t.test(
  'a leader that may be wrong gives away what a quorum has found right, no more',
  async (t) => {
    const { group, client, leader, away } = await disputed(2, 200);
    const applied = leader.engine?.state.appliedIndex ?? 0;
    const offered: number[] = [];
    group.network.watch = (from, _to, bytes) => {
      const message = decodePeerMessage(new ByteReader(bytes));
      if (from === leader.id && message.kind === 'snapshotOffer')
        offered.push(message.snapshot.index);
    };
    away.start();
    // With it there is a quorum that says who is wrong.
    await t.rejects(group.run(10_000), {
      cause: { code: 'CORRUPT', message: /differs from that/ },
    });
    group.failures = [];
    t.notOk(leader.isUp);
    t.ok(offered.length > 0, 'it lacked a snapshot');
    for (const index of offered) t.ok(index < applied, 'of the time before it was wrong');
    await group.runUntil(() => away.engine?.state.appliedIndex === applied, 10_000);
    t.ok(group.oracle.isAsKnown(away));
    await group.finish(put(client, 'third'), 10_000);
    group.close();
  },
);
