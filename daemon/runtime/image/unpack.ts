/**
 * Unpacks one layer of an image into an overlayfs lower directory, with synchronous calls: it runs in
 * a worker of its own (unpack-worker.ts). Whatever names and links the archive holds, nothing outside
 * of `target` is touched: every path is resolved component by component below `target`, symbolic
 * links included, as chroot would. Nobody else writes there meanwhile.
 *
 *   .wh.NAME          whiteout of NAME: character device 0/0
 *   .wh..wh..opq      the directory hides the lower ones: trusted.overlay.opaque=y
 *   .wh..wh.ANYTHING  bookkeeping of aufs, dropped
 *
 * A parent directory that the layer does not name gets owner, mode and times of the same directory in
 * the layers below, because in the union the upper directory's attributes are the ones seen.
 */
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { mknod, setXattr } from '#base/linux/syscall.ts';
import { RuntimeError } from '../port.ts';
import { readTar, type TarHeader, type TarMember } from './tar.ts';

const { S_IFBLK, S_IFCHR, S_IFIFO } = constants;
const LINK_HOPS_MAX = 255;

export interface UnpackResult {
  /** Bytes of file contents. */
  readonly sizeBytes: number;
  readonly entryCount: number;
}

/** Fills the empty directory `target`; `parents` are the layers below, topmost first. */
export async function unpackLayer(
  tar: AsyncIterable<Uint8Array>,
  target: string,
  parents: readonly string[],
): Promise<UnpackResult> {
  const unpacker = new Unpacker(target, parents);
  for await (const member of readTar(tar)) await unpacker.add(member);
  unpacker.finish();
  return { sizeBytes: unpacker.sizeBytes, entryCount: unpacker.entryCount };
}

function lstatMaybe(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Components of an archive's name; `..` ends at the root, as in a chroot. */
function components(name: string): string[] {
  const result: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') result.pop();
    else result.push(part);
  }
  return result;
}

class Unpacker {
  sizeBytes = 0;
  entryCount = 0;
  readonly #target: string;
  readonly #parents: readonly string[];
  /** Directory name in the archive → where it really is. Emptied when a link or removal may change it. */
  readonly #resolved = new Map<string, string>();
  /** Times of directories are set last: adding entries changes them. */
  readonly #directoryTimes = new Map<string, number>();

  constructor(target: string, parents: readonly string[]) {
    this.#target = target;
    this.#parents = parents;
  }

  async add(member: TarMember): Promise<void> {
    const { header } = member;
    const parts = components(header.name);
    const leaf = parts.pop();
    if (leaf === undefined) {
      if (header.type === 'directory') this.#attributes(this.#target, header);
      return;
    }
    if (leaf.length > 255) throw this.#invalid(header, 'name too long');
    this.entryCount++;
    const directory = this.#directory(parts);
    if (leaf.startsWith('.wh.')) this.#whiteout(directory, leaf.slice(4));
    else await this.#entry(member, join(directory, leaf));
  }

  finish(): void {
    for (const [path, mtime] of this.#directoryTimes) {
      if (lstatMaybe(path)?.isDirectory() === true) lutimesSync(path, mtime, mtime);
    }
  }

