/** Snapshots of a store, and stores made of them. */
import t from 'tap';
import { MemoryDisk } from './disk/memory-disk.ts';
import { RESTORE_REVISION_STEP } from './limits.ts';
import { crc32, sha256 } from './native-digests.ts';
import { StoreError } from './port.ts';
import type { Operation, WatchBatch } from './port.ts';
import { restoreSnapshot } from './restore.ts';
import { setCheckpointFormat } from './testing/later-formats.ts';
import { SeededRandom } from './testing/seeded-random.ts';
import { TestMember } from './testing/test-member.ts';

const { signal } = new AbortController();
const settings = { checkpointLogBytes: 20_000, segmentBytes: 20_000, ballastPieceBytes: 512 };
const FILE = 'a.snapshot';

function open(disk: MemoryDisk): TestMember {
  return new TestMember({ disk, random: new SeededRandom(7).next, monotonicMs: () => 0, settings });
}

function put(key: string, value: string, leaseId?: string): Operation {
  return { kind: 'put', request: { key, value: Buffer.from(value), leaseId } };
}

async function done<T>(member: TestMember, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const settled = promise.finally(() => {
    isDone = true;
  });
  settled.catch(() => {});
  for (let i = 0; i < 50 && !isDone; i++) await member.run();
  return settled;
}

function write(member: TestMember, ...success: Operation[]) {
  return done(member, member.client.txn({ compare: [], success, failure: [] }, signal));
}

/** Writes a snapshot of the member to a disk of its own. */
async function snapshotOf(member: TestMember) {
  const disk = new MemoryDisk();
  const file = disk.create(FILE);
  const info = await done(
    member,
    (async () => {
      await using snapshot = await member.client.snapshot(signal);
      let at = 0;
      for await (const piece of snapshot.pieces(signal)) {
        file.write(piece, at);
        at += piece.length;
      }
      t.equal(at, snapshot.bytes);
      const { groupId, revision, index, bytes } = snapshot;
      return { groupId, revision, index, bytes };
    })(),
  );
  file.close();
  return { disk, info };
}

function restore(from: MemoryDisk, to: MemoryDisk) {
  const file = from.open(FILE);
  try {
    return restoreSnapshot({ crc32, sha256, random: Math.random }, { file, name: FILE }, to);
  } finally {
    file.close();
  }
}

async function filled(): Promise<TestMember> {
  const member = open(new MemoryDisk());
  for (let i = 0; i < 200; i++)
    await write(member, put(`key ${i % 40}`, `${i} ${'x'.repeat(300)}`));
  const { leaseId } = await done(member, member.client.leaseGrant(3600, signal));
  await write(member, put('leased', 'x', leaseId));
  await write(member, { kind: 'deleteRange', request: { key: 'key 3' } });
  return member;
}

async function all(member: TestMember) {
  const { kvs } = await done(member, member.client.range({ key: '\0', rangeEnd: '\0' }, signal));
  return kvs.map((kv) => ({ ...kv, value: Buffer.from(kv.value).toString() }));
}

t.test('a restored store is another group, far ahead, with nothing below', async (t) => {
  const member = await filled();
  const { disk, info } = await snapshotOf(member);
  t.equal(info.revision, member.engine.status().revision, 'all that was acknowledged');
  t.equal(info.groupId, member.engine.groupId);
  const kvs = await all(member);
  await write(member, put('later', 'x'));
  const to = new MemoryDisk();
  const made = restore(disk, to);
  t.equal(made.revision, info.revision + RESTORE_REVISION_STEP);
  const restored = open(to);
  t.not(restored.engine.groupId, member.engine.groupId);
  t.equal(restored.engine.groupId, made.groupId);
  t.not(restored.engine.memberId, member.engine.memberId);
  t.same(restored.engine.state.members.voters, [restored.engine.memberId]);
  t.same(await all(restored), kvs);
  t.match(restored.engine.status(), { revision: made.revision, compactRevision: made.revision });
  const failed = async (startRevision: number) => {
    const next = restored.client.watch({ key: 'a', rangeEnd: 'z', startRevision });
    const first = next[Symbol.asyncIterator]().next();
    return done(restored, first).catch((error: unknown) => error as StoreError);
  };
  t.match(await failed(info.revision + 1), { code: 'COMPACTED', compactRevision: made.revision });
  t.match(await failed(info.revision + 1000), { code: 'COMPACTED' }, 'one that never was, too');
  const { revision } = await write(restored, put('key 1', 'new'));
  t.equal(revision, made.revision + 1);
  const batch = (await failed(made.revision + 1)) as unknown as IteratorResult<WatchBatch>;
  t.match(batch.value, { kind: 'events', revision });
  await done(
    restored,
    restored.client.leaseRevoke(kvs.find(({ key }) => key === 'leased')?.leaseId ?? '', signal),
  );
  t.notOk(
    (await all(restored)).some(({ key }) => key === 'leased'),
    'leases are there',
  );
  restored.kill();
  const again = open(to);
  t.equal(again.engine.status().revision, revision + 1, 'and goes on from its own disk');
  again.kill();
  member.kill();
});

