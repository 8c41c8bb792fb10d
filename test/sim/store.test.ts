/**
 * Groups of stores in the simulator: random schedules (run.ts), and those whose every step matters.
 * SIM_SEEDS=1000 SIM_SEED=1 runs more of them.
 */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { must } from '#base/assert.ts';
import { ByteReader, ByteWriter } from '#control/store/codec/bytes.ts';
import { COMMAND, beginCommand } from '#control/store/codec/command.ts';
import { decodePeerMessage } from '#control/store/codec/peer.ts';
import { writeMemberRequest } from '#control/store/codec/roster.ts';
import { ASK } from '#control/store/engine/peers.ts';
import type { PeerMessage } from '#control/store/engine/peers.ts';
import { StoreError } from '#control/store/port.ts';
import type { Store, TxnRequest, WatchEvent } from '#control/store/port.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { VERSION } from '#control/store/versions.ts';
import { Group } from './group.ts';
import { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { PowerFailure } from './member.ts';
import type { SimMember } from './member.ts';
import { Trace, tracedDisk } from './trace.ts';
import { ENOUGH, Tally, runSeed } from './run.ts';

const { signal } = new AbortController();
const patient = { timeout: 240_000 };

function put(key: string, value: string, leaseId?: string): TxnRequest {
  const request = { key, value: Buffer.from(value), leaseId };
  return { compare: [], success: [{ kind: 'put', request }], failure: [] };
}

/** First byte of a chunk of a snapshot (codec/peer.ts). */
const CHUNK = 14;

const APPEND_RESPONSE = 6;
const HEARTBEAT = 7;

/** The same of a leader's answer to another member. */
const ANSWER = 17;

const small = {
  checkpointLogBytes: 20_000,
  segmentBytes: 20_000,
  preallocateBytes: 4096,
  ballastPieceBytes: 512,
  logTailEntries: 10,
};

async function threeMembers(seed = 1): Promise<Group> {
  const group = new Group(new SeededRandom(seed), small);
  await group.grow(3);
  return group;
}

function followers(group: Group): [SimMember, SimMember] {
  const [one, other] = group.members.filter((member) => member !== group.leader);
  return [must(one, 'a follower'), must(other, 'another follower')];
}

async function codeOf(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
    return 'ok';
  } catch (error) {
    return error instanceof StoreError ? error.code : String(error);
  }
}

function equalStates(group: Group): boolean {
  const states = group.members.map(({ engine }) => engine?.state.appliedIndex);
  return states.every((index) => index !== undefined && index === states[0]);
}

async function fill(group: Group, store: Store, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await group.finish(store.txn(put(`key ${i % 97}`, `${i} ${'x'.repeat(500)}`), signal), 10_000);
  }
}

t.test('random schedules: what clients were told holds, and members agree', patient, async (t) => {
  const { SIM_SEED = '1', SIM_SEEDS = '5' } = process.env;
  const tally = new Tally();
  for (let i = 0; i < Number(SIM_SEEDS); i++) tally.add(await runSeed(Number(SIM_SEED) + i));
  const { counts, seeds } = tally;
  t.equal(seeds, Number(SIM_SEEDS));
  t.ok((counts['writes acknowledged'] ?? 0) >= seeds * ENOUGH.writes, 'writes');
  t.ok((counts['leader changes'] ?? 0) >= seeds * ENOUGH.leaderChanges, 'changes of leader');
  t.ok((counts['watches resumed'] ?? 0) >= seeds * ENOUGH.watchesResumed, 'watches taken up again');
});

t.test('a seed gives the same run in another process', patient, (t) => {
  const run = (seed: number) =>
    execFileSync(process.execPath, ['--no-warnings', `${import.meta.dirname}/run.ts`, `${seed}`], {
      encoding: 'utf8',
    });
  const first = run(3);
  t.match(first, /^hash: [0-9a-f]{16}$/m);
  t.equal(run(3), first);
  t.end();
});

