/**
 * The disk of a machine: a copy of the disk image, made once and kept. When the image is built anew, its
 * boot partition replaces that of the disk, as an upgrade by hand would; what the machine has stored stays.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { ALIGN_SECTORS, SECTOR_BYTES } from '#base/gpt.ts';
import { ESP_BYTES } from '#image/disk.ts';
import type { MachineFiles } from './machine-files.ts';

const DISK_BYTES = 10 * 2 ** 30;
const BLOCK_BYTES = 4 << 20;

/** Makes or updates the disk from `image`; the file is sparse. Returns what was done to a disk that was there. */
export function prepareDisk(files: MachineFiles, image: string): string | undefined {
  const { dir, disk } = files;
  const stampFile = join(dir, 'disk.image');
  const stamp = String(statSync(image).mtimeMs);
  if (!existsSync(disk)) {
    execFileSync('cp', ['--sparse=always', image, `${disk}.new`]);
    truncateSync(`${disk}.new`, DISK_BYTES);
    // What belonged to an earlier disk.
    rmSync(join(dir, 'efivars.fd'), { force: true });
    rmSync(join(dir, 'config'), { recursive: true, force: true });
    rmSync(files.clientConfig, { force: true });
    rmSync(files.kubeconfig, { force: true });
    writeFileSync(stampFile, stamp);
    renameSync(`${disk}.new`, disk);
    return undefined;
  }
  const known = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : '';
  if (known === stamp) return undefined;
  copyBootPartition(image, disk);
  writeFileSync(stampFile, stamp);
  return 'the image has changed: its boot partition went onto the disk';
}

function copyBootPartition(image: string, disk: string): void {
  const from = openSync(image, 'r');
  const to = openSync(disk, 'r+');
  const block = Buffer.alloc(BLOCK_BYTES);
  const first = ALIGN_SECTORS * SECTOR_BYTES;
  for (let at = 0; at < ESP_BYTES; at += block.length) {
    const count = readSync(from, block, 0, Math.min(block.length, ESP_BYTES - at), first + at);
    writeSync(to, block, 0, count, first + at);
  }
  closeSync(from);
  closeSync(to);
}
