/**
 * Unpacked layers on disk, one directory per chain of layers, shared by images and containers.
 * Invariant: a directory whose name is a layer id is whole and flushed; everything else in `layers/`
 * is scratch that `open` removes. Callers hold the image store's lock around `ensure` and `sweep`.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Log } from '#base/log.ts';
import { RuntimeError } from '../port.ts';
import type { UnpackJob, UnpackReply } from './unpack-worker.ts';

export interface LayerSource {
  readonly diffId: string;
  /** Compressed or plain tar file; not read when the layer is there already. */
  readonly blobPath: string;
}

interface LayerMeta {
  readonly chainId: string;
  readonly sizeBytes: number;
  readonly entryCount: number;
}

/** OCI image-spec: chain id of a stack = sha256(chain below + ' ' + diff id on top). */
export function chainIds(diffIds: readonly string[]): readonly string[] {
  const result: string[] = [];
  for (const diffId of diffIds) {
    const below = result.at(-1);
    result.push(
      below === undefined
        ? diffId
        : `sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`,
    );
  }
  return result;
}

/** Short, because 127 of them must fit into the 4 KiB of a mount call. */
function layerId(chainId: string): string {
  return chainId.slice('sha256:'.length, 'sha256:'.length + 24);
}

export class LayerStore {
  readonly root: string;
  readonly #log: Log;
  readonly #layers = new Map<string, LayerMeta>();

  constructor(root: string, log: Log) {
    this.root = root;
    this.#log = log;
  }

  /** Reads what is there and removes what an earlier process left half done. */
  async open(): Promise<void> {
    mkdirSync(join(this.root, 'empty', 'fs'), { recursive: true });
    for (const name of readdirSync(this.root)) {
      if (name === 'empty') continue;
      const meta = this.#readMeta(name);
      if (meta !== undefined) this.#layers.set(meta.chainId, meta);
      else await rm(join(this.root, name), { recursive: true, force: true });
    }
  }

  has(chainId: string): boolean {
    return this.#layers.has(chainId);
  }

  /** Lower directories of a stack, topmost first, relative to `root`: overlay's order. */
  lowerDirs(chains: readonly string[]): readonly string[] {
    if (chains.length === 0) return ['empty/fs'];
    return chains.toReversed().map((chain) => `${layerId(chain)}/fs`);
  }

  usage(): { bytes: number; inodes: number } {
    let bytes = 0;
    let inodes = 0;
    for (const layer of this.#layers.values()) {
      bytes += layer.sizeBytes;
      inodes += layer.entryCount;
    }
    return { bytes, inodes };
  }

  /** Unpacks what is missing of a stack, bottom up, in one worker. */
  async ensure(layers: readonly LayerSource[], signal: AbortSignal): Promise<void> {
    const chains = chainIds(layers.map((layer) => layer.diffId));
    const jobs: UnpackJob[] = [];
    layers.forEach((layer, i) => {
      const chainId = chains[i] ?? '';
      if (this.#layers.has(chainId)) return;
      const id = layerId(chainId);
      jobs.push({
        blobPath: layer.blobPath,
        chainId,
        diffId: layer.diffId,
        scratch: join(this.root, `new-${id}`),
        target: join(this.root, id),
        parents: this.lowerDirs(chains.slice(0, i)).map((dir) => join(this.root, dir)),
      });
    });
    if (jobs.length === 0) return;
    try {
      await runWorker(jobs, signal);
    } finally {
      for (const job of jobs) {
        const meta = this.#readMeta(layerId(job.chainId));
        if (meta !== undefined) this.#layers.set(meta.chainId, meta);
        else await rm(job.scratch, { recursive: true, force: true });
      }
    }
  }

  /** Removes every layer that `used` does not name. */
  async sweep(used: ReadonlySet<string>): Promise<void> {
    for (const chainId of this.#layers.keys()) {
      if (used.has(chainId)) continue;
      this.#layers.delete(chainId);
      const id = layerId(chainId);
      const doomed = join(this.root, `old-${id}`);
      await rm(doomed, { recursive: true, force: true }); // Of a removal that failed half way.
      renameSync(join(this.root, id), doomed); // Gone at once for a process that starts meanwhile.
      await rm(doomed, { recursive: true, force: true });
      this.#log.debug('layer removed', { chainId });
    }
  }

  #readMeta(name: string): LayerMeta | undefined {
    if (!/^[0-9a-f]{24}$/.test(name)) return undefined;
    try {
      const meta: unknown = JSON.parse(readFileSync(join(this.root, name, 'layer.json'), 'utf8'));
      if (typeof meta !== 'object' || meta === null) return undefined;
      const { chainId, sizeBytes, entryCount } = meta as Partial<LayerMeta>; // Checked below.
      if (typeof chainId !== 'string' || layerId(chainId) !== name) return undefined;
      if (typeof sizeBytes !== 'number' || typeof entryCount !== 'number') return undefined;
      return { chainId, sizeBytes, entryCount };
    } catch {
      return undefined; // Whatever is wrong with it, it is not a whole layer.
    }
  }
}

async function runWorker(jobs: readonly UnpackJob[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const worker = new Worker(new URL('./unpack-worker.ts', import.meta.url), { workerData: jobs });
  let reply: UnpackReply | undefined;
  worker.on('message', (message: UnpackReply) => {
    reply = message;
  });
  const stop = () => {
    worker.terminate().catch(() => undefined); // Its exit is what we wait for.
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    await once(worker, 'exit'); // Rejects with the error that a worker dies of.
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  if (reply === undefined) throw new RuntimeError('IMAGE_INVALID', 'unpacking worker died');
  if (reply.kind === 'failed') throw new RuntimeError(reply.code, reply.message);
}
