/**
 * The network tools that upstream's agnhost image has beside agnhost: the tests run curl, `nc -v` and
 * dig in it by exec. Here they come from Debian: the programs, and the libraries that they need.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { must } from '#base/assert.ts';
import type { ArchiveEntry } from '#image/archive.ts';
import { PrivateApt } from '#image/debian/apt.ts';
import { unpackPackages } from '#image/debian/unpack.ts';
import { RELEASE } from '#image/packages.ts';
import { debianArchitecture, imagePaths } from '#image/paths.ts';
import { readElfNeeds } from '#image/root/elf.ts';

const PACKAGES = ['curl', 'netcat-openbsd', 'bind9-dnsutils', 'libc-bin', 'dash', 'bash-static'];

/** Path in the image, and file in the unpacked packages. */
const PROGRAMS = {
  curl: 'usr/bin/curl',
  nc: 'usr/bin/nc.openbsd',
  dig: 'usr/bin/dig',
  getent: 'usr/bin/getent',
  // The shell of Debian's busybox runs its own nc whatever stands in PATH.
  sh: 'usr/bin/dash',
} as const;

const BASH = 'usr/bin/bash-static';

/** glibc loads these by name when a program resolves one. */
const LOADED_LIBRARIES = ['libnss_dns.so.2', 'libnss_files.so.2'];

/** Names in /bin that these tools take over from busybox. */
export const DEBIAN_TOOLS: readonly string[] = Object.keys(PROGRAMS);

/**
 * What the busybox image starts as `sh`. Upstream's busybox hands on variables named like `data-1`; those
 * of Debian's busybox and dash drop them, bash does not. Tests that compare what the shell says call
 * `/bin/sh`, which stays busybox's.
 */
export function busyboxShell(cacheDir: string): ArchiveEntry[] {
  const from = realpathSync(join(unpackedTools(cacheDir), BASH));
  return [
    { path: 'usr/local', kind: 'directory' },
    { path: 'usr/local/bin', kind: 'directory' },
    { path: 'usr/local/bin/sh', kind: 'copy', from, mode: 0o755 },
  ];
}

/** Entries below /bin, /lib64 and /usr/lib; `cacheDir` keeps the unpacked packages. */
export function debianToolEntries(cacheDir: string): ArchiveEntry[] {
  const root = unpackedTools(cacheDir);
  const libraryDirs = [join(root, 'usr/lib', multiarch()), join(root, 'usr/lib')];
  const find = (soname: string) =>
    libraryDirs.map((dir) => join(dir, soname)).find((path) => existsSync(path));
  const libraries = new Map<string, string>();
  const interpreters = new Map<string, string>();
  const queue = Object.values(PROGRAMS).map((path) => join(root, path));
  for (const soname of LOADED_LIBRARIES) {
    const path = find(soname);
    if (path !== undefined) libraries.set(soname, path);
  }
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    const { interpreter, needed } = must(readElfNeeds(readFileSync(file)), `${file} is no program`);
    if (interpreter !== undefined) {
      interpreters.set(interpreter, must(find(basename(interpreter)), interpreter));
    }
    for (const soname of needed) {
      if (libraries.has(soname)) continue;
      const path = must(find(soname), `no package of ${PACKAGES.join(', ')} brings ${soname}`);
      libraries.set(soname, path);
      queue.push(path);
    }
  }
  const copy = (path: string, from: string): ArchiveEntry => {
    return { path, kind: 'copy', from: realpathSync(from), mode: 0o755 };
  };
  const libraryDir = `usr/lib/${multiarch()}`;
  return [
    { path: 'lib64', kind: 'directory' },
    { path: 'usr/lib', kind: 'directory' },
    { path: libraryDir, kind: 'directory' },
    ...Object.entries(PROGRAMS).map(([name, path]) => copy(`bin/${name}`, join(root, path))),
    ...[...interpreters].map(([path, from]) => copy(path.slice(1), from)),
    ...[...libraries].map(([soname, from]) => copy(`${libraryDir}/${soname}`, from)),
    { path: 'etc/nsswitch.conf', kind: 'file', content: 'passwd: files\nhosts: files dns\n' },
  ];
}

function multiarch(): string {
  return process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
}

function unpackedTools(cacheDir: string): string {
  const target = join(cacheDir, 'agnhost-tools');
  if ([...Object.values(PROGRAMS), BASH].every((path) => existsSync(join(target, path))))
    return target;
  mkdirSync(cacheDir, { recursive: true });
  const paths = imagePaths();
  const apt = new PrivateApt({
    dir: paths.apt,
    release: RELEASE,
    architecture: debianArchitecture(),
    keysDir: join(paths.source, 'keys'),
  });
  console.log('fetching curl, nc and dig for the test image (once)');
  apt.update();
  const files = apt.resolve(PACKAGES).map((locked) => apt.fetch(locked, paths.debCache));
  unpackPackages(files, target);
  return target;
}
