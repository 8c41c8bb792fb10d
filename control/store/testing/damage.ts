/** Ways in which a disk lies, for the end of a run of faults. */
import { SECTOR_BYTES } from '../disk/memory-disk.ts';
import type { MemoryDisk } from '../disk/memory-disk.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface Damage {
  readonly name: string;
  /** What nothing follows cannot be told from what was never written. */
  readonly mayLoseTail: boolean;
  /** Called when the store is down. */
  readonly strike: () => void;
}

/** Chooses a kind; those that happen while the store writes begin at once. */
export function damageDisk(disk: MemoryDisk, random: SeededRandom): Damage {
  const file = () => random.pick(disk.list().filter((name) => !name.startsWith('ballast-')));
  const sectorOf = (name: string) =>
    random.below(Math.max(1, Math.ceil(disk.open(name).size / SECTOR_BYTES)));
  const kinds: readonly (() => Damage)[] = [
    () => ({
      name: 'bit rot',
      mayLoseTail: true,
      strike: () => {
        disk.damage(file(), (bytes) => {
          const at = usedByte(bytes, random);
          if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8)); // In bounds.
        });
      },
    }),
    () => ({
      name: 'unreadable sector',
      mayLoseTail: false,
      strike: () => {
        const name = file();
        disk.breakSector(name, sectorOf(name));
      },
    }),
    () => {
      let left = random.below(40);
      disk.faults.misdirect = () => (left-- === 0 ? 'nowhere' : undefined);
      return { name: 'lost write', mayLoseTail: true, strike: () => disk.evict() };
    },
    () => {
      let left = random.below(40);
      disk.faults.misdirect = () => {
        if (left-- !== 0) return undefined;
        const name = file();
        return { name, sector: sectorOf(name) };
      };
      return { name: 'misdirected write', mayLoseTail: true, strike: () => disk.evict() };
    },
    () => {
      const image = disk.image();
      return { name: 'roll-back', mayLoseTail: true, strike: () => disk.rollBack(image) };
    },
  ];
  return random.pick(kinds)();
}

/** Mostly a byte that is not one of the zeros ahead of the log. */
function usedByte(bytes: Uint8Array, random: SeededRandom): number {
  let at = random.below(bytes.length);
  for (let tries = 0; bytes[at] === 0 && tries < 20; tries++) at = random.below(bytes.length);
  return at;
}
