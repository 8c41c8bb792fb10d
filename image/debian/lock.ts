/**
 * The lock of Debian packages: image/packages.lock.json holds name, version and hash of every package
 * that the image and its build root are made of. A mirror keeps only the newest versions, so a locked
 * one may be gone: then that package alone is resolved anew, the change is reported, and the image
 * carries the mark `drifted`; `make lock` makes the new versions the locked ones.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type LockedPackage, PackageGone } from './apt.ts';

export interface PackageLock {
  readonly release: string;
  readonly architecture: string;
  readonly root: readonly LockedPackage[];
  readonly build: readonly LockedPackage[];
  readonly test: readonly LockedPackage[];
}

export interface Drift {
  readonly name: string;
  readonly locked: string;
  readonly used: string;
}

/** What of PrivateApt fetching needs; tests put a mirror of their own behind it. */
export interface PackageSource {
  update(): void;
  /** With all that they depend on. */
  resolve(names: readonly string[]): LockedPackage[];
  /** Those that exist, in their newest versions. */
  newest(names: readonly string[]): LockedPackage[];
  /** Throws PackageGone when the mirror has no such version. */
  fetch(locked: LockedPackage, cacheDir: string): string;
}

export function readLock(path: string): PackageLock {
  return JSON.parse(readFileSync(path, 'utf8'));
}

export function writeLock(path: string, lock: PackageLock): void {
  const text = `${JSON.stringify(lock, null, 2)}\n`;
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}

export interface FetchedPackage extends LockedPackage {
  /** The .deb file. */
  readonly file: string;
}

export interface FetchedLock {
  readonly root: readonly FetchedPackage[];
  readonly build: readonly FetchedPackage[];
  /** Packages whose locked version is gone from the mirror; empty in an ordinary build. */
  readonly drift: readonly Drift[];
}

/**
 * Fetches the packages of `lock` into `cacheDir`; one whose version is gone is replaced by its successor,
 * which `say` is told. Throws PackageGone when there is no successor, and what the source throws.
 */
export function fetchLock(
  source: PackageSource,
  lock: Omit<PackageLock, 'test'>,
  options: { cacheDir: string; say: (line: string) => void },
): FetchedLock {
  const drift = new Map<string, Drift>();
  let updated = false;
  const fetch = (locked: LockedPackage): FetchedPackage => {
    try {
      return { ...locked, file: source.fetch(locked, options.cacheDir) };
    } catch (error) {
      if (!(error instanceof PackageGone)) throw error;
    }
    if (!updated) source.update();
    updated = true;
    const used = findSuccessor(source, locked);
    const file = source.fetch(used, options.cacheDir);
    if (used.sha256 !== locked.sha256 && !drift.has(locked.name)) {
      drift.set(locked.name, { name: locked.name, locked: locked.version, used: used.version });
      options.say(`lock: drifted: ${locked.name} ${locked.version} -> ${used.version}`);
    }
    return { ...used, file };
  };
  const root = lock.root.map(fetch);
  const build = lock.build.map(fetch);
  return { root, build, drift: [...drift.values()] };
}

/** A kernel, whose package's name holds its version: `linux-image-6.12.118+deb13-cloud-amd64`. */
const KERNEL = /^linux-image-\d[^-]*-(.+)$/;

export function isKernel(name: string): boolean {
  return KERNEL.test(name);
}

/** The newest of that name, or the kernel that the flavour's metapackage now stands for. */
function findSuccessor(source: PackageSource, gone: LockedPackage): LockedPackage {
  const [same] = source.newest([gone.name]);
  if (same !== undefined) return same;
  const flavour = KERNEL.exec(gone.name)?.[1];
  const kernel =
    flavour === undefined
      ? undefined
      : source.resolve([`linux-image-${flavour}`]).find(({ name }) => isKernel(name));
  if (kernel === undefined) throw new PackageGone(`no version of ${gone.name} is on the mirror`);
  return kernel;
}