  #invalid(header: TarHeader, why: string): RuntimeError {
    return new RuntimeError('IMAGE_INVALID', `layer entry ${JSON.stringify(header.name)}: ${why}`);
  }

  #whiteout(directory: string, name: string): void {
    if (name === '.wh..opq') {
      setXattr(directory, 'trusted.overlay.opaque', Buffer.from('y'));
      return;
    }
    if (name.startsWith('.wh.') || name === '' || name === '.' || name === '..') return;
    const path = join(directory, name);
    this.#remove(path);
    mknod(path, S_IFCHR, { major: 0, minor: 0 });
  }

  async #entry(member: TarMember, path: string): Promise<void> {
    const { header } = member;
    const old = lstatMaybe(path);
    if (old !== undefined && !(old.isDirectory() && header.type === 'directory')) {
      this.#remove(path);
    }
    switch (header.type) {
      case 'directory':
        if (old?.isDirectory() !== true) mkdirSync(path, 0o700);
        break;
      case 'file':
        await this.#file(member, path);
        break;
      case 'symlink':
        this.#resolved.clear();
        symlinkSync(header.linkName, path);
        break;
      case 'hardlink':
        this.#hardLink(header, path);
        return; // Shares the attributes of its target.
      case 'character':
        mknod(path, S_IFCHR | 0o600, header);
        break;
      case 'block':
        mknod(path, S_IFBLK | 0o600, header);
        break;
      case 'fifo':
        mknod(path, S_IFIFO | 0o600, { major: 0, minor: 0 });
        break;
      case 'other':
        return;
    }
    this.#attributes(path, header);
  }

  async #file(member: TarMember, path: string): Promise<void> {
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
    const fd = openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
    try {
      for await (const chunk of member.body) {
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      }
    } finally {
      closeSync(fd);
    }
    this.sizeBytes += member.header.size;
  }

  #hardLink(header: TarHeader, path: string): void {
    const parts = components(header.linkName);
    const leaf = parts.pop();
    if (leaf === undefined) throw this.#invalid(header, 'link to the root');
    const from = join(this.#directory(parts), leaf);
    try {
      linkSync(from, path);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) {
        throw this.#invalid(header, `link to ${header.linkName}, which the layer lacks`);
      }
      throw error;
    }
  }

  /** Owner first: changing it clears set-id bits and file capabilities. */
  #attributes(path: string, header: TarHeader): void {
    lchownSync(path, header.uid, header.gid);
    if (header.type !== 'symlink') chmodSync(path, header.mode);
    for (const [name, value] of header.xattrs) this.#xattr(path, name, value);
    if (header.type === 'directory') this.#directoryTimes.set(path, header.mtime);
    else lutimesSync(path, header.mtime, header.mtime);
  }

  #xattr(path: string, name: string, value: Uint8Array): void {
    if (name.startsWith('trusted.overlay.')) return; // Would let a layer redirect into others.
    try {
      setXattr(path, name, value);
    } catch (error) {
      // Labels of a security module that this kernel has not, attributes a file system does not keep.
      if (isErrno(error, 'ENOTSUP', 'EOPNOTSUPP')) return;
      if (isErrno(error, 'EPERM', 'EINVAL') && name !== 'security.capability') return;
      throw error;
    }
  }

  #remove(path: string): void {
    this.#resolved.clear();
    rmSync(path, { recursive: true, force: true });
  }

  /** Where the directory of these components is, made where it is missing; follows links below target. */
  #directory(parts: readonly string[]): string {
    const key = parts.join('/');
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const todo = [...parts];
    let at: string[] = [];
    for (let hops = 0; todo.length > 0; ) {
      const part = todo.shift() ?? '';
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at.pop();
        continue;
      }
      const path = join(this.#target, ...at, part);
      const found = lstatMaybe(path);
      if (found?.isSymbolicLink() === true) {
        if (++hops > LINK_HOPS_MAX) {
          throw new RuntimeError('IMAGE_INVALID', `layer entry ${key}: too many links`);
        }
        const link = readlinkSync(path);
        if (link.startsWith('/')) at = [];
        todo.unshift(...link.split('/'));
        continue;
      }
      if (found !== undefined && !found.isDirectory()) this.#remove(path);
      if (found?.isDirectory() !== true) this.#makeParent([...at, part]);
      at.push(part);
    }
    const result = join(this.#target, ...at);
    this.#resolved.set(key, result);
    return result;
  }

  #makeParent(parts: readonly string[]): void {
    const path = join(this.#target, ...parts);
    mkdirSync(path, 0o755);
    chmodSync(path, 0o755);
    for (const parent of this.#parents) {
      const below = statBelow(parent, parts);
      if (below === undefined) continue;
      if (below.isDirectory()) {
        lchownSync(path, below.uid, below.gid);
        chmodSync(path, below.mode & 0o7777);
        this.#directoryTimes.set(path, below.mtimeMs / 1000);
      }
      return; // A whiteout or a file there ends the search: nothing shines through.
    }
  }
}

/** The entry in a lower layer, no link followed on the way. */
function statBelow(root: string, parts: readonly string[]): Stats | undefined {
  let path = root;
  for (const part of parts.slice(0, -1)) {
    path = join(path, part);
    if (lstatMaybe(path)?.isDirectory() !== true) return undefined;
  }
  return lstatMaybe(join(path, basename(parts.at(-1) ?? '')));
}