t.test('the hash of a run covers messages, disks and answers', async (t) => {
  const traceOf = async (change: (group: Group) => void) => {
    const group = await threeMembers();
    const { store } = group.connect(must(group.leader, 'a leader'));
    change(group);
    await group.finish(store.txn(put('a', '1'), signal), 2000);
    await group.run(500);
    group.close();
    return group.trace.hash;
  };
  const plain = await traceOf(() => {});
  t.equal(await traceOf(() => {}), plain);
  const late = await traceOf(({ network }) => {
    network.isLate = (bytes) => bytes[0] === HEARTBEAT;
  });
  t.not(late, plain, 'messages');
  const traced: string[] = [];
  const disk = tracedDisk(new MemoryDisk(), (what) => traced.push(what));
  const file = disk.create('a');
  file.write(new Uint8Array(3), 1);
  file.truncate(2);
  file.sync();
  disk.rename('a', 'b');
  disk.syncDirectory();
  disk.remove('b');
  t.same(traced, [
    'create a',
    'write a 1',
    'truncate a 2',
    'sync a',
    'rename a b',
    'sync directory',
    'remove b',
  ]);
  const hashOf = (...notes: readonly (readonly [string, number, Uint8Array])[]) => {
    const trace = new Trace();
    for (const [what, atMs, bytes] of notes) trace.note(what, { atMs, from: 1 }, bytes);
    return trace.hash;
  };
  const [one, other] = [new Uint8Array([1]), new Uint8Array([2])];
  const hashes = [
    hashOf(['answer', 1, one]),
    hashOf(['answer', 1, other]),
    hashOf(['answer', 2, one]),
    hashOf(['message', 1, one]),
    hashOf(['answer', 1, one], ['answer', 1, other]),
    hashOf(['answer', 1, other], ['answer', 1, one]),
  ];
  t.equal(new Set(hashes).size, hashes.length, 'kind, time, content and order');
});

t.test('a write through a follower is seen there at once, and watched', async (t) => {
  const group = await threeMembers();
  const { store } = group.connect(followers(group)[0]);
  const events: WatchEvent[] = [];
  const watching = (async () => {
    for await (const batch of store.watch({ key: 'a', rangeEnd: 'b' })) {
      if (batch.kind === 'events') events.push(...batch.events);
    }
  })().catch(() => {});
  await group.finish(store.txn(put('a', '1'), signal), 2000);
  const { kvs } = await group.finish(store.range({ key: 'a' }, signal), 2000);
  t.equal(kvs.length, 1);
  await group.run(100);
  t.equal(events.length, 1);
  const { leaderId, members } = await group.finish(store.members(signal), 2000);
  t.equal(leaderId, group.leader?.id);
  t.same(
    members.map(({ role }) => role),
    ['voter', 'voter', 'voter'],
  );
  group.close();
  await watching;
});

t.test('an answer of the leader that comes after the entry itself is no loss', async (t) => {
  const group = await threeMembers();
  const { store } = group.connect(followers(group)[0]);
  group.network.isLate = (bytes) => bytes[0] === ANSWER;
  t.equal(await group.finish(codeOf(store.txn(put('a', '1'), signal)), 2000), 'ok');
  const answer = await group.finish(store.txn(put('a', '2'), signal), 2000);
  t.match(answer, { revision: 3, succeeded: true });
  const { kvs } = await group.finish(store.range({ key: 'a' }, signal), 2000);
  t.equal(kvs[0]?.version, 2, 'each was executed once');
  group.close();
});

