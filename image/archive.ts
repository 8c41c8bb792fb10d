/**
 * Builds container images as docker-save archives of one layer, from files of this machine: the sample
 * of `make run` and the images of the tests need no registry. Equal input gives equal bytes.
 */
import { createHash } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';

export type ArchiveEntry =
  | { readonly path: string; readonly kind: 'directory'; readonly mode?: number }
  | {
      readonly path: string;
      readonly kind: 'file';
      readonly content: string | Uint8Array;
      readonly mode?: number;
    }
  | { readonly path: string; readonly kind: 'copy'; readonly from: string; readonly mode?: number }
  | { readonly path: string; readonly kind: 'link' | 'symlink'; readonly target: string };

export interface ArchiveRequest {
  /** `docker.io/library/busybox:latest`; several names for one image. */
  readonly names: readonly string[];
  readonly entries: readonly ArchiveEntry[];
  readonly config: {
    readonly Entrypoint?: readonly string[];
    readonly Cmd?: readonly string[];
    readonly Env?: readonly string[];
    readonly WorkingDir?: string;
    readonly User?: string;
    readonly ExposedPorts?: Readonly<Record<string, object>>;
  };
}

/** Writes the archive to `target`, by rename. */
export async function writeArchive(request: ArchiveRequest, target: string): Promise<void> {
  const layer = await tarBytes((tar) => {
    for (const entry of request.entries) addEntry(tar, entry);
  });
  const digest = sha256(layer);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const config = JSON.stringify({
    architecture,
    os: 'linux',
    config: request.config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  });
  const manifest = [
    { Config: `${sha256(config)}.json`, RepoTags: request.names, Layers: [`${digest}/layer.tar`] },
  ];
  const archive = pack();
  archive.entry({ name: `${sha256(config)}.json`, mtime: EPOCH }, config);
  archive.entry({ name: `${digest}/layer.tar`, mtime: EPOCH }, layer);
  archive.entry({ name: 'manifest.json', mtime: EPOCH }, JSON.stringify(manifest));
  archive.finalize();
  mkdirSync(dirname(target), { recursive: true });
  const staged = `${target}.${process.pid}`;
  await pipeline(archive, createWriteStream(staged));
  renameSync(staged, target);
}

const EPOCH = new Date(0);

function addEntry(tar: Pack, entry: ArchiveEntry): void {
  const name = entry.path.replace(/^\//, '');
  switch (entry.kind) {
    case 'directory':
      tar.entry({ name: `${name}/`, type: 'directory', mode: entry.mode ?? 0o755, mtime: EPOCH });
      return;
    case 'symlink':
    case 'link':
      tar.entry({ name, type: entry.kind, linkname: entry.target, mode: 0o777, mtime: EPOCH });
      return;
    case 'copy':
      tar.entry({ name, mode: entry.mode ?? 0o755, mtime: EPOCH }, readFileSync(entry.from));
      return;
    case 'file':
      tar.entry({ name, mode: entry.mode ?? 0o644, mtime: EPOCH }, Buffer.from(entry.content));
  }
}

async function tarBytes(fill: (tar: Pack) => void): Promise<Buffer> {
  const tar = pack();
  const chunks = Array.fromAsync(tar as AsyncIterable<Buffer>); // Bytes, by tar-stream.
  fill(tar);
  tar.finalize();
  return Buffer.concat(await chunks);
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
