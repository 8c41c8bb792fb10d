/**
 * The initramfs: stage0 as /init, the root image, and the modules needed to mount it, as a cpio archive
 * in the kernel's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst). It is
 * not compressed: the root image in it is. Equal input gives equal bytes.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export interface CpioFile {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode: number;
}

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;

/** The initramfs of the image. `modules` are loaded in this order. */
export function writeInitramfs(
  parts: { stage0: string; erofs: string; modules: readonly string[] },
  target: string,
): void {
  const cpio = new CpioWriter(target);
  for (const dir of ['dev', 'modules', 'proc', 'root', 'sys'])
    cpio.add(dir, { mode: S_IFDIR | 0o755 });
  // Messages before devtmpfs is mounted need a console.
  cpio.add('dev/console', { mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } });
  cpio.add('init', { mode: S_IFREG | 0o755, content: readFileSync(parts.stage0) });
  for (const [index, path] of parts.modules.entries()) {
    const name = `modules/${String(index).padStart(2, '0')}-${path.split('/').at(-1)}`;
    cpio.add(name, { mode: S_IFREG | 0o644, content: readFileSync(path) });
  }
  cpio.add('root.erofs', { mode: S_IFREG | 0o644, content: readFileSync(parts.erofs) });
  cpio.close();
}

class CpioWriter {
  readonly #fd: number;
  #inode = 1;
  #offset = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
  }

  add(
    path: string,
    entry: { mode: number; content?: Uint8Array; device?: { major: number; minor: number } },
  ): void {
    const content = entry.content ?? new Uint8Array();
    const name = Buffer.from(`${path}\0`);
    const fields = [
      this.#inode++,
      entry.mode,
      0, // uid
      0, // gid
      1, // links
      0, // mtime
      content.length,
      0, // major and minor of the containing device
      0,
      entry.device?.major ?? 0,
      entry.device?.minor ?? 0,
      name.length,
      0, // checksum, unused in newc
    ];
    const head = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    this.#write(Buffer.from(`070701${head}`));
    this.#write(name);
    this.#align();
    this.#write(content);
    this.#align();
  }

  close(): void {
    this.add('TRAILER!!!', { mode: 0 });
    closeSync(this.#fd);
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    this.#offset += bytes.length;
  }

  #align(): void {
    this.#write(Buffer.alloc(-this.#offset & 3));
  }
}
