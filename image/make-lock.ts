/**
 * `make lock`: resolves image/packages.ts against the mirror and writes image/packages.lock.json.
 * Prints what changed.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PrivateApt } from './debian/apt.ts';
import { isKernel, type PackageLock, readLock, writeLock } from './debian/lock.ts';
import { PACKAGES, RELEASE } from './packages.ts';
import { debianArchitecture, imagePaths } from './paths.ts';

const paths = imagePaths();
const apt = new PrivateApt({
  dir: paths.apt,
  release: RELEASE,
  architecture: debianArchitecture(),
  keysDir: join(paths.source, 'keys'),
});
apt.update();
const wanted = new Set(PACKAGES.root);
const lock: PackageLock = {
  release: RELEASE,
  architecture: debianArchitecture(),
  root: apt.resolve(PACKAGES.root).filter((p) => wanted.has(p.name) || isKernel(p.name)),
  build: apt.resolve(PACKAGES.build),
  test: apt.newest(PACKAGES.test),
};
const old = existsSync(paths.lock) ? readLock(paths.lock) : undefined;
writeLock(paths.lock, lock);
const all = (of: PackageLock) => [...of.root, ...of.build, ...of.test];
const before = new Map((old === undefined ? [] : all(old)).map((p) => [p.name, p.version]));
for (const p of all(lock)) {
  const was = before.get(p.name);
  if (was !== p.version) console.log(`${p.name}: ${was ?? 'new'} -> ${p.version}`);
}
console.log(
  `${lock.root.length} root, ${lock.build.length} build and ${lock.test.length} test packages locked`,
);
