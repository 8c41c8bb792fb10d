import t from 'tap';
import { readPeLayout } from './uki.ts';

interface Section {
  readonly address: number;
  readonly size: number;
}

const PE_AT = 0x80;
const OPTIONAL_BYTES = 240;

/** The headers of a PE32+ file: what readPeLayout() looks at, and nothing else. */
function peFile(options: { imageBase: bigint; alignment: number; sections: Section[] }): Buffer {
  const file = Buffer.alloc(0x400);
  file.writeUInt32LE(PE_AT, 0x3c);
  file.write('PE\0\0', PE_AT, 'latin1');
  file.writeUInt16LE(options.sections.length, PE_AT + 6);
  file.writeUInt16LE(OPTIONAL_BYTES, PE_AT + 20);
  const optional = PE_AT + 24;
  file.writeUInt16LE(0x20b, optional);
  file.writeBigUInt64LE(options.imageBase, optional + 24);
  file.writeUInt32LE(options.alignment, optional + 32);
  for (const [index, { address, size }] of options.sections.entries()) {
    const at = optional + OPTIONAL_BYTES + index * 40;
    file.writeUInt32LE(size, at + 8);
    file.writeUInt32LE(address, at + 12);
  }
  return file;
}

const cases = [
  {
    name: 'rounds the end of the last section up',
    imageBase: 0n,
    sections: [{ address: 0x1000, size: 0x1234 }],
    endAddress: 0x3000,
  },
  {
    name: 'adds the image base',
    imageBase: 0x1_4df0_0000n,
    sections: [{ address: 0x1000, size: 0x10 }],
    endAddress: 0x1_4df0_2000,
  },
  {
    name: 'finds the last section by address, not by place',
    imageBase: 0n,
    sections: [
      { address: 0x9000, size: 0x1000 },
      { address: 0x1000, size: 0x2000 },
    ],
    endAddress: 0xa000,
  },
  {
    name: 'starts at the base without sections',
    imageBase: 0x1000n,
    sections: [],
    endAddress: 0x1000,
  },
];
for (const { name, endAddress, ...pe } of cases) {
  t.test(`readPeLayout() ${name}`, async (t) => {
    t.same(readPeLayout(peFile({ alignment: 0x1000, ...pe })), { endAddress, alignment: 0x1000 });
  });
}

t.test('readPeLayout() refuses other files', async (t) => {
  const elf = Buffer.alloc(0x400, 0x7f);
  elf.writeUInt32LE(0, 0x3c);
  t.throws(() => readPeLayout(elf), /no PE file/);
  const pe32 = peFile({ imageBase: 0n, alignment: 0x1000, sections: [] });
  pe32.writeUInt16LE(0x10b, PE_AT + 24);
  t.throws(() => readPeLayout(pe32), /no PE32\+ file/);
});
