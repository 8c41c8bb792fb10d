/**
 * What answers and bodies under way may hold of this process's memory together. Without it, readers that
 * do not read could exhaust the heap, and the store's thread would die with the process.
 */
import { tooManyRequests } from './errors.ts';

const RETRY_AFTER_SECONDS = 1;

export class MemoryBudget {
  readonly bytesMax: number;
  #bytesHeld = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get bytesHeld(): number {
    return this.#bytesHeld;
  }

  /**
   * Counts `bytes` as held until they are given back, beside the `ownBytes` that the same request holds
   * already. Throws ApiError 429 when they do not fit; what is larger than all of it fits when no other
   * request holds anything, for it would never fit otherwise.
   */
  take(bytes: number, ownBytes: number): void {
    if (this.#bytesHeld > ownBytes && this.#bytesHeld + bytes > this.bytesMax) {
      throw tooManyRequests(
        'Too much data is on its way to or from clients, please try again later.',
        RETRY_AFTER_SECONDS,
      );
    }
    this.#bytesHeld += bytes;
  }

  give(bytes: number): void {
    this.#bytesHeld -= bytes;
  }
}
