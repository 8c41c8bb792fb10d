/** Which npm packages the image holds, out of the bundler's inputs and package-lock.json. */
import { must } from '#base/assert.ts';
import type { NpmPackage } from './sbom.ts';

export interface NpmLock {
  readonly packages: Readonly<
    Record<string, { version?: string; license?: string; integrity?: string } | undefined>
  >;
}

const FOLDER = /^((?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+))(?:\/|$)/;

/**
 * The packages in which `paths` lie (from the repository, `node_modules/ws/lib/sender.js`), by name and
 * version. Throws when the lock lacks one.
 */
export function npmPackages(lock: NpmLock, paths: readonly string[]): NpmPackage[] {
  const found = new Map<string, NpmPackage>();
  for (const path of paths) {
    const [, folder, name] = FOLDER.exec(path) ?? [];
    if (folder === undefined || name === undefined) continue;
    const entry = must(lock.packages[folder], `package-lock.json lacks ${folder}`);
    const version = must(entry.version, `package-lock.json has no version of ${folder}`);
    const { license, integrity } = entry;
    found.set(`${name} ${version}`, { name, version, license, integrity });
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, p]) => p);
}
