import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { removeTree } from './remove-tree.ts';

/** Nests `count` directories below `top`, as a container can: by relative names. */
function nest(top: string, count: number): void {
  const home = process.cwd();
  process.chdir(top);
  try {
    for (let i = 0; i < count; i++) {
      const name = 'd'.repeat(200);
      mkdirSync(name);
      mkdirSync('sibling');
      writeFileSync('file', '');
      process.chdir(name);
    }
  } finally {
    process.chdir(home);
  }
}

await t.test('removeTree() removes what is deeper than a path can be', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-remove-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const root = join(dir, 'root');
  const kept = join(dir, 'kept');
  mkdirSync(root);
  mkdirSync(kept);
  symlinkSync(kept, join(root, 'link'));
  nest(root, 60);
  await removeTree(root);
  t.notOk(existsSync(root));
  t.ok(existsSync(kept), 'links are not followed');
  await removeTree(root);
});
