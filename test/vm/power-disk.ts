/**
 * A disk that is recorded: it remembers every write and flush in the order in which it confirmed them, and
 * can tell what a power cut at any moment may have left. As on a disk with a volatile cache, what was
 * flushed (or written with force unit access) is kept; of what was written since, any subset may be,
 * in any order and torn at sectors of 512 bytes.
 */
import { assert } from '#base/assert.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';

const SECTOR_BYTES = 512;

type Operation =
  | {
      readonly kind: 'write';
      readonly at: number;
      readonly bytes: Uint8Array;
      /** On the medium when it was confirmed. */
      readonly isForced: boolean;
    }
  | { readonly kind: 'flush' };

/** What of the unflushed writes a cut keeps: drawn for each cut. */
export const CUT_KINDS = ['nothing', 'writes', 'sectors', 'newest', 'everything'] as const;
export type CutKind = (typeof CUT_KINDS)[number];

export class PowerDisk {
  readonly size: number;
  /** What the machine reads. */
  readonly #live: Uint8Array;
  /** What the log begins with. */
  readonly #base: Uint8Array;
  readonly #log: Operation[] = [];

  constructor(image: Uint8Array) {
    this.size = image.length;
    this.#live = image;
    this.#base = image.slice();
  }

  /** Operations confirmed so far; a cut may stand behind any number of them. */
  get operations(): number {
    return this.#log.length;
  }

  get flushes(): number {
    return this.#log.filter(({ kind }) => kind === 'flush').length;
  }

  get bytesWritten(): number {
    return this.#log.reduce((sum, op) => sum + (op.kind === 'write' ? op.bytes.length : 0), 0);
  }

  read(at: number, length: number): Uint8Array {
    this.#check(at, length);
    return this.#live.subarray(at, at + length);
  }

  write(at: number, bytes: Uint8Array, isForced: boolean): void {
    this.#check(at, bytes.length);
    const own = bytes.slice();
    this.#live.set(own, at);
    this.#log.push({ kind: 'write', at, bytes: own, isForced });
  }

  flush(): void {
    this.#log.push({ kind: 'flush' });
  }

  /** The medium after a power cut behind the first `count` operations. */
  cut(count: number, kind: CutKind, random: SeededRandom): Uint8Array {
    const image = this.#base.slice();
    this.#replay(image, 0, count, kind, random);
    return image;
  }

  /**
   * Media after cuts behind each of `counts`, which ascend: each once, in the same bytes, which the next step
   * changes.
   */
  *cuts(
    counts: readonly number[],
    draw: () => { kind: CutKind; random: SeededRandom },
  ): Iterable<{ count: number; kind: CutKind; image: Uint8Array }> {
    const durable = this.#base.slice();
    const image = new Uint8Array(this.size);
    let done = 0;
    for (const count of counts) {
      const flushed = this.#lastFlush(count);
      this.#apply(durable, done, flushed);
      done = Math.max(done, flushed);
      image.set(durable);
      const { kind, random } = draw();
      this.#replay(image, done, count, kind, random);
      yield { count, kind, image };
    }
  }

  #replay(
    image: Uint8Array,
    from: number,
    count: number,
    kind: CutKind,
    random: SeededRandom,
  ): void {
    const flushed = Math.max(from, this.#lastFlush(count));
    this.#apply(image, from, flushed);
    const share = random.next();
    for (let i = flushed; i < count; i++) {
      const operation = this.#log[i];
      if (operation?.kind !== 'write') continue;
      const { at, bytes, isForced } = operation;
      const isNewest = i >= count - 3;
      if (isForced || kind === 'everything') image.set(bytes, at);
      else if (kind === 'writes' ? random.chance(share) : kind === 'newest' && isNewest) {
        image.set(bytes, at);
      } else if (kind === 'sectors') {
        for (let sector = 0; sector < bytes.length; sector += SECTOR_BYTES) {
          if (!random.chance(share)) continue;
          image.set(bytes.subarray(sector, sector + SECTOR_BYTES), at + sector);
        }
      }
    }
  }

  #apply(image: Uint8Array, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const operation = this.#log[i];
      if (operation?.kind === 'write') image.set(operation.bytes, operation.at);
    }
  }

  /** Operations up to the last flush among the first `count`. */
  #lastFlush(count: number): number {
    for (let i = count; i > 0; i--) if (this.#log[i - 1]?.kind === 'flush') return i;
    return 0;
  }

  #check(at: number, length: number): void {
    assert(at >= 0 && at + length <= this.size, 'a request lies on the disk');
  }
}
