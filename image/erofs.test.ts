import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { hashTree } from './erofs.ts';

/** A tree of a folder, two files and a link, made in the order of `names`. */
function makeTree(names: readonly string[] = ['a', 'b']): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-tree-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  mkdirSync(join(dir, 'folder'));
  for (const name of names) {
    writeFileSync(join(dir, 'folder', name), name);
    chmodSync(join(dir, 'folder', name), 0o644);
  }
  chmodSync(join(dir, 'folder'), 0o755);
  symlinkSync('folder/a', join(dir, 'link'));
  return dir;
}

const original = hashTree(makeTree(), []);

t.test('hashTree() is the same for equal trees', async (t) => {
  const later = makeTree(['b', 'a']);
  utimesSync(join(later, 'folder/a'), 1, 1);
  t.equal(hashTree(later, []), original);
});

const changes: readonly { name: string; change: (dir: string) => void }[] = [
  { name: 'a content', change: (dir) => writeFileSync(join(dir, 'folder/a'), 'A') },
  { name: 'a mode', change: (dir) => chmodSync(join(dir, 'folder/a'), 0o755) },
  { name: "a folder's mode", change: (dir) => chmodSync(join(dir, 'folder'), 0o700) },
  { name: 'a name', change: (dir) => renameSync(join(dir, 'folder/a'), join(dir, 'folder/c')) },
  { name: 'a new folder', change: (dir) => mkdirSync(join(dir, 'new')) },
  { name: 'a lost file', change: (dir) => rmSync(join(dir, 'folder/b')) },
  {
    name: 'what a link leads to',
    change: (dir) => {
      rmSync(join(dir, 'link'));
      symlinkSync('folder/b', join(dir, 'link'));
    },
  },
];
for (const { name, change } of changes) {
  t.test(`hashTree() sees ${name}`, async (t) => {
    const dir = makeTree();
    change(dir);
    t.not(hashTree(dir, []), original);
  });
}

t.test('hashTree() does not see what is left out', async (t) => {
  const dir = makeTree();
  const before = hashTree(dir, ['folder/a']);
  writeFileSync(join(dir, 'folder/a'), 'A');
  t.equal(hashTree(dir, ['folder/a']), before);
});
