/**
 * Makes out/root, the root filesystem of the image as a directory: fetches the locked packages,
 * bundles our processes and lays out the tree. `make dev` uses it as the node's root.
 */
import { join } from 'node:path';
import { must } from '#base/assert.ts';
import { bundle, NATIVE_PACKAGES, PROCESSES } from './bundle.ts';
import { PrivateApt } from './debian/apt.ts';
import { fetchPackages, readLock } from './debian/lock.ts';
import { unpackPackages } from './debian/unpack.ts';
import { RELEASE } from './packages.ts';
import { debianArchitecture, imagePaths } from './paths.ts';
import { buildRoot } from './root/build.ts';

const paths = imagePaths();
const lock = readLock(paths.lock);
const apt = new PrivateApt({
  dir: paths.apt,
  release: RELEASE,
  architecture: debianArchitecture(),
  keysDir: join(paths.source, 'keys'),
});
const fetched = fetchPackages(apt, lock.root, {
  cacheDir: paths.debCache,
  onProgress: (name, index) => console.log(`package ${index + 1}/${lock.root.length}: ${name}`),
});
for (const d of fetched.drift) console.log(`lock: drifted: ${d.name} ${d.locked} -> ${d.used}`);
const packages = join(paths.out, 'packages/root');
unpackPackages([...fetched.files.values()], packages);
const bundles = join(paths.out, 'bundles');
await bundle(Object.keys(PROCESSES), bundles);
const modules = join(paths.repository, 'node_modules');
buildRoot(
  {
    packages,
    node: must(process.execPath, 'no node'),
    bundles,
    nativePackages: new Map(NATIVE_PACKAGES.map((name) => [name, join(modules, name)])),
  },
  join(paths.out, 'root'),
);
console.log(`root filesystem: ${join(paths.out, 'root')}`);
