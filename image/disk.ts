/**
 * The disk image that people flash: a GUID partition table with one EFI system partition (FAT32) that
 * holds the UKI under the name that firmware starts from removable media. The machine adds its other
 * partitions and grows into the disk at first boot. The file is sparse; equal input gives equal bytes.
 */
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from '#base/assert.ts';
import { ALIGN_SECTORS, encodeGpt, PARTITION_TYPE, SECTOR_BYTES } from '#base/gpt.ts';
import type { BuildRoot } from './build-root.ts';

/** Two UKIs and room to grow. */
export const ESP_BYTES = 1 << 30;
export const ESP_NAME = 'BAREBOAT-ESP';
const DISK_GUID = 'b0a7b0a7-0000-4000-8000-000000000001';
const ESP_GUID = 'b0a7b0a7-0000-4000-8000-000000000002';
const VOLUME_SERIAL = 'b0a7b0a7';
const BOOT_FILES: Readonly<Record<string, string>> = {
  amd64: 'BOOTX64.EFI',
  arm64: 'BOOTAA64.EFI',
};

/** Writes the disk image to `target`. `work` is a scratch folder. */
export function buildDisk(
  buildRoot: BuildRoot,
  uki: string,
  options: { architecture: string; work: string; target: string },
): void {
  const { architecture, work, target } = options;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const bootFile = BOOT_FILES[architecture];
  assert(bootFile !== undefined, `no boot file name for ${architecture}`);
  copyFileSync(uki, join(work, 'uki'));
  const esp = join(work, 'esp');
  truncate(esp, ESP_BYTES);
  const identity = ['--invariant', '-i', VOLUME_SERIAL, '-n', 'BAREBOAT'];
  const hidden = ['-h', String(ALIGN_SECTORS)]; // Sectors before the partition: the file has none.
  buildRoot.run(['mkfs.vfat', '-F', '32', ...identity, ...hidden, '/work/esp'], work);
  buildRoot.run(['mmd', '-i', '/work/esp', '::/EFI', '::/EFI/BOOT'], work);
  buildRoot.run(['mcopy', '-i', '/work/esp', '/work/uki', `::/EFI/BOOT/${bootFile}`], work);

  const first = ALIGN_SECTORS;
  const espSectors = ESP_BYTES / SECTOR_BYTES;
  const sectorCount = first + espSectors + ALIGN_SECTORS;
  const disk = join(work, 'disk');
  truncate(disk, sectorCount * SECTOR_BYTES);
  const fd = openSync(disk, 'r+');
  const table = {
    diskGuid: DISK_GUID,
    sectorCount,
    partitions: [
      {
        index: 0,
        type: PARTITION_TYPE.esp,
        guid: ESP_GUID,
        firstSector: first,
        lastSector: first + espSectors - 1,
        name: ESP_NAME,
      },
    ],
  };
  for (const { sector, bytes } of encodeGpt(table)) {
    writeSync(fd, bytes, 0, bytes.length, sector * SECTOR_BYTES);
  }
  copySparse(esp, fd, first * SECTOR_BYTES);
  closeSync(fd);
  renameSync(disk, target);
  rmSync(work, { recursive: true });
}

function truncate(path: string, bytes: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, bytes);
  closeSync(fd);
}

/** Copies all that is not zero, so that holes stay holes. */
function copySparse(from: string, to: number, offset: number): void {
  const fd = openSync(from, 'r');
  const block = Buffer.alloc(1 << 20);
  const zeros = Buffer.alloc(block.length);
  for (let at = 0; ; ) {
    const count = readSync(fd, block, 0, block.length, at);
    if (count === 0) break;
    if (!block.subarray(0, count).equals(zeros.subarray(0, count))) {
      writeSync(to, block, 0, count, offset + at);
    }
    at += count;
  }
  closeSync(fd);
}
