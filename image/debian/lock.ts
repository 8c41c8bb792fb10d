/**
 * The lock of Debian packages: image/packages.lock.json holds name, version and hash of every package
 * that the image and its build root are made of. A mirror keeps only the newest versions, so a locked
 * one may be gone: then that package alone is resolved anew, the change is reported, and the image
 * carries the mark `lock: drifted`; `make lock` makes the new versions the locked ones.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type LockedPackage, PackageGone } from './apt.ts';

export interface PackageLock {
  readonly release: string;
  readonly architecture: string;
  readonly root: readonly LockedPackage[];
  readonly build: readonly LockedPackage[];
}

export interface Drift {
  readonly name: string;
  readonly locked: string;
  readonly used: string;
}

/** What of PrivateApt fetching needs; tests put a mirror of their own behind it. */
export interface PackageSource {
  update(): void;
  newest(names: readonly string[]): LockedPackage[];
  fetch(locked: LockedPackage, cacheDir: string): string;
}

export function readLock(path: string): PackageLock {
  return JSON.parse(readFileSync(path, 'utf8'));
}

export function writeLock(path: string, lock: PackageLock): void {
  const text = `${JSON.stringify(lock, null, 2)}\n`;
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}

export interface FetchedPackages {
  /** .deb file by package name. */
  readonly files: ReadonlyMap<string, string>;
  /** Packages whose locked version is gone from the mirror; empty in an ordinary build. */
  readonly drift: readonly Drift[];
}

/** Fetches `packages` into `cacheDir`; a version that is gone is replaced by the newest one. */
export function fetchPackages(
  source: PackageSource,
  packages: readonly LockedPackage[],
  options: { cacheDir: string; onProgress: (name: string, index: number) => void },
): FetchedPackages {
  const files = new Map<string, string>();
  const drift: Drift[] = [];
  let updated = false;
  for (const [index, locked] of packages.entries()) {
    options.onProgress(locked.name, index);
    try {
      files.set(locked.name, source.fetch(locked, options.cacheDir));
      continue;
    } catch (error) {
      if (!(error instanceof PackageGone)) throw error;
    }
    if (!updated) source.update();
    updated = true;
    const [newest] = source.newest([locked.name]);
    if (newest === undefined)
      throw new PackageGone(`no version of ${locked.name} is on the mirror`);
    files.set(locked.name, source.fetch(newest, options.cacheDir));
    if (newest.sha256 !== locked.sha256) {
      drift.push({ name: locked.name, locked: locked.version, used: newest.version });
    }
  }
  return { files, drift };
}
