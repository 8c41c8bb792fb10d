/**
 * The node executable of the image: the pinned one without symbols and without the locale data of other
 * languages than English (icu.ts), 120 MB instead of 150, of which 28 are zeros. Its code is untouched.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildRoot } from './build-root.ts';
import { isNeededIcuItem, removeIcuItems } from './icu.ts';
import type { ImagePaths } from './paths.ts';

/**
 * Path of the executable, made once for each version and each state of the code that makes it.
 * `nodeHome` is the pinned Node's package.
 */
export function slimNode(buildRoot: BuildRoot, paths: ImagePaths, nodeHome: string): string {
  const key = createHash('sha256').update(process.version);
  for (const name of ['icu.ts', 'node-binary.ts'])
    key.update(readFileSync(join(paths.source, name)));
  const work = join(paths.out, 'node');
  const target = join(work, `node-${key.digest('hex').slice(0, 16)}`);
  if (existsSync(target)) return target;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'full'), readFileSync(join(nodeHome, 'bin/node')));
  buildRoot.run(['strip', '--strip-all', '-o', '/work/stripped', '/work/full'], work);
  const node = readFileSync(join(work, 'stripped'));
  removeIcuItems(node, isNeededIcuItem);
  writeFileSync(join(work, 'slim'), node);
  rmSync(join(work, 'full'));
  rmSync(join(work, 'stripped'));
  renameSync(join(work, 'slim'), target);
  return target;
}
