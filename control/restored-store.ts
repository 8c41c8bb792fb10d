/**
 * Where a store made of a snapshot waits until it counts. `main.ts --restore SNAPSHOT DATADIR`, which the
 * supervisor runs, puts it there before the cluster begins; control, which is started only when it has
 * begun, takes it from there. So a power cut at any point leaves a store that counts, or one that whoever
 * restores may do away with.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RESTORE_DIR, STORE_DIR } from './config.ts';
import { StoreError, restoreStore, syncDirectory } from '#control/store/store.ts';
import type { SnapshotInfo } from '#control/store/store.ts';

/**
 * Throws StoreError INVALID_REQUEST when control has a store already, CORRUPT or UNSUPPORTED for a file of
 * which none can be made; errno errors of the disk.
 */
export function makeRestored(snapshot: string, dataDir: string): SnapshotInfo {
  const store = join(dataDir, STORE_DIR);
  if (existsSync(store)) {
    const text = `${store} holds a store already: nothing was restored`;
    throw new StoreError('INVALID_REQUEST', text);
  }
  const staging = join(dataDir, RESTORE_DIR);
  mkdirSync(staging, { recursive: true });
  rmSync(join(staging, STORE_DIR), { recursive: true, force: true });
  return restoreStore(snapshot, join(staging, STORE_DIR));
}

/** Before control's store is opened. Throws errno errors of the disk. */
export function takeRestored(dataDir: string): void {
  const staging = join(dataDir, RESTORE_DIR);
  if (!existsSync(staging)) return;
  const made = join(staging, STORE_DIR);
  const store = join(dataDir, STORE_DIR);
  if (existsSync(made) && !existsSync(store)) {
    renameSync(made, store);
    syncDirectory(dataDir);
  }
  rmSync(staging, { recursive: true, force: true });
}