t.test('without a quorum requests end in bounded time', async (t) => {
  const group = await threeMembers();
  const leader = must(group.leader, 'a leader');
  const { store } = group.connect(leader);
  await group.finish(store.txn(put('a', '1'), signal), 2000);
  for (const member of followers(group)) member.kill();
  const requests = [
    store.txn(put('a', '2'), signal),
    store.range({ key: 'a' }, signal),
    store.leaseGrant(10, signal),
  ];
  const codes = await group.finish(Promise.all(requests.map(codeOf)), 60_000);
  t.same(codes, ['OUTCOME_UNKNOWN', 'UNAVAILABLE', 'OUTCOME_UNKNOWN']);
  const askedAt = group.time.nowMs;
  t.equal(await group.finish(codeOf(store.txn(put('a', '3'), signal)), 10_000), 'UNAVAILABLE');
  t.equal(await group.finish(codeOf(store.range({ key: 'a' }, signal)), 10_000), 'UNAVAILABLE');
  t.ok(group.time.nowMs - askedAt < 100, 'at once, when nobody has led for long');
  for (const member of group.members) member.start();
  // The client's member must have heard of the leader.
  const knowsLeader = () => (leader.engine?.status().leaderId ?? 0) !== 0;
  await group.runUntil(knowsLeader, 10_000);
  t.equal(await group.finish(codeOf(store.txn(put('a', '4'), signal)), 10_000), 'ok');
  group.close();
});

t.test('a watch on a member that is cut off ends', async (t) => {
  const group = await threeMembers();
  const [alone] = followers(group);
  const { store } = group.connect(alone);
  await group.finish(store.txn(put('a', '1'), signal), 2000);
  const watching = codeOf(
    (async () => {
      for await (const _batch of store.watch({ key: 'a' }));
    })(),
  );
  for (const { id } of group.members) group.network.cut(alone.id, id, false);
  t.equal(await group.finish(watching, 10_000), 'UNAVAILABLE');
  group.close();
});

t.test('power cuts at every step of an installation lose nothing', patient, async (t) => {
  const settings = { ...small, checkpointLogBytes: 3000 };
  let installed = 0;
  for (let cutAt = 0; cutAt < 40; cutAt++) {
    const group = new Group(new SeededRandom(cutAt), settings);
    await group.grow(3);
    const [away] = followers(group);
    const { store } = group.connect(must(group.leader, 'a leader'));
    away.kill();
    await group.run(2500); // Then the leader counts on it no more, and lets go of its log.
    await fill(group, store, 60);
    away.start();
    // From the last chunk on: what is written of the log, of names and directories.
    let left = Number.POSITIVE_INFINITY;
    away.disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new PowerFailure('power failed');
    };
    group.network.watch = (_from, to, bytes) => {
      if (bytes[0] === CHUNK && to === away.id) left = cutAt;
    };
    await group.run(1000);
    away.kill();
    away.disk.faults.beforeChange = () => {};
    away.disk.crash({ keep: () => group.random.chance(0.5) });
    away.start();
    await group.runUntil(() => equalStates(group), 30_000);
    installed += group.oracle.installed;
    group.close();
  }
  t.ok(installed > 20, `${installed} snapshots were installed by running members`);
});

t.test('a follower that was away for long gets a snapshot, and only what it lacks', async (t) => {
  const group = await threeMembers();
  const [away] = followers(group);
  const { store } = group.connect(must(group.leader, 'a leader'));
  await fill(group, store, 150);
  await group.runUntil(() => equalStates(group), 5000);
  away.kill();
  await fill(group, store, 200);
  let chunks = 0;
  group.network.watch = (_from, _to, bytes) => {
    if (bytes[0] === CHUNK) chunks++;
  };
  away.start();
  await group.runUntil(() => equalStates(group), 30_000);
  t.ok(group.oracle.installed > 0, 'a snapshot was installed');
  t.ok(chunks > 0, `${chunks} chunks were sent`);
  await fill(group, store, 20);
  await group.runUntil(() => equalStates(group), 5000);
  group.close();
});

