/**
 * Disks of the machine: finds the one that it was flashed on (the partition BAREBOAT-ESP), partitions
 * the rest of it at first boot, checks, formats, grows and mounts its volumes. Carries out plan.ts.
 * A disk without that partition is never written to.
 */
import { execFile } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '#base/errors.ts';
import {
  decodeGpt,
  encodeGpt,
  type Partition,
  type PartitionTable,
  SECTOR_BYTES,
} from '#base/gpt.ts';
import { MS, mount, rereadPartitions } from '#base/linux/syscall.ts';
import { ESP_NAME, partitionName, planDisk, VOLUME_NAMES, type VolumeName } from './plan.ts';

export { VOLUME_NAMES, type VolumeName } from './plan.ts';

/** USB needs a second or two to tell what is plugged in. */
const BOOT_DISK_MS = 5_000;
/** ext4's superblock lies at byte 1024. */
const WIPED_BYTES = 4096;

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: 'CHECK_FAILED' | 'FORMAT_FAILED' | 'TOO_SMALL' | 'PARTITION_MISSING';

  constructor(code: DiskError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface PreparedDisk {
  readonly done: readonly string[];
  readonly problems: ReadonlyMap<VolumeName, string>;
}

/**
 * The boot disk, once it is there: drivers bring their disks on threads of their own (NVMe, USB), and a
 * machine that ran without its disk would look like a new one. Without a controller there is nothing to
 * wait for.
 */
export async function awaitBootDisk(): Promise<string | undefined> {
  const startedAt = performance.now();
  for (;;) {
    const disk = findBootDisk();
    if (disk !== undefined || !hasStorageController()) return disk;
    if (performance.now() - startedAt > BOOT_DISK_MS) return undefined;
    await sleep(50);
  }
}

/** A PCI device of class 01 (mass storage) or 0c03 (USB). */
function hasStorageController(): boolean {
  const devices = '/sys/bus/pci/devices';
  if (!existsSync(devices)) return false;
  return readdirSync(devices).some((name) => {
    const path = join(devices, name, 'class');
    return existsSync(path) && /^0x(01|0c03)/.test(readFileSync(path, 'utf8'));
  });
}

/** `vda`, or undefined when no disk of this machine was flashed with the image. */
export function findBootDisk(): string | undefined {
  for (const disk of readdirSync('/sys/block')) {
    if (!existsSync(join('/sys/block', disk, 'device'))) continue;
    if (!isReadable(disk)) continue;
    const table = readTable(disk)?.table;
    if (table?.partitions.some((p) => p.name === ESP_NAME) === true) return disk;
  }
  return undefined;
}

/** Drives without a medium (ENOMEDIUM), and broken ones, are not the machine's disk. */
function isReadable(disk: string): boolean {
  try {
    const fd = openSync(join('/dev', disk), 'r');
    try {
      return readSync(fd, Buffer.alloc(SECTOR_BYTES)) === SECTOR_BYTES;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return false;
    throw error;
  }
}

/**
 * Partitions and formats what is missing on `disk`. Idempotent. Returns a line for each thing done, and
 * why a volume cannot be used: the others can.
 * Throws DiskError TOO_SMALL when the disk has no room for the volumes.
 */
export async function prepareDisk(disk: string): Promise<PreparedDisk> {
  const found = readTable(disk);
  const problems = new Map<VolumeName, string>();
  if (found === undefined) return { done: [], problems };
  const plan = planDisk(found.table, found.sectorCount, () => randomUUID());
  const done: string[] = [];
  if (plan.kind === 'tooSmall') {
    const mib = Math.floor(plan.restBytes / (1 << 20));
    throw new DiskError('TOO_SMALL', `disk ${disk} has ${mib} MiB free behind its boot partition`);
  }
  if (plan.kind === 'write') {
    // First: what an old disk had there must not look like a damaged volume.
    wipe(
      disk,
      plan.table.partitions.filter(({ name }) =>
        plan.fresh.some((volume) => partitionName(volume) === name),
      ),
    );
    writeTable(disk, plan.table);
    for (const volume of plan.fresh)
      done.push(`partition ${partitionName(volume)} made on ${disk}`);
    await waitForPartitions(disk);
  }
  const grown = plan.kind === 'write' && plan.grownData;
  const prepared = await Promise.all(
    VOLUME_NAMES.map(async (volume) => {
      try {
        return await prepareVolume(disk, volume, grown);
      } catch (error) {
        problems.set(volume, errorText(error)); // Its status says so; nothing on it was given up.
        return [];
      }
    }),
  );
  return { done: [...done, ...prepared.flat()], problems };
}

/** Formats or checks one volume, and grows DATA into a partition that has grown. */
async function prepareVolume(disk: string, volume: VolumeName, grown: boolean): Promise<string[]> {
  const device = must(findPartition(disk, partitionName(volume)), volume);
  if (isMounted(device)) return []; // By an earlier supervisor of this boot: e2fsck would refuse it.
  if (isBlank(device)) {
    await format(device, volume);
    return [`${volume} formatted`];
  }
  await check(device, volume);
  if (volume !== 'DATA' || !grown) return [];
  const { status, text } = await tool('/usr/sbin/resize2fs', [device]);
  if (status !== 0) throw new DiskError('FORMAT_FAILED', `cannot grow ${volume}: ${text}`);
  return ['DATA grown'];
}

/** Mounts a volume, unless it is mounted. */
export function mountVolume(disk: string, volume: VolumeName, target: string): void {
  mkdirSync(target, { recursive: true });
  const device = must(findPartition(disk, partitionName(volume)), volume);
  if (isMounted(device)) return;
  mount({ source: device, target, type: 'ext4', flags: MS.NOATIME | MS.NODEV });
}

/** Bytes of the filesystem at `path`. */
export function usage(path: string): { sizeBytes: number; freeBytes: number } {
  const { blocks, bavail, bsize } = statfsSync(path);
  return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
}

function readTable(disk: string): { table: PartitionTable; sectorCount: number } | undefined {
  const sectorCount = Number(readFileSync(join('/sys/block', disk, 'size'), 'utf8'));
  if (sectorCount < 100) return undefined;
  const fd = openSync(join('/dev', disk), 'r');
  try {
    const head = Buffer.alloc(34 * SECTOR_BYTES);
    readSync(fd, head, 0, head.length, 0);
    const primary = decodeGpt(head);
    if (primary !== undefined) return { table: primary, sectorCount };
    // A power cut while the table was written: the copy at the end of the disk is whole then.
    const tail = Buffer.alloc(33 * SECTOR_BYTES);
    readSync(fd, tail, 0, tail.length, (sectorCount - 33) * SECTOR_BYTES);
    const backup = decodeGpt(tail, { headerSector: 32, entriesSector: 0 });
    return backup === undefined ? undefined : { table: backup, sectorCount };
  } finally {
    closeSync(fd);
  }
}

function writeTable(disk: string, table: PartitionTable): void {
  const fd = openSync(join('/dev', disk), 'r+');
  try {
    for (const { sector, bytes } of encodeGpt(table)) {
      writeSync(fd, bytes, 0, bytes.length, sector * SECTOR_BYTES);
      fsyncSync(fd); // The backup is whole before the primary is touched.
    }
    rereadPartitions(fd);
  } finally {
    closeSync(fd);
  }
}

/** Zeroes where filesystems begin, so that a partition without one can be told from a damaged one. */
function wipe(disk: string, partitions: readonly Partition[]): void {
  const fd = openSync(join('/dev', disk), 'r+');
  try {
    for (const { firstSector } of partitions) {
      writeSync(fd, Buffer.alloc(WIPED_BYTES), 0, WIPED_BYTES, firstSector * SECTOR_BYTES);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Device of the disk's partition with this GPT name, which the kernel tells as PARTNAME. */
function findPartition(disk: string, name: string): string | undefined {
  for (const entry of readdirSync(join('/sys/block', disk))) {
    const uevent = join('/sys/block', disk, entry, 'uevent');
    if (!existsSync(join('/sys/block', disk, entry, 'partition'))) continue;
    if (readFileSync(uevent, 'utf8').includes(`PARTNAME=${name}\n`)) return join('/dev', entry);
  }
  return undefined;
}

function isMounted(device: string): boolean {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return lines.some((line) => line.split(' ')[0] === device);
}

async function waitForPartitions(disk: string): Promise<void> {
  const all = () =>
    VOLUME_NAMES.every((volume) => {
      const device = findPartition(disk, partitionName(volume));
      return device !== undefined && existsSync(device);
    });
  for (let waited = 0; waited < 5000 && !all(); waited += 20) await sleep(20);
}

/**
 * No filesystem was ever made there: mke2fs writes the first superblock last, into what `wipe` zeroed.
 * Anything else is a filesystem, or what is left of one, and never formatted.
 */
export function isBlank(device: string): boolean {
  const fd = openSync(device, 'r');
  try {
    const head = Buffer.alloc(WIPED_BYTES);
    readSync(fd, head, 0, WIPED_BYTES, 0);
    return head.every((byte) => byte === 0);
  } finally {
    closeSync(fd);
  }
}

/** Makes the ext4 of a volume. */
export async function format(device: string, volume: VolumeName): Promise<void> {
  const options = [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-L',
    volume,
    '-m',
    '0',
    '-E',
    'lazy_itable_init=1,lazy_journal_init=1,nodiscard',
  ];
  const { status, text } = await tool('/usr/sbin/mke2fs', [...options, device]);
  if (status !== 0) throw new DiskError('FORMAT_FAILED', `cannot format ${volume}: ${text}`);
}

/** e2fsck(8): 0 clean, 1 mended, 2 mended and a reboot is advised; more is not usable. */
export async function check(device: string, volume: VolumeName): Promise<void> {
  const { status, text } = await tool('/usr/sbin/e2fsck', ['-p', device]);
  if (status > 2) throw new DiskError('CHECK_FAILED', `${volume} is damaged: ${text}`);
}

/** Throws when the program cannot be started; its failure is a status. */
function tool(program: string, args: readonly string[]): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const env = { PATH: '/usr/bin:/usr/sbin' };
    execFile(program, args, { encoding: 'utf8', env }, (error, stdout, stderr) => {
      const text = `${stdout}${stderr}`.trim();
      if (error === null) resolve({ status: 0, text });
      else if (typeof error.code === 'number') resolve({ status: error.code, text });
      else if (error.signal !== undefined && error.signal !== null) resolve({ status: 128, text });
      else reject(error);
    });
  });
}

function must(device: string | undefined, volume: VolumeName): string {
  if (device === undefined) {
    throw new DiskError(
      'PARTITION_MISSING',
      `the kernel shows no partition ${partitionName(volume)}`,
    );
  }
  return device;
}
