/** Undoes gzip or zstd by the magic number, whatever the media type says; other bytes pass as they are. */
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { pipeline, Readable, type Transform } from 'node:stream';
import { RuntimeError } from '../port.ts';

export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < 4) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  const whole = prepend(head, iterator);
  const decoder = decoderOf(head);
  if (decoder === undefined) {
    yield* whole;
    return;
  }
  // The callback keeps a broken source from being an unhandled error; the loop below throws it.
  pipeline(Readable.from(whole, { objectMode: false }), decoder, () => undefined);
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array; // Transform yields any.
  } catch (error) {
    if (error instanceof Error && 'code' in error && /^(Z_|ZSTD_)/.test(String(error.code))) {
      throw new RuntimeError('IMAGE_INVALID', 'compressed data is damaged', { cause: error });
    }
    throw error;
  }
}

async function* prepend(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    for (;;) {
      const next = await rest.next();
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await rest.return?.();
  }
}

function decoderOf(head: Uint8Array): Transform | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b) return createGunzip();
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) {
    return createZstdDecompress();
  }
  return undefined;
}
