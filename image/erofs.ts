/**
 * The root image: an erofs of the root tree, made by the build root's mkfs.erofs. Equal trees give equal
 * bytes: times are zero, owners root, the file system's id is fixed.
 */
import { join } from 'node:path';
import type { BuildRoot } from './build-root.ts';

const FILE_SYSTEM_ID = 'b0a7b0a7-0000-4000-8000-000000000000';

/** Packs `folder/root` into `folder/target`; `leftOut` are paths from the root. */
export function packRoot(
  buildRoot: BuildRoot,
  paths: { folder: string; root: string; target: string; leftOut: readonly string[] },
): void {
  buildRoot.run(
    [
      'mkfs.erofs',
      '--quiet',
      ...COMPRESSION,
      '-T0',
      '--all-root',
      `-U${FILE_SYSTEM_ID}`,
      ...paths.leftOut.map((path) => `--exclude-path=${path}`),
      join('/work', paths.target),
      join('/work', paths.root),
    ],
    paths.folder,
  );
}

const COMPRESSION = ['-zzstd,level=9', '-C131072', '-Efragments'];
