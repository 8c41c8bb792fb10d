/** The files of this checkout as a clone would have them, for tests that start from one. */
import { execFileSync } from 'node:child_process';
import { dirname } from 'node:path';

const CHECKOUT = dirname(import.meta.dirname);

/**
 * Writes the tracked files to `archive` (tar), as they are in the work tree: what is being tested is what is
 * about to be committed.
 */
export function archiveWorkTree(archive: string): void {
  const tracked = execFileSync('git', ['ls-files', '-z', '--deduplicate'], { cwd: CHECKOUT });
  const options = ['--null', '--files-from=-', '--ignore-failed-read'];
  execFileSync('tar', ['--create', '--file', archive, ...options], {
    cwd: CHECKOUT,
    input: tracked,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
}
