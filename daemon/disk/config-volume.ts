/**
 * A volume that brings a machine's first configuration: `config.yaml` and, with it, `secrets.yaml`, on a
 * partition named BAREBOAT-CFG (GPT), a FAT filesystem labelled BAREBOATCFG (its labels have eleven
 * characters) or an ISO image labelled BAREBOAT-CFG. It is only read.
 *
 *   FAT32      0x29 at byte 66, label at 71, `FAT32` at 82
 *   FAT12/16   0x29 at byte 38, label at 43, `FAT` at 54
 *   ISO 9660   sector 16 of 2048 bytes: 1, `CD001`, volume identifier at 40, 32 characters
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { MS, mount, umount } from '#base/linux/syscall.ts';

const NAME = 'BAREBOAT-CFG';
const FAT_LABEL = 'BAREBOATCFG';
const MOUNT_POINT = '/run/bareboat/config-volume';
const ISO_DESCRIPTOR_BYTE = 16 * 2048;
/** Documents are a few kilobytes; whatever is larger is none. */
const FILE_BYTES_MAX = 1 << 20;

export interface Label {
  readonly type: 'vfat' | 'iso9660';
  /** Without the blanks at its end. */
  readonly label: string;
}

export interface ConfigVolume {
  /** `vdb1` */
  readonly device: string;
  readonly config: string;
  readonly secrets: string | undefined;
}

/** The filesystem that begins with `head` (its first 36 KiB), if it is one of these. Pure. */
export function parseLabel(head: Uint8Array): Label | undefined {
  const bytes = Buffer.from(head);
  const text = (at: number, length: number) =>
    bytes.toString('latin1', at, at + length).replaceAll('\0', ' ');
  if (bytes[66] === 0x29 && text(82, 5) === 'FAT32') return fat(text(71, 11));
  if (bytes[38] === 0x29 && text(54, 3) === 'FAT') return fat(text(43, 11));
  if (bytes[ISO_DESCRIPTOR_BYTE] === 1 && text(ISO_DESCRIPTOR_BYTE + 1, 5) === 'CD001') {
    return { type: 'iso9660', label: text(ISO_DESCRIPTOR_BYTE + 40, 32).trimEnd() };
  }
  return undefined;
}

const fat = (label: string): Label => ({ type: 'vfat', label: label.trimEnd() });

/** The first such volume with a configuration on it. Throws LinuxError when one cannot be mounted. */
export function readConfigVolume(loadModule: (name: string) => void): ConfigVolume | undefined {
  for (const device of readdirSync('/sys/class/block')) {
    const found = readLabel(device);
    if (found === undefined) continue;
    const isNamed = partitionNameOf(device) === NAME;
    if (!isNamed && found.label !== NAME && found.label !== FAT_LABEL) continue;
    if (found.type === 'iso9660') loadModule('isofs');
    const volume = readFiles(device, found.type);
    if (volume !== undefined) return volume;
  }
  return undefined;
}

function partitionNameOf(device: string): string | undefined {
  const path = join('/sys/class/block', device, 'uevent');
  if (!existsSync(path)) return undefined;
  return /^PARTNAME=(.*)$/m.exec(readFileSync(path, 'utf8'))?.[1];
}

function readLabel(device: string): Label | undefined {
  try {
    const fd = openSync(join('/dev', device), 'r');
    try {
      const head = Buffer.alloc(ISO_DESCRIPTOR_BYTE + 2048);
      readSync(fd, head, 0, head.length, 0);
      return parseLabel(head);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isErrno(error)) return undefined; // No medium, no node, or a disk that fails: none of ours.
    throw error;
  }
}

function readFiles(device: string, type: Label['type']): ConfigVolume | undefined {
  mkdirSync(MOUNT_POINT, { recursive: true });
  const flags = MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC;
  mount({ source: join('/dev', device), target: MOUNT_POINT, type, flags });
  try {
    const config = readBounded('config.yaml');
    if (config === undefined) return undefined;
    return { device, config, secrets: readBounded('secrets.yaml') };
  } finally {
    umount(MOUNT_POINT);
    rmdirSync(MOUNT_POINT);
  }
}

function readBounded(name: string): string | undefined {
  const path = join(MOUNT_POINT, name);
  if (!existsSync(path)) return undefined;
  const fd = openSync(path, 'r');
  try {
    const content = Buffer.alloc(FILE_BYTES_MAX);
    return content.toString('utf8', 0, readSync(fd, content, 0, FILE_BYTES_MAX, 0));
  } finally {
    closeSync(fd);
  }
}
