/**
 * GUID partition tables (UEFI specification 2.10, section 5.3), as pure codecs over bytes: the image's
 * build writes one, the supervisor reads it and adds partitions at first boot.
 *
 *   LBA 0            protective MBR
 *   LBA 1            header: signature, CRC32s, own and other header's place, usable range, disk GUID
 *   LBA 2 to 33      128 entries of 128 bytes: type, GUID, first and last LBA, attributes, name UTF-16LE
 *   last 33 LBAs     the same entries and header again
 */
import { assert } from './assert.ts';

export const SECTOR_BYTES = 512;
export const ENTRY_COUNT = 128;
const ENTRY_BYTES = 128;
const HEADER_BYTES = 92;
const ENTRY_SECTORS = (ENTRY_COUNT * ENTRY_BYTES) / SECTOR_BYTES;
/** Partitions begin at multiples of 1 MiB. */
export const ALIGN_SECTORS = 2048;
export const FIRST_USABLE = 2 + ENTRY_SECTORS;

/** `EFI PART`. */
const SIGNATURE = Uint8Array.of(0x45, 0x46, 0x49, 0x20, 0x50, 0x41, 0x52, 0x54);

export const PARTITION_TYPE = {
  esp: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  linux: '0fc63daf-8483-4772-8e79-3d69d8477de4',
} as const;

export interface Partition {
  /** Place in the table, from 0. */
  readonly index: number;
  readonly type: string;
  readonly guid: string;
  readonly firstSector: number;
  /** Inclusive. */
  readonly lastSector: number;
  readonly name: string;
}

export interface PartitionTable {
  readonly diskGuid: string;
  /** Size of the disk that the table was written for. */
  readonly sectorCount: number;
  readonly partitions: readonly Partition[];
}

/** What has to be written where; sectors are of 512 bytes. */
export interface SectorWrite {
  readonly sector: number;
  readonly bytes: Uint8Array;
}

/** The writes that put `table` on a disk of `table.sectorCount` sectors: backup first, then primary. */
export function encodeGpt(table: PartitionTable): SectorWrite[] {
  const { sectorCount, diskGuid } = table;
  const entries = new Uint8Array(ENTRY_COUNT * ENTRY_BYTES);
  for (const p of table.partitions) {
    assert(p.index < ENTRY_COUNT, `partition index ${p.index}`);
    assert(p.firstSector >= FIRST_USABLE, `partition ${p.name} begins at ${p.firstSector}`);
    assert(p.lastSector <= lastUsable(sectorCount), `partition ${p.name} ends at ${p.lastSector}`);
    entries.set(encodeEntry(p), p.index * ENTRY_BYTES);
  }
  const entriesCrc = crc32(entries);
  const last = sectorCount - 1;
  const header = (own: number, other: number, entriesAt: number) =>
    encodeHeader({ own, other, entriesAt, entriesCrc, diskGuid, sectorCount });
  return [
    { sector: last - ENTRY_SECTORS, bytes: entries },
    { sector: last, bytes: header(last, 1, last - ENTRY_SECTORS) },
    { sector: 0, bytes: protectiveMbr(sectorCount) },
    { sector: 2, bytes: entries },
    { sector: 1, bytes: header(1, last, 2) },
  ];
}

/** The last sector that a partition may use. */
export function lastUsable(sectorCount: number): number {
  return sectorCount - 2 - ENTRY_SECTORS;
}

/**
 * The table in `bytes`, the first 34 sectors of a disk (or its last 33 preceded by anything, with
 * `headerSector` naming the header's place in `bytes`). Undefined when there is no valid table.
 */
