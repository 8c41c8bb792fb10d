/** Members as processes whose disks went wrong while they were down. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { must } from '#base/assert.ts';
import { StoreGroup, freeAddress } from './store-process.ts';

const { signal } = new AbortController();

function put(key: string, value: string) {
  const request = { key, value: Buffer.from(value) };
  return { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
}

t.test('a log that rotted is repaired from another member', { timeout: 120_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'store-repair-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const dataDir = (number: number) => join(directory, String(number));
  const place = { address: freeAddress, enter: <T>(_: number, run: () => T) => run(), dataDir };
  await using group = await StoreGroup.start({}, signal, place);
  const store = await group.connect([0, 1, 2], signal);
  for (let i = 0; i < 300; i++)
    await store.txn(put(`k${i}`, `value ${i} ${'x'.repeat(300)}`), signal);
  await Promise.all(group.members.map((member) => member.end('SIGKILL')));
  const name = must(
    readdirSync(dataDir(1)).find((file) => file.startsWith('wal-')),
    'a log',
  );
  const path = join(dataDir(1), name);
  const bytes = readFileSync(path);
  const end = bytes.findLastIndex((byte) => byte !== 0);
  const at = Math.floor(end / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const [one, damaged] = group.members;
  // The third stays away: without the damaged one there is no quorum.
  await Promise.all([must(one, 'a member').start(), must(damaged, 'a member').start()]);
  const again = await group.connect([1], signal);
  const { count } = await again.range({ key: 'k', rangeEnd: 'l' }, signal);
  t.equal(count, 300);
  t.match(must(damaged, 'a member').logged.join(''), /log repaired/);
});
