/** parseLabel(): filesystems that may bring a configuration, and others. */
import t from 'tap';
import { parseLabel } from './config-volume.ts';

function head(...parts: readonly (readonly [number, string | number])[]): Uint8Array {
  const bytes = Buffer.alloc(36 * 1024);
  for (const [at, part] of parts) {
    if (typeof part === 'number') bytes[at] = part;
    else bytes.write(part, at, 'latin1');
  }
  return bytes;
}

const ISO = 16 * 2048;
const rows = [
  {
    name: 'FAT32',
    bytes: head([66, 0x29], [71, 'BAREBOATCFG'], [82, 'FAT32   ']),
    expected: { type: 'vfat', label: 'BAREBOATCFG' },
  },
  {
    name: 'FAT16',
    bytes: head([38, 0x29], [43, 'DATA       '], [54, 'FAT16   ']),
    expected: { type: 'vfat', label: 'DATA' },
  },
  {
    name: 'ISO 9660',
    bytes: head([ISO, 1], [ISO + 1, 'CD001'], [ISO + 40, 'BAREBOAT-CFG'.padEnd(32)]),
    expected: { type: 'iso9660', label: 'BAREBOAT-CFG' },
  },
  { name: 'zeroes', bytes: head(), expected: undefined },
  { name: 'FAT without its signature', bytes: head([71, 'BAREBOATCFG']), expected: undefined },
  { name: 'a short disk', bytes: new Uint8Array(512), expected: undefined },
];
for (const { name, bytes, expected } of rows) {
  t.test(`parseLabel() of ${name}`, async (t) => t.same(parseLabel(bytes), expected));
}
