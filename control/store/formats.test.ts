/**
 * Directories of earlier formats stay readable (reference/store.md section 8, rule 11): each was recorded
 * by the software that wrote that format.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { MemoryDisk } from './disk/memory-disk.ts';
import { TestMember } from './testing/test-member.ts';

const { signal } = new AbortController();

interface Recorded {
  readonly status: Readonly<Record<string, number>>;
  readonly kvs: readonly { readonly key: string; readonly value: string }[];
  readonly files: Readonly<Record<string, string>>;
}

function recorded(name: string): { disk: MemoryDisk; expected: Recorded } {
  const url = new URL(`./testing/${name}.gen.json`, import.meta.url);
  const expected = JSON.parse(readFileSync(url, 'utf8')) as Recorded; // Recorded as such.
  const disk = new MemoryDisk();
  for (const [file, content] of Object.entries(expected.files)) {
    const handle = disk.create(file);
    handle.write(Buffer.from(content, 'base64'), 0);
    handle.sync();
  }
  disk.syncDirectory();
  return { disk, expected };
}

t.test('a directory of format 1 opens, and goes on in the present one', async (t) => {
  const { disk, expected } = recorded('format-1');
  const settings = { checkpointLogBytes: 3000, segmentBytes: 2000, ballastPieceBytes: 64 };
  const open = () => new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings });
  const read = async (member: TestMember) => {
    const answer = member.client.range({ key: '\0', rangeEnd: '\0' }, signal);
    await member.run();
    const { kvs } = await answer;
    return kvs.map((kv) => ({ ...kv, value: Buffer.from(kv.value).toString() }));
  };
  let member = open();
  t.same(await read(member), expected.kvs);
  const { revision, compactRevision, keyCount } = expected.status;
  t.match(member.engine.status(), { revision, compactRevision, keyCount });
  const [voter] = member.engine.state.members.voters;
  t.equal(member.engine.state.members.voters.length, 1, 'its member stands in the log now');
  const value = new Uint8Array(100);
  for (let i = 0; i < 60; i++) {
    const put = { kind: 'put', request: { key: 'new', value } } as const;
    void member.client.txn({ compare: [], success: [put], failure: [] }, signal);
    await member.run();
    if (i % 20 !== 0) continue;
    member.kill('killed');
    await new Promise((resolve) => setImmediate(resolve));
    member = open();
  }
  t.same(member.engine.state.members.voters, [voter]);
  t.same((await read(member)).slice(0, -1), expected.kvs);
  member.kill();
});
