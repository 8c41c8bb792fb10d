/**
 * Output on its way from a pushing source (terminal, attach worker) to one pulling reader. Bounded: the
 * source is paused above `bytesMax` and resumed when half of it has been read.
 */
import type { Readable } from 'node:stream';

export interface FlowControl {
  pause(): void;
  resume(): void;
}

export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #bytesMax: number;
  readonly #flow: FlowControl;
  readonly #chunks: Uint8Array[] = [];
  #first: Uint8Array = new Uint8Array(0);
  #byteCount = 0;
  #paused = false;
  #ended = false;
  #discarding = false;
  #wake: (() => void) | undefined;

  constructor(bytesMax: number, flow: FlowControl) {
    this.#bytesMax = bytesMax;
    this.#flow = flow;
  }

  push(chunk: Uint8Array): void {
    if (this.#first.length === 0) this.#first = chunk.subarray(0, 4096);
    if (this.#ended || this.#discarding) return;
    this.#chunks.push(chunk);
    this.#byteCount += chunk.length;
    if (!this.#paused && this.#byteCount > this.#bytesMax) {
      this.#paused = true;
      this.#flow.pause();
    }
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The reader is gone: what comes is thrown away, so that the source can end. */
  discard(): void {
    this.#discarding = true;
    this.#chunks.length = 0;
    this.#byteCount = 0;
    this.#ended = true;
    this.#resume();
    this.#wake?.();
  }

  /** Beginning of the output: error texts of a program that never ran. */
  firstText(): string {
    return Buffer.from(this.#first).toString('utf8');
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#byteCount -= chunk.length;
        if (this.#byteCount <= this.#bytesMax / 2) this.#resume();
        yield chunk;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flow.resume();
  }
}

/** A stream that was asked for by nobody. */
export async function* noBytes(): AsyncGenerator<Uint8Array> {}

/** The bytes of a pipe; a pipe that is destroyed under its reader just ends. */
export async function* readableBytes(stream: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array; // No encoding is set.
  } catch (error) {
    if (
      !(error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE')
    ) {
      throw error;
    }
  }
}
