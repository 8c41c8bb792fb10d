/** The digests of the store by Node's native code. */
import { hash } from 'node:crypto';

export { crc32 } from 'node:zlib';

export function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer');
}
