import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import t from 'tap';
import { writeInitramfs } from './initramfs.ts';

const dir = mkdtempSync(join(tmpdir(), 'bareboat-cpio-'));
t.teardown(() => rmSync(dir, { recursive: true }));

function put(name: string, content: string): string {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
}

interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly device: string;
  readonly content: string;
}

/** A reader of newc of its own: 13 hexadecimal fields behind the magic, name and content padded to 4. */
function readCpio(bytes: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const field = (index: number) =>
      Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    if (bytes.toString('latin1', at, at + 6) !== '070701') throw new Error(`no header at ${at}`);
    const nameEnd = at + 110 + field(11);
    const start = Math.ceil(nameEnd / 4) * 4;
    const end = start + field(6);
    entries.push({
      name: bytes.toString('latin1', at + 110, nameEnd - 1),
      mode: field(1),
      device: `${field(9)}:${field(10)}`,
      content: bytes.toString('latin1', start, end),
    });
    at = Math.ceil(end / 4) * 4;
  }
  return entries;
}

t.test('writeInitramfs() writes what the kernel unpacks, modules in their order', async (t) => {
  const stage0 = put('stage0', 'STAGE0');
  const erofs = put('root.erofs', 'an image of odd length');
  const modules = [put('netfs.ko', 'N'), put('erofs.ko.xz', 'EROFS')];
  const target = join(dir, 'initramfs');
  writeInitramfs({ stage0, erofs, modules }, target);
  const bytes = readFileSync(target);
  // The second archive begins where a header stands at a multiple of 4, as the kernel looks for it.
  const second = bytes.indexOf('070701');
  t.equal(second % 4, 0);
  const small = readCpio(zstdDecompressSync(bytes.subarray(0, second)));
  const entries = [...small, ...readCpio(bytes.subarray(second))];
  t.same(
    entries.map(({ name, mode, content }) => [name, mode.toString(8), content]),
    [
      ['dev', '40755', ''],
      ['modules', '40755', ''],
      ['proc', '40755', ''],
      ['root', '40755', ''],
      ['sys', '40755', ''],
      ['dev/console', '20600', ''],
      ['init', '100755', 'STAGE0'],
      ['modules/00-netfs.ko', '100644', 'N'],
      ['modules/01-erofs.ko.xz', '100644', 'EROFS'],
      ['TRAILER!!!', '0', ''],
      ['root.erofs', '100644', 'an image of odd length'],
      ['TRAILER!!!', '0', ''],
    ],
  );
  t.equal(entries.find(({ name }) => name === 'dev/console')?.device, '5:1');
});
