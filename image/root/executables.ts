/**
 * What of a root tree a kernel or a loader would run: files with the executable bit, ELF programs and
 * libraries, scripts. image/root/executables.txt lists what there may be; test/host/image-root.test.ts
 * compares. Kernel modules are ELF objects that nobody executes.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { walk } from './walk.ts';

const ELF_MAGIC = 0x7f454c46;
/** e_type: relocatable object. */
const ET_REL = 1;

/** Paths from `rootDir`, sorted. Symbolic links are no files of their own. */
export function findExecutables(rootDir: string): string[] {
  return [...walk(rootDir)]
    .filter(({ path, entry }) => entry.isFile() && isExecutable(join(rootDir, path)))
    .map(({ path }) => path);
}

function isExecutable(path: string): boolean {
  if ((statSync(path).mode & 0o111) !== 0) return true;
  const head = Buffer.alloc(20);
  const fd = openSync(path, 'r');
  readSync(fd, head, 0, head.length, 0);
  closeSync(fd);
  if (head.toString('latin1', 0, 2) === '#!') return true;
  return head.readUInt32BE(0) === ELF_MAGIC && head.readUInt16LE(16) !== ET_REL;
}

/** What differs between architectures, by the word that stands for it in the list. */
export const ARCHITECTURE_NAMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  x64: { ARCH: 'x86_64', LOADER: 'usr/lib64/ld-linux-x86-64.so.2', PLATFORM: 'x64' },
  arm64: { ARCH: 'aarch64', LOADER: 'usr/lib/ld-linux-aarch64.so.1', PLATFORM: 'arm64' },
};

/** The list's lines without comments, with `names` in place of the words that stand for them. */
export function parseExecutables(text: string, names: Readonly<Record<string, string>>): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.replaceAll(/[A-Z]{4,}/g, (word) => names[word] ?? word))
    .toSorted();
}

/** Programs that let somebody look around or change the machine: none may be in it, listed or not. */
const FORBIDDEN =
  /(^|\/)((ba|da|a|k|c|tc|z|fi)?sh|busybox|toybox|apt(-.*)?|dpkg(-.*)?|rpm|apk|npm|npx|corepack|sshd?|perl|python[\d.]*|gcc|sudo|su|login|getty)$/;

/** Why `found` is not what `listed` allows; empty when it is. */
export function judgeExecutables(found: readonly string[], listed: readonly string[]): string[] {
  return [
    ...found
      .filter((path) => FORBIDDEN.test(path))
      .map((path) => `${path} must not be in the image`),
    ...found.filter((path) => !listed.includes(path)).map((path) => `${path} is not listed`),
    ...listed.filter((path) => !found.includes(path)).map((path) => `${path} is listed, not there`),
  ];
}