t.test('a transfer goes on after its receiver or its sender crashed', async (t) => {
  for (const victim of ['receiver', 'sender']) {
    const group = await threeMembers(7);
    const [away] = followers(group);
    const { store } = group.connect(must(group.leader, 'a leader'));
    away.kill();
    await fill(group, store, 600);
    let isCrashed = false;
    group.network.watch = (from, to, bytes) => {
      if (bytes[0] !== CHUNK || isCrashed) return;
      isCrashed = true;
      const dead = must(group.member(victim === 'receiver' ? to : from), 'a member');
      group.time.after(0, () => {
        dead.kill();
        dead.disk.crash({ keep: () => group.random.chance(0.5) });
        group.time.after(1500, () => dead.start());
      });
    };
    away.start();
    await group.runUntil(() => isCrashed && equalStates(group), 60_000);
    t.ok(group.oracle.installed > 0, `${victim}: a snapshot was installed`);
    t.same(
      away.disk.list().filter((name) => name.endsWith('.part')),
      [],
      'nothing of the transfer stays',
    );
    group.close();
  }
});

t.test('a leader can be removed, and a member replaced under a new id', async (t) => {
  const group = await threeMembers();
  const leader = must(group.leader, 'a leader');
  const client = group.connect(followers(group)[0]);
  const { store } = client;
  await group.finish(store.txn(put('a', '1'), signal), 2000);
  t.equal(await group.finish(codeOf(store.removeMember(leader.id, signal)), 5000), 'ok');
  group.remove(leader);
  t.equal(await group.finish(codeOf(store.txn(put('a', '2'), signal)), 10_000), 'ok');
  const added = await group.finish(group.add(client), 10_000);
  await group.runUntil(
    () => added.engine?.state.members.voters.includes(added.id) === true,
    10_000,
  );
  t.not(added.id, leader.id);
  t.equal(added.engine?.state.members.voters.length, 3);
  const [gone] = group.members;
  must(gone, 'a member').kill();
  await group.run(3000);
  t.equal(
    await group.finish(codeOf(store.removeMember(added.id, signal)), 5000),
    'UNAVAILABLE',
    'of the two voters that would be left only one answers',
  );
  group.close();
});

t.test('a member that was removed refuses in bounded time', async (t) => {
  const group = await threeMembers();
  const [gone, other] = followers(group);
  const alone = group.connect(gone).store;
  const { store } = group.connect(other);
  const watching = codeOf(
    (async () => {
      for await (const _batch of alone.watch({ key: 'a' }));
    })(),
  );
  t.equal(await group.finish(codeOf(store.removeMember(gone.id, signal)), 5000), 'ok');
  await group.finish(store.txn(put('a', '1'), signal), 2000);
  const codes = Promise.all([codeOf(alone.range({ key: 'a' }, signal)), watching]);
  t.same(await group.finish(codes, 30_000), ['UNAVAILABLE', 'UNAVAILABLE']);
  group.close();
});

function askToAdd(id: number, term: number): PeerMessage {
  const out = new ByteWriter(64);
  writeMemberRequest(out, { kind: 'add', key: 'new', address: '', isToVote: true });
  return { kind: 'ask', id, term, what: ASK.changeMembers, body: out.take() };
}

t.test('a request of another member that comes doubled is taken once', async (t) => {
  const group = await threeMembers();
  const leader = must(group.leader?.engine, 'a leader');
  const [{ id }] = followers(group);
  const before = leader.tail.lastIndex;
  const out = new ByteWriter(8);
  beginCommand(out, COMMAND.openSession);
  const { term } = leader;
  const ask: PeerMessage = { kind: 'ask', id: 7, term, what: ASK.propose, body: out.take() };
  leader.receive(id, ask);
  leader.receive(id, ask);
  leader.pump();
  t.equal(leader.tail.lastIndex, before + 1);
  leader.receive(id, { ...ask, id: 8 });
  leader.pump();
  t.equal(leader.tail.lastIndex, before + 2);
  group.close();
});

