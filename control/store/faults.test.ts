/**
 * Faults of the disk, as a client of the store sees them: random ones (testing/fault-run.ts), and
 * those whose every step matters.
 */
import t from 'tap';
import { MemoryDisk } from './disk/memory-disk.ts';
import type { Operation } from './port.ts';
import { runSeeds } from './testing/fault-run.ts';
import { TestMember } from './testing/test-member.ts';

const { signal } = new AbortController();

function open(disk: MemoryDisk): TestMember {
  const settings = { preallocateBytes: 4096, segmentBytes: 65_536, ballastPieceBytes: 8192 };
  return new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings });
}

function put(key: string, bytes: number): Operation {
  return { kind: 'put', request: { key, value: new Uint8Array(bytes) } };
}

/** 'ok', or the code of the refusal. */
async function write(member: TestMember, ...success: Operation[]): Promise<string> {
  const answer = member.client.txn({ compare: [], success, failure: [] }, signal).then(
    () => 'ok',
    (error: { code: string }) => error.code,
  );
  await member.run();
  return answer;
}

async function keys(member: TestMember): Promise<string[]> {
  const answer = member.client.range({ key: '\0', rangeEnd: '\0', keysOnly: true }, signal);
  await member.run();
  return (await answer).kvs.map(({ key }) => key);
}

async function ticks(member: TestMember, count: number): Promise<void> {
  for (let i = 0; i < count; i++) member.tick();
  await member.run();
}

const patient = { timeout: 120_000 };

for (const wal of ['inline', 'beside'] as const) {
  t.test(`random faults lose and change nothing unseen, log ${wal}`, patient, async (t) => {
    const { FAULT_SEED = '1', FAULT_SEEDS = '40' } = process.env;
    const counts = await runSeeds(Number(FAULT_SEED), Number(FAULT_SEEDS), wal);
    const met = [...counts.keys()].join(', ');
    t.ok(counts.size > 8 || FAULT_SEEDS !== '40', `kinds of faults met: ${met}`);
  });
}

t.test('a failing sync ends the store, and its writes are unknown, not lost', async (t) => {
  const disk = new MemoryDisk();
  const member = open(disk);
  t.equal(await write(member, put('a', 1)), 'ok');
  disk.faults.failSync = () => 'kept';
  t.equal(await write(member, put('x', 1)), 'OUTCOME_UNKNOWN');
  t.match(member.failure, { code: 'EIO' });
  await t.rejects(member.client.range({ key: 'x' }, signal), { code: 'CLOSED' });
  disk.faults.failSync = () => undefined;
  const second = open(disk);
  t.same(await keys(second), ['a', 'x'], 'the cache still has it');
  second.kill();
  disk.crash({ keep: () => false });
  t.same(await keys(open(disk)), ['a', 'x'], 'so it must stay');
});

t.test('a full disk refuses growth, answers reads, and takes writes again', async (t) => {
  const disk = new MemoryDisk();
  const member = open(disk);
  for (const key of ['a', 'b', 'c']) t.equal(await write(member, put(key, 100)), 'ok');
  await ticks(member, 20);
  t.equal(disk.list().filter((name) => name.startsWith('ballast-')).length, 8);
  disk.faults.capacityBytes = disk.bytesUsed;
  t.equal(await write(member, put('x', 20_000)), 'NO_SPACE');
  t.equal(await write(member, put('x', 1)), 'NO_SPACE', 'nothing that grows, however small');
  t.same(await keys(member), ['a', 'b', 'c']);
  t.equal(await write(member, put('a', 100)), 'ok', 'an update that does not grow');
  t.equal(await write(member, { kind: 'deleteRange', request: { key: 'b' } }), 'ok');
  await ticks(member, 40);
  t.equal(await write(member, put('x', 20_000)), 'NO_SPACE', 'as long as it is full');
  disk.faults.capacityBytes *= 2;
  await ticks(member, 40);
  t.equal(await write(member, put('x', 20_000)), 'ok');
  member.kill();
  disk.crash({ keep: () => false });
  t.same(await keys(open(disk)), ['a', 'c', 'x']);
});

t.test('on a full disk updates leave the deletes a share of the ballast', async (t) => {
  const disk = new MemoryDisk();
  const member = open(disk);
  t.equal(await write(member, put('a', 8000), put('b', 1)), 'ok');
  await ticks(member, 20);
  disk.faults.capacityBytes = disk.bytesUsed;
  t.equal(await write(member, put('c', 20_000)), 'NO_SPACE');
  let updates = 0;
  while ((await write(member, put('a', 8000))) === 'ok') updates++;
  t.ok(updates >= 3, `${updates} updates passed`);
  for (let i = 0; i < 100; i++) {
    if ((await write(member, { kind: 'deleteRange', request: { key: `a${i}` } })) !== 'ok') {
      t.fail(`delete ${i} was refused`);
    }
  }
  member.kill();
});

