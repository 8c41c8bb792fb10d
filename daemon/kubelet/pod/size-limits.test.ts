import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { bytesOf } from './size-limits.ts';

function scratch(t: { teardown(run: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-sizes-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

await t.test('bytesOf() counts what is deeper than a path can be', async (t) => {
  const dir = scratch(t);
  const home = process.cwd();
  process.chdir(dir);
  for (let i = 0; i < 40; i++) {
    mkdirSync('d'.repeat(200));
    process.chdir('d'.repeat(200));
  }
  writeFileSync('hidden', Buffer.alloc(100_000));
  process.chdir(home);
  const bytes = await bytesOf(dir);
  t.ok(bytes >= 100_000, `${bytes}`);
});

await t.test('bytesOf() follows no link, and takes loops for what they are', async (t) => {
  const dir = scratch(t);
  const outside = scratch(t);
  writeFileSync(join(outside, 'large'), Buffer.alloc(1_000_000));
  symlinkSync(outside, join(dir, 'link'));
  symlinkSync('loop', join(dir, 'loop'));
  t.ok((await bytesOf(dir)) < 1_000_000);
  // As if the pod had put the link there after its directory was listed.
  t.equal(await bytesOf(join(dir, 'link')), 0);
  t.equal(await bytesOf(join(dir, 'loop')), 0);
});
