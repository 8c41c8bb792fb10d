import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import {
  ARCHITECTURE_NAMES,
  findExecutables,
  judgeExecutables,
  parseExecutables,
} from './executables.ts';

/** The first 20 bytes of an ELF file of type 2 (program), 3 (library) or 1 (object). */
function elf(type: number): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt32BE(0x7f454c46, 0);
  head.writeUInt16LE(type, 16);
  return head;
}

t.test(
  'findExecutables() sees programs, libraries and scripts by bit and by content',
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'bareboat-executables-'));
    t.teardown(() => rmSync(dir, { recursive: true }));
    const files: readonly (readonly [string, Buffer | string, number])[] = [
      ['usr/bin/program', elf(2), 0o755],
      ['usr/bin/without-bit', elf(2), 0o644],
      ['usr/lib/library.so', elf(3), 0o644],
      ['usr/lib/module.ko', elf(1), 0o644],
      ['usr/lib/script', '#!/bin/sh\n', 0o644],
      ['usr/lib/odd', 'anything', 0o744],
      ['usr/lib/text', 'anything', 0o644],
      ['usr/lib/empty', '', 0o644],
    ];
    for (const [path, content, mode] of files) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      writeFileSync(join(dir, path), content);
      chmodSync(join(dir, path), mode);
    }
    symlinkSync('program', join(dir, 'usr/bin/link'));
    t.same(findExecutables(dir), [
      'usr/bin/program',
      'usr/bin/without-bit',
      'usr/lib/library.so',
      'usr/lib/odd',
      'usr/lib/script',
    ]);
  },
);

const listed = ['usr/bin/node', 'usr/lib/x86_64-linux-gnu/libc.so.6'];
const cases = [
  { name: 'accepts what is listed', found: listed, faults: [] },
  {
    name: 'names what is new',
    found: [...listed, 'usr/bin/jq'],
    faults: ['usr/bin/jq is not listed'],
  },
  {
    name: 'names what is listed in vain',
    found: ['usr/bin/node'],
    faults: ['usr/lib/x86_64-linux-gnu/libc.so.6 is listed, not there'],
  },
];
for (const { name, found, faults } of cases) {
  t.test(`judgeExecutables() ${name}`, async (t) => {
    t.same(judgeExecutables(found, listed), faults);
  });
}
for (const path of ['bin/sh', 'usr/bin/bash', 'usr/bin/busybox', 'usr/bin/apt-get', 'bin/dpkg']) {
  t.test(`judgeExecutables() refuses ${path}, even listed`, async (t) => {
    t.same(judgeExecutables([path], [path]), [`${path} must not be in the image`]);
  });
}

t.test('parseExecutables() leaves comments out and puts the architecture in', async (t) => {
  const text = '# libraries\nusr/lib/ARCH-linux-gnu/libc.so.6\n\nusr/bin/node # runs all\n';
  t.same(parseExecutables(text, ARCHITECTURE_NAMES['x64'] ?? {}), listed);
});