t.test('a store on a full disk starts and can delete', async (t) => {
  const disk = new MemoryDisk();
  const first = open(disk);
  for (const key of ['a', 'b', 'c']) t.equal(await write(first, put(key, 100)), 'ok');
  await ticks(first, 20);
  first.kill();
  disk.faults.capacityBytes = disk.bytesUsed;
  const second = open(disk);
  t.same(await keys(second), ['a', 'b', 'c']);
  t.equal(await write(second, { kind: 'deleteRange', request: { key: 'a' } }), 'ok');
  second.kill();
  disk.crash({ keep: () => false });
  const third = open(disk);
  t.same(await keys(third), ['b', 'c']);
  third.kill();
});

t.test('a store without ballast on a full disk says so', (t) => {
  const disk = new MemoryDisk();
  disk.faults.capacityBytes = 1000;
  t.throws(() => open(disk), { code: 'NO_SPACE' });
  t.same(disk.list(), [], 'and leaves nothing behind');
  t.end();
});

t.test('a bit that flips in memory ends the store at the next checkpoint', async (t) => {
  const disk = new MemoryDisk();
  const settings = { checkpointLogBytes: 2000, ballastPieceBytes: 512 };
  const reopen = () => new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings });
  const member = reopen();
  t.equal(await write(member, put('a', 100)), 'ok');
  const { mvcc } = member.engine.state;
  mvcc.value(mvcc.current(Buffer.from('a')))[50] = 1;
  for (let i = 0; i < 100 && !member.isDead; i++) await write(member, put('b', 100));
  t.match(member.failure, { code: 'CORRUPT', message: /^memory holds records with hash / });
  disk.crash({ keep: () => false });
  const next = reopen();
  const answer = next.client.range({ key: 'a' }, signal);
  await next.run();
  t.same([...((await answer).kvs[0]?.value ?? [])], [...new Uint8Array(100)], 'the log is right');
  next.kill();
});

t.test('a state that changed by itself is in no snapshot', async (t) => {
  const disk = new MemoryDisk();
  const reopen = () => open(disk);
  const member = reopen();
  t.equal(await write(member, put('a', 100)), 'ok');
  member.engine.state.leases.grant(7, 1000);
  const snapshot = member.client.snapshot(signal);
  const ended = t.rejects(snapshot, { code: 'CLOSED' });
  await member.run();
  t.match(member.failure, { code: 'CORRUPT', message: /^memory holds a state with hash / });
  await ended;
  disk.crash({ keep: () => false });
  const next = reopen();
  const answer = next.client.snapshot(signal);
  await next.run();
  t.equal((await answer).revision, 2);
  next.kill();
});

t.test('a checkpoint is written no faster than bulk traffic may be', async (t) => {
  const settings = { checkpointLogBytes: 100_000, bulkBytesPerSecondMax: 200_000 };
  const disk = new MemoryDisk();
  const member = new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings });
  for (let i = 0; i < 150; i++) await write(member, put(`k${i}`, 1000));
  const ofCheckpoints = () => member.logged.filter((line) => line === 'checkpoint written').length;
  const before = ofCheckpoints();
  t.equal(await write(member, put('k', 1)), 'ok', 'writes go on');
  let count = 0;
  while (ofCheckpoints() === before && count < 100) {
    await ticks(member, 1);
    count++;
  }
  t.ok(count >= 3, `${count} ticks for the rest of it, of 20,000 bytes each`);
  t.ok(count < 20, `${count} ticks`);
  member.kill();
});

t.test('a store that filled its disk has room again when it was emptied', async (t) => {
  const disk = new MemoryDisk();
  const settings = {
    checkpointLogBytes: 20_000,
    segmentBytes: 16_384,
    preallocateBytes: 4096,
    ballastPieceBytes: 4096,
  };
  const reopen = () => new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings });
  let member = reopen();
  await ticks(member, 20);
  disk.faults.capacityBytes = 300_000;
  let count = 0;
  while ((await write(member, put(`k${count}`, 1000))) === 'ok') count++;
  t.ok(count > 50, `${count} keys fit`);
  await ticks(member, 40);
  member.kill();
  member = reopen();
  await ticks(member, 40);
  for (let i = 0; i < count; i += 10) {
    const request = { key: `k${i}`, rangeEnd: `k${i}~` };
    t.equal(await write(member, { kind: 'deleteRange', request }), 'ok');
  }
  t.equal(await write(member, { kind: 'deleteRange', request: { key: 'k', rangeEnd: 'l' } }), 'ok');
  const { revision } = member.engine.status();
  const compacted = member.client.compact(revision, signal);
  await member.run();
  await compacted;
  await ticks(member, 40);
  t.equal(await write(member, put('new', 20_000)), 'ok');
  t.same(await keys(member), ['new']);
  t.ok(disk.bytesUsed < 150_000, `${disk.bytesUsed} bytes used`);
  member.kill();
  disk.crash({ keep: () => false });
  const last = reopen();
  t.same(await keys(last), ['new']);
  last.kill();
});
