/**
 * The build of the image, step by step; each step prints what it does. `make dev` stops after the root
 * tree, `make image` goes on to the files that machines boot.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { must } from '#base/assert.ts';
import { BuildRoot } from './build-root.ts';
import { bundle, NATIVE_PACKAGES, PROCESSES } from './bundle.ts';
import { PrivateApt } from './debian/apt.ts';
import { type Drift, fetchPackages, readLock } from './debian/lock.ts';
import { unpackPackages } from './debian/unpack.ts';
import { type Compiled, compilePrograms, strippedNode } from './compile.ts';
import { writeInitramfs } from './initramfs.ts';
import { RELEASE } from './packages.ts';
import { debianArchitecture, type ImagePaths } from './paths.ts';
import { buildRoot as layOutRoot } from './root/build.ts';
import { copyModules } from './root/modules.ts';
import { buildDisk } from './disk.ts';
import { buildUki } from './uki.ts';

export interface Prepared {
  /** Unpacked `root` packages. */
  readonly packages: string;
  readonly buildRoot: BuildRoot;
  /** The pinned Node's package. */
  readonly nodeHome: string;
  readonly drift: readonly Drift[];
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
  const fetch = (list: typeof lock.root) =>
    fetchPackages(apt, list, { cacheDir: paths.debCache, onProgress: () => {} });
  const root = fetch(lock.root);
  const build = fetch(lock.build);
  const drift = [...root.drift, ...build.drift];
  for (const d of drift) say(`lock: drifted: ${d.name} ${d.locked} -> ${d.used}`);
  const packages = join(paths.out, 'packages/root');
  unpackPackages([...root.files.values()], packages);
  const buildRoot = new BuildRoot(join(paths.out, 'packages/build'));
  buildRoot.prepare([...build.files.values()]);
  const nodeHome = dirname(dirname(process.execPath));
  return { packages, buildRoot, nodeHome, drift };
}

export interface RootTree {
  readonly dir: string;
  readonly kernelVersion: string;
  readonly compiled: Compiled;
}

/** Makes out/root: programs, libraries, kernel modules, Node and bundles. */
export async function makeRootTree(paths: ImagePaths, prepared: Prepared): Promise<RootTree> {
  const { packages, buildRoot, nodeHome, drift } = prepared;
  say('compiling stage0');
  const compiled = compilePrograms(buildRoot, paths);
  say('bundling');
  const bundles = join(paths.out, 'bundles');
  rmSync(bundles, { recursive: true, force: true });
  await bundle(Object.keys(PROCESSES), bundles);
  const modules = join(paths.repository, 'node_modules');
  const native = new Map<string, string>(
    NATIVE_PACKAGES.map((name) => [name, join(modules, name)]),
  );
  say('laying out the root filesystem');
  const dir = join(paths.out, 'root');
  const node = strippedNode(buildRoot, paths, nodeHome);
  layOutRoot({ packages, node, bundles, nativePackages: native }, dir);
  copyFileSync(compiled.dhcpEvent, join(dir, 'usr/lib/bareboat/dhcp-event'));
  const { version: kernelVersion, packed } = copyModules(packages, dir);
  buildRoot.run(['xz', '--decompress', ...packed.map((path) => `/work/${path}`)], dir);
  buildRoot.run(['depmod', '-b', '/work', kernelVersion], dir);
  writeFileSync(join(dir, 'etc/os-release'), osRelease(paths, drift));
  return { dir, kernelVersion, compiled };
}

export interface BootFiles {
  readonly kernel: string;
  readonly initramfs: string;
  readonly erofs: string;
}

/** Modules that stage0 loads before the root image is there, dependencies first. */
const STAGE0_MODULES = ['libcrc32c', 'netfs', 'erofs'];

/** Makes out/image/{root.erofs,initramfs,vmlinuz}. */
export function makeBootFiles(paths: ImagePaths, prepared: Prepared, tree: RootTree): BootFiles {
  const dir = join(paths.out, 'image');
  mkdirSync(dir, { recursive: true });
  const kernel = join(dir, 'vmlinuz');
  copyFileSync(join(prepared.packages, `boot/vmlinuz-${tree.kernelVersion}`), kernel);
  chmodSync(kernel, 0o644);
  say('packing the root filesystem');
  const erofs = join(dir, 'root.erofs');
  rmSync(erofs, { force: true });
  const link = join(paths.out, 'pack');
  rmSync(link, { recursive: true, force: true });
  mkdirSync(link);
  cpSync(tree.dir, join(link, 'root'), { recursive: true, verbatimSymlinks: true });
  prepared.buildRoot.run(
    [
      'mkfs.erofs',
      '--quiet',
      '-zlz4hc,12',
      '-C65536',
      '-Ededupe,fragments',
      '-T0',
      '--all-root',
      '-Ub0a7b0a7-0000-4000-8000-000000000000',
      '/work/root.erofs',
      '/work/root',
    ],
    link,
  );
  copyFileSync(join(link, 'root.erofs'), erofs);
  rmSync(link, { recursive: true, force: true });
  say('making the initramfs');
  const initramfs = join(dir, 'initramfs');
  const modulesDir = join(tree.dir, 'usr/lib/modules', tree.kernelVersion, 'kernel');
  const files = readdirSync(modulesDir, { recursive: true, encoding: 'utf8' });
  const modules = STAGE0_MODULES.flatMap((name) => {
    const found = files.find((path) => new RegExp(`/${name}\\.ko(\\.xz)?$`).test(path));
    return found === undefined ? [] : [join(modulesDir, found)];
  });
  must(
    modules.find((path) => path.includes('/erofs.ko')),
    'the kernel has no module erofs',
  );
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

/** Prints the size of each part, in bytes. */
export function printSizes(files: Readonly<Record<string, string>>): void {
  for (const [name, path] of Object.entries(files)) {
    console.log(`${name.padEnd(12)} ${String(statSync(path).size).padStart(12)} bytes`);
  }
}

function osRelease(paths: ImagePaths, drift: readonly Drift[]): string {
  const { version } = JSON.parse(readFileSync(join(paths.repository, 'package.json'), 'utf8'));
  const lock = createHash('sha256').update(readFileSync(paths.lock)).digest('hex').slice(0, 12);
  return [
    'NAME=Bareboat',
    'ID=bareboat',
    `VERSION_ID=${version}`,
    `PRETTY_NAME="Bareboat ${version}"`,
    `BAREBOAT_LOCK=${drift.length === 0 ? lock : `${lock}-drifted`}`,
    '',
  ].join('\n');
}
