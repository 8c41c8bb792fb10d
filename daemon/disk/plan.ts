/**
 * The partitions of a machine's disk, planned purely: a flashed disk holds the EFI system partition
 * alone; at first boot the rest of the disk is given to STATE, STORE and DATA. Partitions that are there
 * are never moved or shrunk; only DATA, the last, grows with the disk.
 *
 * Sizes: STATE 256 MiB; STORE 8 GiB, or a fifth of what is left on a smaller disk, at least 128 MiB;
 * DATA the rest. A disk with less than MIN_REST_BYTES behind the ESP is not used: the machine then runs
 * in memory, and says so.
 */
import {
  ALIGN_SECTORS,
  lastUsable,
  type Partition,
  PARTITION_TYPE,
  type PartitionTable,
  SECTOR_BYTES,
} from '#base/gpt.ts';

export const ESP_NAME = 'BAREBOAT-ESP';
export const VOLUME_NAMES = ['STATE', 'STORE', 'DATA'] as const;
export type VolumeName = (typeof VOLUME_NAMES)[number];

const MIB = 1 << 20;
const STATE_BYTES = 256 * MIB;
const STORE_BYTES_MAX = 8192 * MIB;
const STORE_BYTES_MIN = 128 * MIB;
export const MIN_REST_BYTES = 1024 * MIB;

export type DiskPlan =
  | { readonly kind: 'keep' }
  /** Write `table`; the partitions named in `fresh` have no filesystem yet. */
  | {
      readonly kind: 'write';
      readonly table: PartitionTable;
      readonly fresh: readonly VolumeName[];
      readonly grownData: boolean;
    }
  | { readonly kind: 'tooSmall'; readonly restBytes: number };

/** GPT name of a volume's partition. */
export function partitionName(volume: VolumeName): string {
  return `BAREBOAT-${volume}`;
}

/** `newGuid` makes a random GUID. `table` is what the disk holds, `sectorCount` its real size. */
export function planDisk(
  table: PartitionTable,
  sectorCount: number,
  newGuid: () => string,
): DiskPlan {
  const named = (volume: VolumeName) =>
    table.partitions.find((p) => p.name === partitionName(volume));
  const missing = VOLUME_NAMES.filter((volume) => named(volume) === undefined);
  const last = alignDown(lastUsable(sectorCount) + 1) - 1;
  const data = named('DATA');
  if (missing.length === 0 && data !== undefined) {
    if (data.lastSector >= last || table.partitions.some((p) => p.firstSector > data.lastSector)) {
      return table.sectorCount === sectorCount ? { kind: 'keep' } : rewrite(table, sectorCount, []);
    }
    const grown = table.partitions.map((p) => (p === data ? { ...p, lastSector: last } : p));
    return { ...rewrite({ ...table, partitions: grown }, sectorCount, []), grownData: true };
  }
  const first = alignUp(Math.max(...table.partitions.map((p) => p.lastSector + 1)));
  const restBytes = Math.max(0, last + 1 - first) * SECTOR_BYTES;
  if (restBytes < MIN_REST_BYTES) return { kind: 'tooSmall', restBytes };
  const partitions = [...table.partitions];
  let at = first;
  for (const volume of missing) {
    const sectors = volumeBytes(volume, restBytes) / SECTOR_BYTES;
    const end = volume === 'DATA' ? last : at + sectors - 1;
    partitions.push(newPartition(partitions, volume, { first: at, last: end, guid: newGuid() }));
    at = end + 1;
  }
  return rewrite({ ...table, partitions }, sectorCount, missing);
}

function rewrite(
  table: PartitionTable,
  sectorCount: number,
  fresh: readonly VolumeName[],
): Extract<DiskPlan, { kind: 'write' }> {
  return { kind: 'write', table: { ...table, sectorCount }, fresh, grownData: false };
}

function volumeBytes(volume: VolumeName, restBytes: number): number {
  if (volume === 'STATE') return STATE_BYTES;
  const fifth = Math.floor(restBytes / 5 / MIB) * MIB;
  return Math.max(STORE_BYTES_MIN, Math.min(STORE_BYTES_MAX, fifth));
}

function newPartition(
  others: readonly Partition[],
  volume: VolumeName,
  place: { first: number; last: number; guid: string },
): Partition {
  let index = 0;
  while (others.some((p) => p.index === index)) index++;
  return {
    index,
    type: PARTITION_TYPE.linux,
    guid: place.guid,
    firstSector: place.first,
    lastSector: place.last,
    name: partitionName(volume),
  };
}

function alignUp(sector: number): number {
  return Math.ceil(sector / ALIGN_SECTORS) * ALIGN_SECTORS;
}

function alignDown(sector: number): number {
  return Math.floor(sector / ALIGN_SECTORS) * ALIGN_SECTORS;
}
