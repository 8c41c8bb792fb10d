/** Unpacks Debian packages into a directory, without running their scripts. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MERGED = ['bin', 'lib', 'lib64', 'sbin'];

/**
 * Unpacks `files` (.deb) into `dir` unless exactly these are there already. The top-level links of a
 * merged /usr, which no package ships, are made first.
 */
export function unpackPackages(files: readonly string[], dir: string): void {
  const key = createHash('sha256').update(files.toSorted().join('\n')).digest('hex');
  const stamp = join(dir, `.unpacked-${key.slice(0, 16)}`);
  if (existsSync(stamp)) return;
  const fresh = `${dir}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(join(fresh, 'tmp'), { recursive: true });
  for (const name of MERGED) {
    mkdirSync(join(fresh, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(fresh, name));
  }
  for (const file of files) execFileSync('dpkg-deb', ['-x', file, fresh], { stdio: 'inherit' });
  writeFileSync(join(fresh, stamp.slice(dir.length + 1)), '');
  rmSync(dir, { recursive: true, force: true });
  renameSync(fresh, dir);
}
