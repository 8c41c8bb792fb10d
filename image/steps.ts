/**
 * The build of the image, step by step; each step prints what it does. `make dev` stops after the root
 * tree, `make image` goes on to the files that machines boot.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { must } from '#base/assert.ts';
import { BuildRoot } from './build-root.ts';
import { bundle, DEV_INIT, NATIVE_PACKAGES, PROCESSES } from './bundle.ts';
import { type Compiled, compilePrograms } from './compile.ts';
import { PrivateApt } from './debian/apt.ts';
import { type FetchedLock, fetchLock, readLock } from './debian/lock.ts';
import { unpackPackages } from './debian/unpack.ts';
import { buildDisk } from './disk.ts';
import { packRoot } from './erofs.ts';
import { writeInitramfs } from './initramfs.ts';
import { slimNode } from './node-binary.ts';
import { type NpmLock, npmPackages } from './npm-packages.ts';
import { bareboatVersion, osRelease } from './os-release.ts';
import { LINKED, RELEASE } from './packages.ts';
import { debianArchitecture, type ImagePaths } from './paths.ts';
import { buildRoot as layOutRoot, settleModes } from './root/build.ts';
import { copyModules, modulesInOrder } from './root/modules.ts';
import { formatSbom } from './sbom.ts';
import { buildUki } from './uki.ts';

export interface Prepared {
  /** Unpacked `root` packages. */
  readonly packages: string;
  readonly buildRoot: BuildRoot;
  /** The pinned Node's package. */
  readonly nodeHome: string;
  readonly fetched: FetchedLock;
}

const say = (text: string) => console.log(`image: ${text}`);

/** Fetches and unpacks every locked package. */
export function preparePackages(paths: ImagePaths): Prepared {
  const lock = readLock(paths.lock);
  const apt = new PrivateApt({
    dir: paths.apt,
    release: RELEASE,
    architecture: debianArchitecture(),
    keysDir: join(paths.source, 'keys'),
  });
  const all = [...lock.root, ...lock.build];
  const missing = all.filter((p) => !existsSync(join(paths.debCache, `${p.sha256}.deb`)));
  if (missing.length > 0) {
    say(`fetching ${missing.length} Debian packages`);
    apt.update();
  }
  const fetched = fetchLock(apt, lock, { cacheDir: paths.debCache, say });
  const packages = join(paths.out, 'packages/root');
  const files = (set: 'root' | 'build') => fetched[set].map(({ file }) => file);
  unpackPackages(files('root'), packages);
  const buildRoot = new BuildRoot(join(paths.out, 'packages/build'));
  buildRoot.prepare(files('build'));
  const nodeHome = dirname(dirname(process.execPath));
  return { packages, buildRoot, nodeHome, fetched };
}

export interface RootTree {
  readonly dir: string;
  readonly kernelVersion: string;
  readonly compiled: Compiled;
  /** Sources that went into the bundles, and folders beside them, as paths from the repository. */
  readonly sources: readonly string[];
}

/** Makes out/root: programs, libraries, kernel modules, Node and bundles. */
export async function makeRootTree(paths: ImagePaths, prepared: Prepared): Promise<RootTree> {
  const { packages, buildRoot, nodeHome, fetched } = prepared;
  say('compiling stage0');
  const compiled = compilePrograms(buildRoot, paths);
  say('bundling');
  const bundles = join(paths.out, 'bundles');
  rmSync(bundles, { recursive: true, force: true });
  const inputs = await bundle(Object.keys(PROCESSES), bundles);
  const modules = join(paths.repository, 'node_modules');
  const native = new Map<string, string>(
    NATIVE_PACKAGES.map((name) => [name, join(modules, name)]),
  );
  say('laying out the root filesystem');
  const dir = join(paths.out, 'root');
  const node = slimNode(buildRoot, paths, nodeHome);
  layOutRoot({ packages, node, bundles, nativePackages: native }, dir);
  copyFileSync(compiled.dhcpEvent, join(dir, 'usr/lib/bareboat/dhcp-event'));
  const kernelVersion = copyModules(buildRoot, packages, dir);
  writeFileSync(join(dir, 'etc/os-release'), osRelease(paths, fetched));
  settleModes(dir);
  const sources = [...inputs, ...NATIVE_PACKAGES.map((name) => `node_modules/${name}`)];
  return { dir, kernelVersion, compiled, sources };
}

