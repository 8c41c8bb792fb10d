/**
 * What a program needs to start, read from its ELF dynamic section: the program interpreter and the
 * NEEDED sonames (System V ABI, chapter 5). 64-bit little-endian only: amd64 and arm64.
 */

export interface ElfNeeds {
  /** Path of the dynamic loader, or undefined for a static program or a library. */
  readonly interpreter: string | undefined;
  readonly needed: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;

/** Undefined when `file` is no ELF file. */
export function readElfNeeds(file: Buffer): ElfNeeds | undefined {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2) return undefined;
  const programHeaders = Number(file.readBigUInt64LE(32));
  const entrySize = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  const segments = Array.from({ length: count }, (_, index) => {
    const at = programHeaders + index * entrySize;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  });
  const cString = (at: number) => file.toString('latin1', at, file.indexOf(0, at));
  const interp = segments.find((s) => s.type === PT_INTERP);
  const interpreter = interp === undefined ? undefined : cString(interp.offset);
  const dynamic = segments.find((s) => s.type === PT_DYNAMIC);
  if (dynamic === undefined) return { interpreter, needed: [] };

  const names: number[] = [];
  let stringTable = 0;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    const tag = Number(file.readBigInt64LE(at));
    const value = Number(file.readBigUInt64LE(at + 8));
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) stringTable = value;
    if (tag === 0) break;
  }
  const home = segments.find(
    (s) => s.type === PT_LOAD && stringTable >= s.address && stringTable < s.address + s.size,
  );
  const base = home === undefined ? stringTable : home.offset + stringTable - home.address;
  return { interpreter, needed: names.map((name) => cString(base + name)) };
}
