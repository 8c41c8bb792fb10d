/** A file on its way to a machine, in pieces. */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { Chunk } from '#base/protocol/bareboat.gen.ts';
import { formatBytes } from './output.ts';

const CHUNK_BYTES = 256 * 1024;

/** Tells progress at each tenth of the file. */
export async function* fileChunks(
  { file, sizeBytes }: { readonly file: string; readonly sizeBytes: number },
  note: (text: string) => void,
): AsyncGenerator<Chunk> {
  let sent = 0;
  let told = 0;
  for await (const data of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
    yield { data };
    sent += data.length;
    const tenths = Math.floor((sent * 10) / sizeBytes);
    if (tenths > told && sizeBytes > 10 * CHUNK_BYTES) {
      told = tenths;
      note(`${basename(file)}: ${formatBytes(sent)} of ${formatBytes(sizeBytes)}`);
    }
  }
}
