/**
 * The hash of all that happened in a run: every message delivered, every change of a disk, every answer
 * to a client and every fault, with its time. Two runs of a seed are the same exactly when it is.
 */
import { crc32 } from 'node:zlib';
import type { Disk, DiskFile } from '#control/store/disk/disk.ts';

export class Trace {
  #a = 0;
  #b = 0;
  readonly #head = new Float64Array(3);
  readonly #words = new Uint32Array(this.#head.buffer);

  /** Something of this kind happened, to or by these members (0 = none). */
  note(what: string, of: { atMs: number; from: number; to?: number }, bytes?: Uint8Array): void {
    this.#head[0] = of.atMs;
    this.#head[1] = of.from;
    this.#head[2] = of.to ?? 0;
    let sum = this.#a;
    for (let i = 0; i < what.length; i++) sum = Math.imul(sum ^ what.charCodeAt(i), 0x01000193);
    for (const word of this.#words) {
      sum = Math.imul(sum ^ word, 0xcc9e2d51);
      sum ^= sum >>> 15;
    }
    sum >>>= 0;
    if (bytes !== undefined) sum = crc32(bytes, sum);
    this.#a = sum;
    // A second lane of another kind, so that 64 bits tell runs apart.
    this.#b = (Math.imul(this.#b ^ sum, 0x9e3779b1) + (bytes?.length ?? 0)) >>> 0;
  }

  /** 16 hex digits. */
  get hash(): string {
    const hex = (lane: number) => lane.toString(16).padStart(8, '0');
    return hex(this.#a) + hex(this.#b);
  }
}

/** The same disk; `note` hears of each change before it is made. */
export function tracedDisk(disk: Disk, note: (what: string, bytes?: Uint8Array) => void): Disk {
  return {
    list: () => disk.list(),
    create: (name) => {
      note(`create ${name}`);
      return tracedFile(disk.create(name), name, note);
    },
    open: (name) => tracedFile(disk.open(name), name, note),
    rename: (from, to) => {
      note(`rename ${from} ${to}`);
      disk.rename(from, to);
    },
    remove: (name) => {
      note(`remove ${name}`);
      disk.remove(name);
    },
    syncDirectory: () => {
      note('sync directory');
      disk.syncDirectory();
    },
  };
}

function tracedFile(
  file: DiskFile,
  name: string,
  note: (what: string, bytes?: Uint8Array) => void,
): DiskFile {
  return {
    get size() {
      return file.size;
    },
    read: (into, at) => file.read(into, at),
    write: (bytes, at) => {
      note(`write ${name} ${at}`, bytes);
      file.write(bytes, at);
    },
    truncate: (size) => {
      note(`truncate ${name} ${size}`);
      file.truncate(size);
    },
    sync: () => {
      note(`sync ${name}`);
      file.sync();
    },
    close: () => file.close(),
  };
}