t.test(
  'a request that a leader took is not called undone when its double finds it deposed',
  async (t) => {
    const group = await threeMembers();
    const member = must(group.leader, 'a leader');
    const former = must(member.engine, 'a leader');
    const [next] = followers(group);
    const out = new ByteWriter(8);
    beginCommand(out, COMMAND.openSession);
    const { term } = former;
    const ask: PeerMessage = { kind: 'ask', id: 7, term, what: ASK.propose, body: out.take() };
    const answers: string[] = [];
    group.network.watch = (from, _to, bytes) => {
      const message = decodePeerMessage(new ByteReader(bytes));
      const isAnswer = from === former.memberId && message.kind === 'answer';
      if (isAnswer) answers.push(`${message.id} ${message.result}`);
    };
    former.receive(next.id, ask);
    const { store } = group.connect(member);
    await group.finish(codeOf(store.moveLeader(next.id, signal)), 2000);
    await group.runUntil(() => group.leader === next, 2000);
    former.receive(next.id, ask);
    former.receive(next.id, { ...ask, id: 8 });
    member.pump();
    await group.run(1000);
    t.same(answers, ['7 taken', '8 notLeader']);
    group.close();
  },
);

t.test('who asks twice for a member gets one, though the first is just being added', async (t) => {
  const group = await threeMembers();
  const leader = must(group.leader?.engine, 'a leader');
  const [{ id }] = followers(group);
  await group.run(1000);
  let asked = 1;
  // The second question comes in the turn in which the first change is committed.
  group.network.watch = (from, to, bytes) => {
    if (to !== leader.memberId || bytes[0] !== APPEND_RESPONSE || asked > 1) return;
    leader.receive(from, decodePeerMessage(new ByteReader(bytes)));
    leader.receive(id, askToAdd(++asked, leader.term));
  };
  leader.receive(id, askToAdd(asked, leader.term));
  leader.pump();
  await group.run(1000);
  t.equal(asked, 2);
  t.equal(leader.state.roster.all().length, 4);
  group.close();
});

t.test('leadership is handed on when asked for', async (t) => {
  const group = await threeMembers();
  const [next] = followers(group);
  // Elsewhere the answer may come later than the news that it leads no more.
  const { store } = group.connect(must(group.leader, 'a leader'));
  t.equal(await group.finish(codeOf(store.moveLeader(next.id, signal)), 2000), 'ok');
  await group.runUntil(() => group.leader === next, 2000);
  t.equal(await group.finish(codeOf(store.txn(put('a', '2'), signal)), 2000), 'ok');
  group.close();
});

t.test('a leader that ends in order is followed at once', async (t) => {
  const group = await threeMembers();
  const leader = must(group.leader, 'a leader');
  await group.run(500);
  leader.engine?.resign();
  leader.pump();
  await group.run(20);
  leader.kill();
  await group.runUntil(() => group.leader !== undefined, 100);
  t.pass('within a few round trips');
  group.close();
});

t.test('a follower on a full disk lags, and catches up when there is room', async (t) => {
  const group = await threeMembers();
  const [full, other] = followers(group);
  const { store } = group.connect(other);
  await group.run(3000); // The ballast is complete.
  full.disk.faults.capacityBytes = full.disk.bytesUsed;
  await fill(group, store, 200);
  await group.run(3000);
  t.ok(full.isUp, 'it goes on');
  t.notOk(equalStates(group), 'it lags');
  const { raftTerm } = must(group.leader?.engine, 'a leader').status();
  full.disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
  await group.runUntil(() => equalStates(group), 20_000);
  t.equal(group.leader?.engine?.status().raftTerm, raftTerm, 'under the same leader');
  group.close();
});

t.test('a member whose disk was set back takes no part any more', async (t) => {
  const group = await threeMembers();
  const [old, other] = followers(group);
  const { store } = group.connect(other);
  const image = old.disk.image();
  await fill(group, store, 20);
  await group.runUntil(() => equalStates(group), 5000);
  old.kill();
  old.disk.rollBack(image);
  group.oracle.log.forget(old);
  old.start();
  await t.rejects(group.run(5000), { cause: { code: 'CORRUPT', message: /was set back$/ } });
  t.equal(old.isUp, false);
  group.close();
});

