/**
 * Snapshots as files of this machine: written whole or not at all, and read through again before they
 * count. A store made of one comes into being in one step, too.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { verifyCheckpoint } from './checkpoint/read.ts';
import { RealDisk, openForReading, syncDirectory } from './disk/real-disk.ts';
import { crc32, sha256 } from './native-digests.ts';
import { StoreError } from './port.ts';
import type { SnapshotInfo, StoreAdmin } from './port.ts';
import { restoreSnapshot } from './restore.ts';

/**
 * Writes a snapshot of the store to `path`, replacing what is there when it is complete, durable and
 * checked. Throws StoreError UNAVAILABLE, or CORRUPT when what was written cannot be read back; errno
 * errors of the disk.
 */
export async function saveSnapshot(
  store: Pick<StoreAdmin, 'snapshot'>,
  path: string,
  signal: AbortSignal,
): Promise<SnapshotInfo> {
  const part = `${path}.part`;
  try {
    const info = await writePart(store, part, signal);
    await verifySnapshot(part);
    renameSync(part, path);
    syncDirectory(dirname(path));
    return info;
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

async function writePart(
  store: Pick<StoreAdmin, 'snapshot'>,
  part: string,
  signal: AbortSignal,
): Promise<SnapshotInfo> {
  const fd = openSync(part, 'w', 0o600);
  try {
    await using snapshot = await store.snapshot(signal);
    for await (const piece of snapshot.pieces(signal)) writeWhole(fd, piece);
    fsyncSync(fd);
    const { groupId, revision, index, bytes } = snapshot;
    return { groupId, revision, index, bytes };
  } finally {
    closeSync(fd);
  }
}

/** Reads the file through; throws StoreError CORRUPT, or UNSUPPORTED for one of a later version. */
export async function verifySnapshot(path: string): Promise<void> {
  const file = openForReading(path);
  try {
    const chunks = verifyCheckpoint(file, basename(path), sha256);
    while (chunks.next().done !== true) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    file.close();
  }
}

/**
 * Makes the store of `dataDir`, which must not exist, of a snapshot. Throws StoreError INVALID_REQUEST when
 * it does, else as restoreSnapshot; then `dataDir` does not exist.
 */
export function restoreStore(path: string, dataDir: string): SnapshotInfo {
  if (existsSync(dataDir)) {
    throw new StoreError(
      'INVALID_REQUEST',
      `${dataDir} holds a store already: nothing was restored`,
    );
  }
  const staged = `${dataDir}.restoring`;
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(dirname(dataDir), { recursive: true });
  try {
    const file = openForReading(path);
    let info: SnapshotInfo;
    try {
      using disk = new RealDisk(staged);
      const io = { crc32, sha256, random: () => Math.random() };
      info = restoreSnapshot(io, { file, name: basename(path) }, disk);
      disk.syncDirectory();
    } finally {
      file.close();
    }
    renameSync(staged, dataDir);
    syncDirectory(dirname(dataDir));
    return info;
  } catch (error) {
    rmSync(staged, { recursive: true, force: true });
    throw error;
  }
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done);
}