export function decodeGpt(
  bytes: Uint8Array,
  places: { headerSector: number; entriesSector: number } = { headerSector: 1, entriesSector: 2 },
): PartitionTable | undefined {
  const start = places.headerSector * SECTOR_BYTES;
  if (bytes.length < start + HEADER_BYTES) return undefined;
  const header = new Uint8Array(bytes.subarray(start, start + HEADER_BYTES));
  const view = new DataView(header.buffer);
  if (ascii(header, 0, 8) !== ascii(SIGNATURE, 0, 8) || view.getUint32(12, true) !== HEADER_BYTES)
    return undefined;
  const crc = view.getUint32(16, true);
  view.setUint32(16, 0, true);
  if (crc32(header) !== crc) return undefined;
  const at = places.entriesSector * SECTOR_BYTES;
  const entries = new Uint8Array(bytes.subarray(at, at + ENTRY_COUNT * ENTRY_BYTES));
  if (entries.length < ENTRY_COUNT * ENTRY_BYTES || crc32(entries) !== view.getUint32(88, true)) {
    return undefined;
  }
  const own = Number(view.getBigUint64(24, true));
  const other = Number(view.getBigUint64(32, true));
  const partitions: Partition[] = [];
  for (let index = 0; index < ENTRY_COUNT; index++) {
    const entry = entries.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES);
    if (entry.subarray(0, 16).some((byte) => byte !== 0))
      partitions.push(decodeEntry(entry, index));
  }
  return { diskGuid: formatGuid(header, 56), sectorCount: Math.max(own, other) + 1, partitions };
}

function encodeHeader(h: {
  own: number;
  other: number;
  entriesAt: number;
  entriesCrc: number;
  diskGuid: string;
  sectorCount: number;
}): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(SIGNATURE);
  view.setUint32(8, 0x00010000, true); // revision 1.0
  view.setUint32(12, HEADER_BYTES, true);
  view.setBigUint64(24, BigInt(h.own), true);
  view.setBigUint64(32, BigInt(h.other), true);
  view.setBigUint64(40, BigInt(FIRST_USABLE), true);
  view.setBigUint64(48, BigInt(lastUsable(h.sectorCount)), true);
  bytes.set(parseGuid(h.diskGuid), 56);
  view.setBigUint64(72, BigInt(h.entriesAt), true);
  view.setUint32(80, ENTRY_COUNT, true);
  view.setUint32(84, ENTRY_BYTES, true);
  view.setUint32(88, h.entriesCrc, true);
  view.setUint32(16, crc32(bytes.subarray(0, HEADER_BYTES)), true);
  return bytes;
}

function encodeEntry(p: Partition): Uint8Array {
  const bytes = new Uint8Array(ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(parseGuid(p.type), 0);
  bytes.set(parseGuid(p.guid), 16);
  view.setBigUint64(32, BigInt(p.firstSector), true);
  view.setBigUint64(40, BigInt(p.lastSector), true);
  assert(p.name.length <= 36, `partition name ${p.name} is too long`);
  for (let i = 0; i < p.name.length; i++) view.setUint16(56 + 2 * i, p.name.charCodeAt(i), true);
  return bytes;
}

function decodeEntry(entry: Uint8Array, index: number): Partition {
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
  let name = '';
  for (let at = 56; at < ENTRY_BYTES; at += 2) {
    const unit = view.getUint16(at, true);
    if (unit === 0) break;
    name += String.fromCharCode(unit);
  }
  return {
    index,
    type: formatGuid(entry, 0),
    guid: formatGuid(entry, 16),
    firstSector: Number(view.getBigUint64(32, true)),
    lastSector: Number(view.getBigUint64(40, true)),
    name,
  };
}

/** One partition of type 0xEE over the whole disk, so that old tools see no free space. */
function protectiveMbr(sectorCount: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  view.setUint32(454, 1, true);
  view.setUint32(458, Math.min(sectorCount - 1, 0xffffffff), true);
  bytes.set([0x55, 0xaa], 510);
  return bytes;
}

/** The order of the bytes of a GUID: the first three fields are little-endian (appendix A). */
const GUID_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

function parseGuid(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  assert(/^[0-9a-f]{32}$/i.test(hex), `GUID ${text}`);
  const bytes = new Uint8Array(16);
  for (const [at, from] of GUID_ORDER.entries()) {
    bytes[at] = Number.parseInt(hex.slice(from * 2, from * 2 + 2), 16);
  }
  return bytes;
}

function formatGuid(bytes: Uint8Array, offset: number): string {
  const hex = GUID_ORDER.map((from) =>
    (bytes[offset + from] ?? 0).toString(16).padStart(2, '0'),
  ).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function ascii(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

/** CRC-32 of IEEE 802.3, reflected, as the specification asks for. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
