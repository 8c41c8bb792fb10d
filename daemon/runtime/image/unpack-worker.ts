/**
 * Entry of the worker that unpacks the layers of one image, so that the agent's loop stays free: reads
 * each spooled layer, checks the digest of what it holds, and makes the directory appear in one
 * rename after everything is on disk. Posts `UnpackReply`s; started by layer-store.ts only.
 *
 *   layers/<id>/fs          the overlay lower directory
 *   layers/<id>/layer.json  { chainId, diffId, sizeBytes, entryCount }
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  createReadStream,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '#base/assert.ts';
import { errorText, isErrno } from '#base/errors.ts';
import { syncfs } from '#base/linux/syscall.ts';
import { RuntimeError, type RuntimeErrorCode } from '../port.ts';
import { decompress } from './decompress.ts';
import { unpackLayer } from './unpack.ts';

export interface UnpackJob {
  readonly blobPath: string;
  readonly chainId: string;
  readonly diffId: string;
  /** Filled, then renamed to `target`. */
  readonly scratch: string;
  readonly target: string;
  /** `fs` directories of the layers below, topmost first. */
  readonly parents: readonly string[];
}

export type UnpackReply =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: RuntimeErrorCode; readonly message: string };

async function runJob(job: UnpackJob): Promise<void> {
  rmSync(job.scratch, { recursive: true, force: true });
  const root = join(job.scratch, 'fs');
  mkdirSync(root, { recursive: true });
  chmodSync(root, 0o755);
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of decompress(createReadStream(job.blobPath))) {
      hash.update(chunk);
      yield chunk;
    }
  }
  const result = await unpackLayer(hashed(), root, job.parents);
  const diffId = `sha256:${hash.digest('hex')}`;
  if (diffId !== job.diffId) {
    throw new RuntimeError(
      'IMAGE_DIGEST_MISMATCH',
      `layer has digest ${diffId}, its image says ${job.diffId}`,
    );
  }
  const meta = { chainId: job.chainId, diffId, ...result };
  writeFileSync(join(job.scratch, 'layer.json'), JSON.stringify(meta));
  onDirectory(job.scratch, syncfs); // One flush for all files, before the name that vouches for them.
  renameSync(job.scratch, job.target);
  onDirectory(dirname(job.target), fsyncSync);
}

function onDirectory(path: string, act: (fd: number) => void): void {
  const fd = openSync(path, 'r');
  try {
    act(fd);
  } finally {
    closeSync(fd);
  }
}

function failure(error: unknown): UnpackReply {
  if (error instanceof RuntimeError) {
    return { kind: 'failed', code: error.code, message: error.message };
  }
  const code = isErrno(error, 'ENOSPC', 'EDQUOT') ? 'NO_SPACE' : 'IMAGE_INVALID';
  return { kind: 'failed', code, message: `cannot unpack layer: ${errorText(error)}` };
}

const port = must(parentPort, 'unpack-worker.ts runs as a worker');
const jobs = workerData as readonly UnpackJob[]; // Set by layer-store.ts.
let reply: UnpackReply = { kind: 'done' };
for (const job of jobs) {
  try {
    await runJob(job);
  } catch (error) {
    rmSync(job.scratch, { recursive: true, force: true });
    reply = failure(error);
    break;
  }
}
port.postMessage(reply);
