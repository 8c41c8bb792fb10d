/**
 * Space put by for a full disk: files of one mebibyte that hold nothing of worth. Giving one up makes
 * room for the log to go on, so that a store whose disk is full still starts, and still takes the
 * deletes and compactions that shrink it. They are put back, a file at a time, when there is room.
 * The content is noise, lest a file system that compresses keeps no space for it.
 */
import { isNoSpace } from './disk.ts';
import type { Disk } from './disk.ts';

export class Ballast {
  readonly #disk: Disk;
  readonly #pieceBytes: number;
  readonly #wanted: number;
  readonly #pieces: string[];

  constructor(disk: Disk, size: { readonly pieceBytes: number; readonly pieces: number }) {
    this.#disk = disk;
    this.#pieceBytes = size.pieceBytes;
    this.#wanted = size.pieces;
    this.#pieces = disk.list().filter((name) => /^ballast-\d+\.bin$/.test(name));
  }

  /** Pieces that all of it consists of. */
  get size(): number {
    return this.#wanted;
  }

  get isComplete(): boolean {
    return this.#pieces.length >= this.#wanted;
  }

  /** Gives a piece back to the file system; false when there are no more than `keep`. */
  release(keep: number): boolean {
    if (this.#pieces.length <= keep) return false;
    const name = this.#pieces.pop();
    if (name === undefined) return false;
    this.#disk.remove(name);
    this.#disk.syncDirectory();
    return true;
  }

  /** Makes a missing piece; false when the disk has no room for it. */
  refill(): boolean {
    const number = Array.from({ length: this.#wanted }, (_, i) => i).find(
      (i) => !this.#pieces.includes(nameOf(i)),
    );
    if (number === undefined) return true;
    const name = nameOf(number);
    const file = this.#disk.create(`${name}.tmp`);
    try {
      file.write(noise(this.#pieceBytes, number + 1), 0);
      file.sync();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      file.close();
      this.#disk.remove(`${name}.tmp`);
      return false;
    }
    file.close();
    this.#disk.rename(`${name}.tmp`, name);
    this.#pieces.push(name);
    return true;
  }
}

function nameOf(number: number): string {
  return `ballast-${number}.bin`;
}

function noise(count: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, count);
}
