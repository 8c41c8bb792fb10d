/**
 * The initramfs: stage0 as /init, the root image, and the modules needed to mount it. It is two archives
 * in a row, as the kernel's initramfs format allows (Documentation/driver-api/early-userspace/
 * buffer-format.rst): a zstd frame with the small files, then the root image as it is, for it is
 * compressed in itself. Each is a cpio archive in `newc` format, the second at a multiple of 4 bytes.
 * Equal input gives equal bytes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { constants, zstdCompressSync } from 'node:zlib';

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;

/** The initramfs of the image. `modules` are loaded in this order. */
export function writeInitramfs(
  parts: { stage0: string; erofs: string; modules: readonly string[] },
  target: string,
): void {
  const small = new Cpio();
  for (const dir of ['dev', 'modules', 'proc', 'root', 'sys'])
    small.add(dir, { mode: S_IFDIR | 0o755 });
  // Messages before devtmpfs is mounted need a console.
  small.add('dev/console', { mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } });
  small.add('init', { mode: S_IFREG | 0o755, content: readFileSync(parts.stage0) });
  for (const [index, path] of parts.modules.entries()) {
    const name = `modules/${String(index).padStart(2, '0')}-${path.split('/').at(-1)}`;
    small.add(name, { mode: S_IFREG | 0o644, content: readFileSync(path) });
  }
  const params = { [constants.ZSTD_c_compressionLevel]: 19, [constants.ZSTD_c_checksumFlag]: 1 };
  const head = zstdCompressSync(small.end(), { params });
  const image = new Cpio();
  image.add('root.erofs', { mode: S_IFREG | 0o644, content: readFileSync(parts.erofs) });
  writeFileSync(target, Buffer.concat([head, padding(head.length), image.end()]));
}

/** A cpio archive in `newc` format. */
export class Cpio {
  readonly #chunks: Uint8Array[] = [];
  #inode = 1;
  #length = 0;

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
    this.#put(Buffer.from(`070701${head}`), name);
    this.#put(content);
  }

  end(): Buffer {
    this.add('TRAILER!!!', { mode: 0 });
    return Buffer.concat(this.#chunks);
  }

  /** Zeros follow up to a multiple of 4. */
  #put(...chunks: readonly Uint8Array[]): void {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, this.#length);
    const zeros = padding(length);
    this.#chunks.push(...chunks, zeros);
    this.#length = length + zeros.length;
  }
}

function padding(length: number): Buffer {
  return Buffer.alloc(-length & 3);
}