t.test('what is no whole snapshot is refused, and nothing is changed', async (t) => {
  const member = await filled();
  const { disk } = await snapshotOf(member);
  member.kill();
  const refused = (
    what: string,
    change: (bytes: Uint8Array) => Uint8Array,
    expected: { code: string; message?: RegExp },
  ) => {
    const file = disk.open(FILE);
    const bytes = new Uint8Array(file.size);
    file.read(bytes, 0);
    const bad = new MemoryDisk();
    bad.create(FILE).write(change(bytes), 0);
    const to = new MemoryDisk();
    t.throws(() => restore(bad, to), expected, what);
    t.same(to.list(), [], `${what}: nothing was written`);
  };
  const flipped =
    (at: number, bit = 1) =>
    (bytes: Uint8Array) => {
      const place = at < 0 ? bytes.length + at : at;
      bytes[place] = (bytes[place] ?? 0) ^ bit;
      return bytes;
    };
  const damaged = { code: 'CORRUPT' };
  refused('an empty file', () => new Uint8Array(0), {
    code: 'CORRUPT',
    message: /has 0 bytes only/,
  });
  refused('another file', () => new Uint8Array(5000).fill(65), {
    code: 'CORRUPT',
    message: /is no snapshot/,
  });
  refused('a cut file', (bytes) => bytes.subarray(0, bytes.length - 1), damaged);
  refused(
    'a file without its middle',
    (bytes) => Buffer.concat([bytes.subarray(0, 500), bytes.subarray(900)]),
    damaged,
  );
  refused('a changed record', flipped(300), {
    code: 'CORRUPT',
    message: /damaged chunk at byte 0/,
  });
  refused('a changed manifest', flipped(-60), { code: 'CORRUPT', message: /damaged manifest/ });
  refused('a changed format version', flipped(-40, 0x40), {
    code: 'CORRUPT',
    message: /format version 67 in its trailer only/,
  });
  const later = (bytes: Uint8Array) => {
    setCheckpointFormat(bytes, 67);
    return bytes;
  };
  refused('a later format', later, { code: 'UNSUPPORTED', message: /format version 67, known/ });
});

t.test('a directory that holds a store is left as it is', async (t) => {
  const member = await filled();
  const { disk } = await snapshotOf(member);
  const to = new MemoryDisk();
  const other = open(to);
  await write(other, put('mine', 'x'));
  other.kill();
  const before = to.list();
  t.throws(() => restore(disk, to), { code: 'INVALID_REQUEST', message: /store already/ });
  t.same(to.list(), before);
  member.kill();
});

t.test('snapshots are bounded, and given up by who falls silent', async (t) => {
  const member = await filled();
  const [first] = await Promise.all(
    Array.from({ length: 8 }, () => done(member, member.client.snapshot(signal))),
  );
  await t.rejects(done(member, member.client.snapshot(signal)), { code: 'UNAVAILABLE' });
  const pieces = first?.pieces(signal)[Symbol.asyncIterator]();
  t.match(await done(member, Promise.resolve(pieces?.next())), { done: false });
  for (let i = 0; i < 700; i++) member.tick();
  if (first !== undefined) {
    const late = first.pieces(signal)[Symbol.asyncIterator]().next();
    await t.rejects(done(member, late), { code: 'UNAVAILABLE' });
  }
  const next = await done(member, member.client.snapshot(signal));
  t.ok(next.bytes > 0, 'there is room again');
  member.kill();
});