export interface BootFiles {
  readonly kernel: string;
  readonly initramfs: string;
  readonly erofs: string;
}

/** Makes out/image/{root.erofs,initramfs,vmlinuz}. */
export function makeBootFiles(paths: ImagePaths, prepared: Prepared, tree: RootTree): BootFiles {
  const dir = join(paths.out, 'image');
  mkdirSync(dir, { recursive: true });
  const kernel = join(dir, 'vmlinuz');
  copyFileSync(join(prepared.packages, `boot/vmlinuz-${tree.kernelVersion}`), kernel);
  chmodSync(kernel, 0o644);
  say('packing the root filesystem');
  const erofs = join(dir, 'root.erofs');
  const folder = paths.out;
  const leftOut = [`usr/lib/bareboat/${DEV_INIT}.js`];
  const tools = prepared.fetched.build.map(({ sha256 }) => sha256);
  packRoot(
    prepared.buildRoot,
    { folder, root: 'root', target: 'image/root.erofs', leftOut },
    tools,
  );
  say('making the initramfs');
  const initramfs = join(dir, 'initramfs');
  const modulesDir = join(tree.dir, 'usr/lib/modules', tree.kernelVersion);
  const dep = readFileSync(join(modulesDir, 'modules.dep'), 'latin1');
  const modules = modulesInOrder(dep, 'erofs').map((path) => join(modulesDir, path));
  writeInitramfs({ stage0: tree.compiled.stage0, erofs, modules }, initramfs);
  return { kernel, initramfs, erofs };
}

/** ramfs, unlike tmpfs, can back the root image; the console is the serial port, where there is one. */
export const COMMAND_LINE = 'rootfstype=ramfs console=tty0 console=ttyS0 quiet loglevel=4 panic=10';

/** Makes out/image/bareboat.efi, the one file, and out/image/bareboat.img, a disk that holds it. */
export function makeBootable(
  paths: ImagePaths,
  prepared: Prepared,
  tree: RootTree,
  files: BootFiles,
): { uki: string; disk: string } {
  const dir = join(paths.out, 'image');
  const uki = join(dir, 'bareboat.efi');
  const disk = join(dir, 'bareboat.img');
  const architecture = debianArchitecture();
  say('assembling the unified kernel image');
  const parts = {
    kernel: files.kernel,
    initramfs: files.initramfs,
    osRelease: readFileSync(join(tree.dir, 'etc/os-release'), 'utf8'),
    commandLine: COMMAND_LINE,
    kernelVersion: tree.kernelVersion,
  };
  buildUki(prepared.buildRoot, parts, { architecture, work: join(paths.out, 'pack'), target: uki });
  say('making the disk image');
  buildDisk(prepared.buildRoot, uki, { architecture, work: join(paths.out, 'pack'), target: disk });
  return { uki, disk };
}

/** Makes out/image/bareboat.spdx.json, the bill of materials of `uki`. */
export function makeSbom(
  paths: ImagePaths,
  prepared: Prepared,
  tree: RootTree,
  uki: string,
): { sbom: string } {
  say('writing the bill of materials');
  const { root, build } = prepared.fetched;
  const lock: NpmLock = JSON.parse(
    readFileSync(join(paths.repository, 'package-lock.json'), 'utf8'),
  );
  const nodeFolder = relative(paths.repository, prepared.nodeHome);
  const sbom = join(paths.out, 'image/bareboat.spdx.json');
  const text = formatSbom({
    version: bareboatVersion(paths),
    architecture: debianArchitecture(),
    release: RELEASE,
    imageSha256: createHash('sha256').update(readFileSync(uki)).digest('hex'),
    contained: root,
    linked: build.filter(({ name }) => LINKED.includes(name)),
    tools: build.filter(({ name }) => !LINKED.includes(name)),
    node: must(npmPackages(lock, [nodeFolder])[0], `${nodeFolder} is no npm package`),
    nodeVersions: process.versions,
    npm: npmPackages(lock, tree.sources),
  });
  writeFileSync(sbom, text);
  return { sbom };
}

/** Prints the size of each part, in bytes. */
export function printSizes(files: Readonly<Record<string, string>>): void {
  for (const [name, path] of Object.entries(files)) {
    console.log(`${name.padEnd(12)} ${String(statSync(path).size).padStart(12)} bytes`);
  }
}
