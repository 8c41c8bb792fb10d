/** Reading request bodies within the limit. */
import { requestEntityTooLarge } from '../errors.ts';
import { REQUEST_BODY_BYTES_MAX } from '../limits.ts';

/** All of a body; throws ApiError 413 as soon as it is too large, and what `arrived` throws. */
export async function readAll(
  chunks: AsyncIterable<Uint8Array>,
  arrived: (bytes: number) => void,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > REQUEST_BODY_BYTES_MAX) {
      throw requestEntityTooLarge(`limit is ${REQUEST_BODY_BYTES_MAX}`);
    }
    arrived(chunk.length);
    parts.push(chunk);
  }
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : Buffer.concat(parts, length);
}
