/**
 * Records a store's directory as the present software writes it, for formats.test.ts: made once for each
 * released format, and kept for good.
 *
 *   node control/store/testing/record-format.ts > control/store/testing/format-N.gen.json
 */
import { execFileSync } from 'node:child_process';
import { MemoryDisk } from '../disk/memory-disk.ts';
import type { Operation } from '../port.ts';
import { SeededRandom } from './seeded-random.ts';
import { TestMember } from './test-member.ts';

const { signal } = new AbortController();
/** The text of the line in which a record says where it comes from. */
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const settings = {
  checkpointLogBytes: 3000,
  segmentBytes: 2000,
  preallocateBytes: 512,
  ballastPieceBytes: 64,
};

const disk = new MemoryDisk();
const { next } = new SeededRandom(1);
const member = new TestMember({ disk, random: next, monotonicMs: () => 0, settings });

async function done<T>(promise: Promise<T>): Promise<T> {
  await member.run();
  return promise;
}

function write(...success: Operation[]): Promise<unknown> {
  return done(member.client.txn({ compare: [], success, failure: [] }, signal));
}

function put(key: string, value: string, leaseId?: string): Operation {
  return { kind: 'put', request: { key, value: Buffer.from(value), leaseId } };
}

for (let i = 0; i < 60; i++) await write(put(`key-${i % 8}`, `value ${i}`));
const { leaseId } = await done(member.client.leaseGrant(3600, signal));
await write(put('key-3', 'with a lease', leaseId), put('key-4', 'in one revision'));
await write({ kind: 'deleteRange', request: { key: 'key-6', rangeEnd: 'key-8' } });
await done(member.client.compact(20, signal));
for (let i = 0; i < 20; i++) await write(put(`more-${i % 5}`, `value ${i}`));
const { kvs } = await done(member.client.range({ key: '\0', rangeEnd: '\0' }, signal));
const { revision, compactRevision, raftIndex, keyCount } = member.engine.status();
await member.close();
const files = disk.list().map((name) => {
  const file = disk.open(name);
  const bytes = Buffer.alloc(file.size);
  file.read(bytes, 0);
  return [name, bytes.toString('base64')];
});
const text = { $source: `a directory written at commit ${commit} by record-format.ts` };
const expected = kvs.map((kv) => ({ ...kv, value: Buffer.from(kv.value).toString() }));
const status = { revision, compactRevision, raftIndex, keyCount };
console.log(
  JSON.stringify(
    { ...text, status, kvs: expected, files: Object.fromEntries(files) },
    undefined,
    1,
  ),
);
