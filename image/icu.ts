/**
 * Removes locale data from the ICU data package inside an executable: Node carries 33 MB of it, a fifth of
 * the image, and the machine speaks English only. What stays is what ICU calls root and English, time
 * zones, Unicode properties and normalisation; a locale that is gone falls back to root, as in Node's
 * own builds with `small-icu`. Legacy encodings of TextDecoder and word lists of line breaking go too.
 *
 * Layout of the package (ICU user guide, "ICU Data", `.dat`; source/common/unicode/udata.h and ucmndata.h):
 *   u16 header size, u8 0xda, u8 0x27, UDataInfo (its bytes 8 to 12 are the format, `CmnD`)
 *   then, from `base` = start + header size: u32 count, count × { u32 name, u32 data }, offsets from `base`
 *   sorted by name; names are zero-terminated; an item ends where the next one begins
 * Items keep their places; the table is shortened and what no entry names is zeroed, which compresses
 * to nothing.
 */
import { assert } from '#base/assert.ts';

const MAGIC = Buffer.of(0xda, 0x27);
const FORMAT = Buffer.from('CmnD');
/** Offsets in the header. */
const MAGIC_AT = 2;
const FORMAT_AT = 12;
const ENTRY_BYTES = 8;

export interface IcuItem {
  /** `icudt78l/brkitr/root.res` */
  readonly name: string;
  /** Offsets in the file; the end of the last item is unknown. */
  readonly start: number;
  readonly end: number | undefined;
}

interface Package {
  readonly base: number;
  readonly items: readonly (IcuItem & { readonly nameOffset: number })[];
}

/** A bundle of one locale: `de`, `sr_Latn_RS`, `en_US_POSIX`, `es_419`. `root` and `pool` are longer names. */
const LOCALE = /^(?!res_index)[a-z]{2,3}(_[A-Za-z0-9]*)*\.res$/;
const ENGLISH = /^en(_US|_001)?\.res$/;

/** Whether the machine needs the item of this name, the package's own name in front of it. */
export function isNeededIcuItem(name: string): boolean {
  const [, ...path] = name.split('/');
  const file = path.at(-1) ?? '';
  if (path[0] === 'translit') return false; // Transliteration between scripts.
  if (LOCALE.test(file)) return ENGLISH.test(file);
  // Legacy encodings; words of Thai, Chinese and so on; names of characters.
  return !/\.(cnv|dict)$|^unames\.icu$/.test(file);
}

/** The items of the one ICU data package in `file`. Throws when there is none. */
export function readIcuItems(file: Buffer): readonly IcuItem[] {
  return readPackage(file).items;
}

/** Removes, in place, the items of which `isNeeded` says no. Returns how many bytes are zero now. */
export function removeIcuItems(file: Buffer, isNeeded: (name: string) => boolean): number {
  const { base, items } = readPackage(file);
  let zeroed = 0;
  let kept = 0;
  for (const { name, nameOffset, start, end } of items) {
    // Where the last item ends nobody says: it stays.
    if (end !== undefined && !isNeeded(name)) {
      file.fill(0, start, end);
      zeroed += end - start;
      continue;
    }
    const entry = base + 4 + kept++ * ENTRY_BYTES;
    file.writeUInt32LE(nameOffset, entry);
    file.writeUInt32LE(start - base, entry + 4);
  }
  file.fill(0, base + 4 + kept * ENTRY_BYTES, base + 4 + items.length * ENTRY_BYTES);
  file.writeUInt32LE(kept, base);
  return zeroed;
}

function readPackage(file: Buffer): Package {
  for (let at = file.indexOf(FORMAT); at >= 0; at = file.indexOf(FORMAT, at + 1)) {
    const start = at - FORMAT_AT;
    if (start >= 0 && file.compare(MAGIC, 0, 2, start + MAGIC_AT, start + FORMAT_AT - 8) === 0) {
      return readTable(file, start + file.readUInt16LE(start));
    }
  }
  throw new Error('no ICU data package in the file');
}

function readTable(file: Buffer, base: number): Package {
  const count = file.readUInt32LE(base);
  assert(base + 4 + count * ENTRY_BYTES <= file.length, `ICU data package of ${count} items`);
  const entries = Array.from({ length: count }, (_, index) => {
    const entry = base + 4 + index * ENTRY_BYTES;
    const nameOffset = file.readUInt32LE(entry);
    const nameAt = base + nameOffset;
    const name = file.toString('latin1', nameAt, file.indexOf(0, nameAt));
    return { name, nameOffset, start: base + file.readUInt32LE(entry + 4) };
  });
  const items = entries.map((entry, index) => ({ ...entry, end: entries[index + 1]?.start }));
  for (const [index, { name, start, end }] of items.entries()) {
    const before = items[index - 1];
    assert(before === undefined || before.name < name, `ICU item ${name} is out of order`);
    assert((end ?? start) >= start && start < file.length, `ICU item ${name} begins at ${start}`);
  }
  return { base, items };
}
