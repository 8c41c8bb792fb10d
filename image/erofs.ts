/**
 * The root image: an erofs of the root tree, made by the build root's mkfs.erofs. Equal trees give equal
 * bytes: times are zero, owners root, the file system's id is fixed. Packing takes most of the build's
 * time, so an image of the same tree by the same tools and options stays as it is.
 */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildRoot } from './build-root.ts';
import { walk } from './root/walk.ts';

const FILE_SYSTEM_ID = 'b0a7b0a7-0000-4000-8000-000000000000';
/** Larger clusters pack better, and cost more where little of one is read. */
const COMPRESSION = ['-zzstd,level=9', '-C262144', '-Efragments'];

/**
 * Packs `folder/root` into `folder/target`; `leftOut` are paths from the root, `tools` are what makes one
 * build root different from another.
 */
export function packRoot(
  buildRoot: BuildRoot,
  paths: { folder: string; root: string; target: string; leftOut: readonly string[] },
  tools: readonly string[],
): void {
  const { folder, root, target, leftOut } = paths;
  const argv = [
    'mkfs.erofs',
    '--quiet',
    ...COMPRESSION,
    '-b4096', // Its default is this machine's page size.
    '-x-1', // No extended attributes: SELinux gives some to every file.
    '-T0',
    '--all-root',
    `-U${FILE_SYSTEM_ID}`,
    ...leftOut.map((path) => `--exclude-path=${path}`),
    join('/work', target),
    join('/work', root),
  ];
  const state = JSON.stringify([tools, argv, hashTree(join(folder, root), leftOut)]);
  const stamp = join(folder, `${root}.packed`);
  const made = existsSync(stamp) && existsSync(join(folder, target));
  if (made && readFileSync(stamp, 'utf8') === state) return;
  rmSync(stamp, { force: true });
  rmSync(join(folder, target), { force: true });
  buildRoot.run(argv, folder);
  writeFileSync(stamp, state);
}

/** A hash of all that an image of the tree would hold: names, modes, contents, targets of links. */
export function hashTree(dir: string, leftOut: readonly string[]): string {
  const hash = createHash('sha256');
  for (const { path, entry } of walk(dir)) {
    if (leftOut.includes(path)) continue;
    const file = join(dir, path);
    const content = entry.isSymbolicLink()
      ? Buffer.from(readlinkSync(file))
      : entry.isFile()
        ? readFileSync(file)
        : Buffer.alloc(0);
    hash.update(JSON.stringify([path, lstatSync(file).mode, content.length])).update(content);
  }
  return hash.digest('hex');
}
