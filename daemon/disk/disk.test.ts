/** isBlank(): only what was wiped and never formatted may be formatted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isBlank } from './disk.ts';

const dir = mkdtempSync(join(tmpdir(), 'bareboat-disk-'));
t.teardown(() => rmSync(dir, { recursive: true }));

const at = (offset: number, ...bytes: number[]) => {
  const content = Buffer.alloc(1 << 16);
  Buffer.from(bytes).copy(content, offset);
  return content;
};

const rows = [
  { name: 'a partition that was just made', content: at(0), blank: true },
  { name: 'one whose old data lies further in', content: at(8192, 1, 2, 3), blank: true },
  { name: 'ext4', content: at(1080, 0x53, 0xef), blank: false },
  { name: 'ext4 whose superblock lost its magic number', content: at(1100, 7), blank: false },
  { name: 'something else', content: at(0, 1), blank: false },
];
for (const { name, content, blank } of rows) {
  t.test(`isBlank() ${blank ? 'takes' : 'refuses'} ${name}`, async (t) => {
    const path = join(dir, 'device');
    writeFileSync(path, content);
    t.equal(isBlank(path), blank);
  });
}