t.test('a member whose state differs is ended, the leader too', async (t) => {
  for (const part of ['follower', 'leader']) {
    const group = await threeMembers();
    const leader = must(group.leader, 'a leader');
    const victim = part === 'leader' ? leader : followers(group)[0];
    const { store } = group.connect(followers(group)[1]);
    await group.finish(store.txn(put('a', '1'), signal), 2000);
    group.oracle.suspects.add(victim);
    victim.engine?.state.leases.grant(999_999, 1000);
    void codeOf(store.txn(put('a', '2'), signal));
    await t.rejects(group.run(3000), { cause: { code: 'CORRUPT', message: /differs from that/ } });
    t.notOk(victim.isUp, `the ${part} ended`);
    group.failures = [];
    group.oracle.suspects.clear();
    t.equal(await group.finish(codeOf(store.txn(put('a', '3'), signal)), 10_000), 'ok');
    victim.start();
    await group.runUntil(() => equalStates(group), 10_000);
    await group.run(3000);
    t.ok(victim.isUp, `what the disk of the ${part} holds is right`);
    group.close();
  }
});

t.test('a lease is kept alive through a follower, survives its leader, and runs out', async (t) => {
  const group = await threeMembers();
  const leader = must(group.leader, 'a leader');
  const { store } = group.connect(followers(group)[0]);
  const { leaseId } = await group.finish(store.leaseGrant(5, signal), 2000);
  await group.finish(store.txn(put('leased', '1', leaseId), signal), 2000);
  const isThere = async () => {
    const { count } = await group.finish(store.range({ key: 'leased' }, signal), 10_000);
    return count === 1;
  };
  for (let i = 0; i < 4; i++) {
    await group.run(3000);
    t.equal(await group.finish(store.leaseKeepAlive(leaseId, signal), 5000), 5);
  }
  leader.kill();
  await group.run(4000);
  t.ok(await isThere(), 'the new leader starts it anew');
  await group.run(8000);
  t.notOk(await isThere(), 'nobody kept it alive');
  t.equal(
    await group.finish(codeOf(store.leaseKeepAlive(leaseId, signal)), 5000),
    'LEASE_NOT_FOUND',
  );
  group.close();
});

t.test('a whole group that lost its power goes on', async (t) => {
  const group = await threeMembers();
  const { store } = group.connect(must(group.leader, 'a leader'));
  await fill(group, store, 50);
  for (const member of group.members) {
    member.kill();
    member.disk.crash({ keep: () => false });
  }
  for (const member of group.members) member.start();
  const { count } = await group.finish(store.range({ key: 'key', rangeEnd: 'l' }, signal), 20_000);
  t.equal(count, 50);
  group.close();
});

t.test('the quota is a quarter of the smallest memory of a voter, on every member', async (t) => {
  const group = await threeMembers(4);
  const smallest = (count: number) => () =>
    group.members.every(({ engine }) => {
      const { quota } = must(engine, 'an engine').state;
      const memory = quota.memory();
      const least = Math.min(...memory.map(({ bytes }) => bytes));
      return memory.length === count && quota.bytes === Math.min(2 ** 31, least / 4);
    });
  await group.runUntil(smallest(3), 20_000);
  const gone = must(
    group.members.find((member) => member !== group.leader),
    'a follower',
  );
  const client = group.connect(must(group.leader, 'a leader'));
  await group.finish(client.store.removeMember(gone.id, signal), 20_000);
  group.remove(gone);
  await group.runUntil(smallest(2), 20_000);
  t.pass('also when one is removed');
  group.close();
});

