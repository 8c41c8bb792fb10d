/** The machine's os-release(5): which version this is, and which packages it was made of. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FetchedLock } from './debian/lock.ts';
import type { ImagePaths } from './paths.ts';

/** Version of Bareboat, from package.json. */
export function bareboatVersion(paths: Pick<ImagePaths, 'repository'>): string {
  return JSON.parse(readFileSync(join(paths.repository, 'package.json'), 'utf8')).version;
}

/** BAREBOAT_LOCK is the beginning of the lock's hash, `-drifted` behind it when it was not kept. */
export function osRelease(
  paths: Pick<ImagePaths, 'repository' | 'lock'>,
  fetched: Pick<FetchedLock, 'drift'>,
): string {
  const version = bareboatVersion(paths);
  const lock = createHash('sha256').update(readFileSync(paths.lock)).digest('hex').slice(0, 12);
  return [
    'NAME=Bareboat',
    'ID=bareboat',
    `VERSION_ID=${version}`,
    `PRETTY_NAME="Bareboat ${version}"`,
    `BAREBOAT_LOCK=${lock}${fetched.drift.length === 0 ? '' : '-drifted'}`,
    '',
  ].join('\n');
}
