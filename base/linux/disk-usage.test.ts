import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { diskUsage } from './disk-usage.ts';

function scratch(t: { teardown(run: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-sizes-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

await t.test('diskUsage() counts what is deeper than a path can be', async (t) => {
  const dir = scratch(t);
  const home = process.cwd();
  process.chdir(dir);
  for (let i = 0; i < 40; i++) {
    mkdirSync('d'.repeat(200));
    process.chdir('d'.repeat(200));
  }
  writeFileSync('hidden', Buffer.alloc(100_000));
  process.chdir(home);
  const { bytes } = await diskUsage(dir);
  t.ok(bytes >= 100_000, `${bytes}`);
});

await t.test('diskUsage() follows no link, and takes loops for what they are', async (t) => {
  const dir = scratch(t);
  const outside = scratch(t);
  writeFileSync(join(outside, 'large'), Buffer.alloc(1_000_000));
  symlinkSync(outside, join(dir, 'link'));
  symlinkSync('loop', join(dir, 'loop'));
  t.ok((await diskUsage(dir)).bytes < 1_000_000);
  // As if the pod had put the link there after its directory was listed.
  t.same(await diskUsage(join(dir, 'link')), { bytes: 0, inodes: 0 });
  t.same(await diskUsage(join(dir, 'loop')), { bytes: 0, inodes: 0 });
});

await t.test('diskUsage() counts a file with two names once, and every directory', async (t) => {
  const dir = scratch(t);
  mkdirSync(join(dir, 'below'));
  writeFileSync(join(dir, 'a'), Buffer.alloc(1_000_000, 1));
  linkSync(join(dir, 'a'), join(dir, 'below/b'));
  const { bytes, inodes } = await diskUsage(dir);
  t.ok(bytes >= 1_000_000 && bytes < 1_100_000, `${bytes}`);
  t.equal(inodes, 2);
});