t.test('a group is raised when the last member runs the new version', async (t) => {
  const group = new Group(new SeededRandom(5), { ...small, runsAsVersion: VERSION - 1 });
  await group.grow(3);
  const versions = () => group.members.map(({ engine }) => engine?.state.version);
  for (const member of group.members) {
    await group.run(20_000);
    t.same(versions(), [VERSION - 1, VERSION - 1, VERSION - 1]);
    member.kill();
    member.installed = { version: VERSION, former: undefined };
    member.start();
  }
  await group.runUntil(() => versions().every((version) => version === VERSION), 20_000);
  const client = group.connect(must(group.leader, 'a leader'));
  await fill(group, client.store, 50);
  await group.runUntil(() => equalStates(group), 20_000);
  group.close();
});

t.test('a group that was raised ends a member that runs the version before', async (t) => {
  const group = await threeMembers(6);
  const [member] = followers(group);
  await group.run(10_000);
  member.kill();
  member.installed = { version: VERSION - 1, former: undefined };
  t.same(group.failures, []);
  member.start();
  await group.run(1000).catch(() => {});
  t.match(group.failures, [{ code: 'UNSUPPORTED' }]);
  group.close();
});

/** A group whose clients use one lease of so many seconds, on which a key hangs. */
async function leased(ttlSeconds: number) {
  const group = await threeMembers(8);
  const leader = must(group.leader, 'a leader');
  const client = group.connect(leader);
  const { store } = client;
  const { leaseId } = await group.finish(store.leaseGrant(ttlSeconds, signal), 2000);
  await group.finish(store.txn(put('leased', '1', leaseId), signal), 2000);
  const isThere = () =>
    group.members.some(({ engine }) => {
      const mvcc = engine?.state.mvcc;
      return mvcc !== undefined && mvcc.current(Buffer.from('leased')) !== 0;
    });
  return { group, leader, store, leaseId, isThere };
}

t.test('what a keepalive promised outlives its leader, whatever was logged before', async (t) => {
  const { group, leader, store, leaseId, isThere } = await leased(200);
  await group.run(130_000);
  t.equal(await group.finish(store.leaseKeepAlive(leaseId, signal), 5000), 200);
  await group.run(20);
  leader.kill();
  await group.run(190_000 * 0.9);
  t.ok(isThere(), 'it is kept for what was promised');
  await group.runUntil(() => !isThere(), 60_000);
  t.pass('and no longer');
  group.close();
});

t.test(
  'leaders that die again and again keep no lease for ever',
  { timeout: 60_000 },
  async (t) => {
    const { group, isThere } = await leased(60);
    let changes = 0;
    for (; isThere() && changes < 20; changes++) {
      await group.run(20_000);
      const leader = must(group.leader, 'a leader');
      leader.kill();
      await group.run(1000);
      leader.start();
    }
    t.ok(changes < 10, `${changes} leaders saw it end`);
    group.close();
  },
);

t.test('a leader that is cut off acknowledges no keepalive', async (t) => {
  const { group, leader, store, leaseId } = await leased(60);
  for (const { id } of followers(group)) group.network.cut(leader.id, id, false);
  const code = await group.finish(codeOf(store.leaseKeepAlive(leaseId, signal)), 20_000);
  t.not(code, 'ok');
  group.close();
});

t.test('keepalives at once share a round', async (t) => {
  const { group, store, leaseId } = await leased(60);
  await group.run(500);
  let messages = 0;
  group.network.watch = () => {
    messages++;
  };
  const answers = Array.from({ length: 200 }, () => store.leaseKeepAlive(leaseId, signal));
  await group.finish(Promise.all(answers), 5000);
  t.ok(messages < 40, `${messages} messages between members`);
  group.close();
});

t.test('a keepalive behind a revocation that is under way fails', async (t) => {
  const { group, store, leaseId } = await leased(60);
  const [revoked, kept] = [
    codeOf(store.leaseRevoke(leaseId, signal)),
    codeOf(store.leaseKeepAlive(leaseId, signal)),
  ];
  t.equal(await group.finish(revoked, 5000), 'ok');
  t.equal(await group.finish(kept, 5000), 'LEASE_NOT_FOUND');
  group.close();
});
