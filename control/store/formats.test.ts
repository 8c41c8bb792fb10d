/**
 * Directories of earlier formats stay readable (reference/store.md section 8, rule 11): each was recorded
 * by the software that wrote that format.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { MemoryDisk } from './disk/memory-disk.ts';
import type { EngineSettings } from './engine/open-engine.ts';
import { TestMember } from './testing/test-member.ts';
import { VERSION } from './versions.ts';

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

for (const name of ['format-1', 'format-2', 'format-3']) {
  t.test(`a directory of ${name} opens, and goes on in the present one`, async (t) => {
    const { disk, expected } = recorded(name);
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
    t.match(member.engine.status(), { revision, compactRevision, keyCount, version: VERSION });
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
}

t.test('what runs as the version before writes what that can read', async (t) => {
  const disk = new MemoryDisk();
  const settings = { checkpointLogBytes: 3000, segmentBytes: 2000, ballastPieceBytes: 64 };
  const open = (more: EngineSettings) =>
    new TestMember({
      disk,
      random: () => 0.5,
      monotonicMs: () => 0,
      settings: { ...settings, ...more },
    });
  const write = async (member: TestMember) => {
    const put = { kind: 'put', request: { key: 'k', value: new Uint8Array(100) } } as const;
    for (let i = 0; i < 60; i++) {
      void member.client.txn({ compare: [], success: [put], failure: [], isRelief: true }, signal);
      await member.run();
    }
  };
  const old = { runsAsVersion: VERSION - 1 };
  let member = open(old);
  await write(member);
  t.equal(member.engine.status().version, VERSION - 1);
  member.kill();
  member = open({ isVersionConfirmed: false });
  await write(member);
  t.equal(member.engine.status().version, VERSION - 1, 'this one may have to go back');
  member.kill();
  member = open(old);
  await write(member);
  t.equal(member.failure, undefined, 'as it did');
  member.kill();
  member = open({ isVersionConfirmed: false });
  member.engine.confirmVersion();
  member.tick();
  await member.run();
  t.equal(member.engine.status().version, VERSION, 'now it stays');
  member.kill();
  t.throws(() => open(old), { code: 'UNSUPPORTED', message: /version 2, known is 1/ }, 'the log');
  member = open({});
  await write(member);
  member.kill();
  t.throws(() => open(old), { code: 'UNSUPPORTED', message: /^group of checkpoint/ });
});
