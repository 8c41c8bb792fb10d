/**
 * Byte streams on their way into the image store: written to a scratch directory while they are
 * hashed, so that memory stays bounded whatever an archive or registry sends.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError } from '../disk.ts';
import { DOCUMENT_BYTES_MAX } from '../limits.ts';
import { RuntimeError } from '../port.ts';

export interface Spooled {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** A scratch directory that is gone when it is left. */
export class Spool implements AsyncDisposable {
  readonly #dir: string;
  #count = 0;

  constructor(parent: string) {
    this.#dir = join(parent, `import-${randomBytes(6).toString('hex')}`);
    mkdirSync(this.#dir, { recursive: true });
  }

  async add(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Spooled> {
    const path = join(this.#dir, String(this.#count++));
    const hash = createHash('sha256');
    let sizeBytes = 0;
    const file = await open(path, 'wx', 0o600);
    try {
      for await (const chunk of source) {
        signal.throwIfAborted();
        hash.update(chunk);
        await writeAll(file, chunk);
        sizeBytes += chunk.length;
      }
    } catch (error) {
      throw diskError(error, path);
    } finally {
      await file.close();
    }
    return { path, digest: `sha256:${hash.digest('hex')}`, sizeBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}

export async function writeAll(
  file: { write(data: Uint8Array): Promise<{ bytesWritten: number }> },
  data: Uint8Array,
): Promise<void> {
  for (let rest = data; rest.length > 0; ) {
    const { bytesWritten } = await file.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}

/** The bytes of a JSON document; larger than any honest one is an error. */
export async function readDocument(spooled: Spooled, what: string): Promise<Buffer> {
  if (spooled.sizeBytes > DOCUMENT_BYTES_MAX) {
    throw new RuntimeError('IMAGE_INVALID', `${what} has ${spooled.sizeBytes} bytes`);
  }
  return await readFile(spooled.path);
}

export function checkDigest(found: string, wanted: string, what: string): void {
  if (found === wanted) return;
  throw new RuntimeError('IMAGE_DIGEST_MISMATCH', `${what} has digest ${found}, not ${wanted}`);
}
