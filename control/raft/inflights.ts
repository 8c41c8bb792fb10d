/**
 * Appends to one member that wait for an answer, in the order of their last index. Full at
 * `appendsMax` of them or `bytesMax` bytes: then nothing more is sent ahead. The append that reaches
 * the byte bound may pass it, so that one entry larger than the bound can be sent at all.
 */
import type { Limits } from './limits.ts';
import type { LogIndex } from './types.ts';

interface Inflight {
  readonly lastIndex: LogIndex;
  readonly bytes: number;
}

export class Inflights {
  readonly #appendsMax: number;
  readonly #bytesMax: number;
  #queue: Inflight[] = [];
  #bytes = 0;

  constructor(limits: Limits) {
    this.#appendsMax = limits.inflightAppendsMax;
    this.#bytesMax = limits.inflightBytesMax;
  }

  get count(): number {
    return this.#queue.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#queue.length >= this.#appendsMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: LogIndex, bytes: number): void {
    this.#queue.push({ lastIndex, bytes });
    this.#bytes += bytes;
  }

  /** The member answered for everything up to `index`. */
  freeUpTo(index: LogIndex): void {
    let freed = 0;
    for (const { lastIndex, bytes } of this.#queue) {
      if (lastIndex > index) break;
      freed++;
      this.#bytes -= bytes;
    }
    this.#queue.splice(0, freed);
  }

  clear(): void {
    this.#queue = [];
    this.#bytes = 0;
  }
}
