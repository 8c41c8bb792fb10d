/**
 * Builds the root filesystem of the image as a directory: what image/root/manifest.ts names, the
 * shared libraries that these programs need, Node and the bundles. Nothing of the host goes in.
 * Callers: `make dev` (this directory is the root of a development node) and the image's build.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { assert } from '#base/assert.ts';
import { readElfNeeds } from './elf.ts';
import { CA_CERTIFICATES, DATA, DIRECTORIES, FILES, PROGRAMS, SYMLINKS } from './manifest.ts';
import { walk } from './walk.ts';

export interface RootSources {
  /** Unpacked `root` packages. */
  readonly packages: string;
  /** The pinned Node's executable. */
  readonly node: string;
  /** Folder of bundles; absent for a root without our processes (tests of the manifest). */
  readonly bundles?: string | undefined;
  /** Folders of native packages, by name. */
  readonly nativePackages: ReadonlyMap<string, string>;
}

/** Makes `rootDir` anew. Throws when a program or a library is missing. */
export function buildRoot(sources: RootSources, rootDir: string): void {
  rmSync(rootDir, { recursive: true, force: true });
  for (const { path, mode } of DIRECTORIES) {
    mkdirSync(join(rootDir, path), { recursive: true });
    chmodSync(join(rootDir, path), mode ?? 0o755);
  }
  for (const { path, text } of FILES) put(rootDir, path, (file) => writeFileSync(file, text));
  const libraries = new LibraryFinder(sources.packages, rootDir);
  for (const program of PROGRAMS) {
    const from = join(sources.packages, program.from);
    put(rootDir, program.to, (file) => copyFileSync(from, file));
    chmodSync(join(rootDir, program.to), 0o755);
    libraries.addFor(from);
  }
  put(rootDir, 'usr/bin/node', (file) => copyFileSync(sources.node, file));
  chmodSync(join(rootDir, 'usr/bin/node'), 0o755);
  libraries.addFor(sources.node);
  for (const { from, to } of DATA) {
    put(rootDir, to, (file) => copyFileSync(join(sources.packages, from), file));
  }
  for (const { path, target } of SYMLINKS) put(rootDir, path, (file) => symlinkSync(target, file));

  const certificates = join(sources.packages, CA_CERTIFICATES.fromDirectory);
  const pem = readdirSync(certificates)
    .toSorted()
    .map((name) => readFileSync(join(certificates, name), 'utf8').trimEnd());
  put(rootDir, CA_CERTIFICATES.to, (file) => writeFileSync(file, `${pem.join('\n')}\n`));

  const home = join(rootDir, 'usr/lib/bareboat');
  if (sources.bundles !== undefined) {
    cpSync(sources.bundles, home, { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"type":"module"}\n');
  }
  for (const [name, folder] of sources.nativePackages) {
    copyNativePackage(folder, join(home, 'node_modules', name));
  }
}

/**
 * Gives every file and folder its mode, whatever the umask and the modes in the checkout were: folders as
 * the manifest says or 0755, files 0755 when their owner may run them, else 0644.
 */
export function settleModes(rootDir: string): void {
  const modes = new Map(DIRECTORIES.map(({ path, mode }) => [path, mode ?? 0o755]));
  for (const { path, entry } of walk(rootDir)) {
    const file = join(rootDir, path);
    if (entry.isDirectory()) chmodSync(file, modes.get(path) ?? 0o755);
    else if (entry.isFile()) chmodSync(file, (lstatSync(file).mode & 0o100) === 0 ? 0o644 : 0o755);
  }
  chmodSync(rootDir, 0o755);
}

class LibraryFinder {
  readonly #bySoname = new Map<string, string>();
  readonly #added = new Set<string>();
  readonly #rootDir: string;
  readonly #packages: string;

  constructor(packages: string, rootDir: string) {
    this.#rootDir = rootDir;
    for (const folder of readdirSync(join(packages, 'usr/lib'))) {
      if (!folder.endsWith('-linux-gnu')) continue;
      for (const name of readdirSync(join(packages, 'usr/lib', folder))) {
        if (name.includes('.so')) this.#bySoname.set(name, join('usr/lib', folder, name));
      }
    }
    this.#packages = packages;
  }

  /** Adds what the ELF file at `path` needs, and what that needs in turn. */
  addFor(path: string): void {
    const needs = readElfNeeds(readFileSync(path));
    if (needs === undefined) return;
    const wanted = [...needs.needed];
    if (needs.interpreter !== undefined) {
      this.#add(basename(needs.interpreter), join('usr', needs.interpreter), path);
    }
    for (const soname of wanted) {
      if (soname.startsWith('ld-linux')) continue; // The interpreter, there for every program.
      const found = this.#bySoname.get(soname);
      assert(found !== undefined, `${path} needs ${soname}: add its package to image/packages.ts`);
      this.#add(soname, found, path);
    }
  }

  #add(soname: string, to: string, neededBy: string): void {
    if (this.#added.has(to)) return;
    this.#added.add(to);
    const found = this.#bySoname.get(soname);
    assert(
      found !== undefined,
      `${neededBy} needs ${soname}: add its package to image/packages.ts`,
    );
    const real = realpathSync(join(this.#packages, found));
    put(this.#rootDir, to, (file) => copyFileSync(real, file));
    chmodSync(join(this.#rootDir, to), 0o755);
    this.addFor(real);
  }
}

function put(rootDir: string, path: string, write: (file: string) => void): void {
  const file = join(rootDir, path);
  mkdirSync(dirname(file), { recursive: true });
  write(file);
}

/** JavaScript, package.json and this platform's addon of a native package; no sources, docs or scripts. */
function copyNativePackage(from: string, to: string): void {
  assert(existsSync(from), `native package ${from} is missing: run npm ci`);
  const skipped = new Set([
    'deps',
    'doc',
    `musl_${process.arch}`, // The image's libc is glibc.
    'prebuilds',
    'scripts',
    'third_party',
    'typings',
    'vendor',
  ]);
  cpSync(from, to, {
    recursive: true,
    filter: (path) => {
      const inside = path.slice(from.length + 1).split('/');
      if (skipped.has(inside[0] ?? '')) return false;
      if (lstatSync(path).isDirectory()) return true;
      // Programs of its build begin with `#!`.
      return (
        /\.(js|cjs|mjs|json|node)$/.test(path) && !readFileSync(path, 'latin1').startsWith('#!')
      );
    },
  });
  removeEmptyDirectories(to);
}

function removeEmptyDirectories(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyDirectories(join(dir, entry.name));
  }
  if (readdirSync(dir).length === 0) rmdirSync(dir);
}
