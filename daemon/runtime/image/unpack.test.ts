import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Header, pack } from 'tar-stream';
import t, { type Test } from 'tap';
import { getXattr } from '#base/linux/syscall.ts';
import { unpackLayer } from './unpack.ts';

const skip = process.getuid?.() !== 0 && 'needs root';

type Entry = Partial<Header> & { name: string; content?: string };

async function* tarOf(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  const tar = pack();
  for (const { content, ...header } of entries) {
    if (content === undefined) tar.entry(header);
    else tar.entry(header, content);
  }
  tar.finalize();
  for await (const chunk of tar) yield chunk as Buffer; // Pack yields buffers.
}

function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-unpack-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, 'fs'));
  mkdirSync(join(dir, 'outside'));
  writeFileSync(join(dir, 'outside/secret'), 'secret');
  return dir;
}

await t.test('unpackLayer() makes files of every kind', { skip }, async (t) => {
  const dir = scratch(t);
  const root = join(dir, 'fs');
  const result = await unpackLayer(
    tarOf([
      { name: './', type: 'directory', mode: 0o751 },
      { name: 'bin/', type: 'directory', mode: 0o755, uid: 3, gid: 4, mtime: new Date(5000) },
      { name: 'bin/su', mode: 0o4755, uid: 0, gid: 7, mtime: new Date(9000), content: 'su' },
      { name: 'bin/again', type: 'link', linkname: 'bin/su' },
      { name: 'sbin', type: 'symlink', linkname: '/bin', uid: 8, gid: 9 },
      { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3, mode: 0o666 },
      { name: 'pipe', type: 'fifo', mode: 0o600 },
      {
        name: 'ping',
        mode: 0o755,
        content: 'ping',
        // cap_net_raw+ep, as it is stored: magic and flags, then permitted bits.
        pax: { 'SCHILY.xattr.security.capability': `\x01\0\0\x02\0 ${'\0'.repeat(14)}` },
      },
      { name: 'bin/su', mode: 0o4711, content: 'su again' },
    ]),
    root,
    [],
  );
  t.equal(result.sizeBytes, 14);
  const stat = (path: string) => lstatSync(join(root, path));
  t.equal(lstatSync(root).mode & 0o7777, 0o751);
  t.match(stat('bin'), { uid: 3, gid: 4, mtimeMs: 5000 });
  t.equal(stat('bin/su').mode & 0o7777, 0o4711);
  t.equal(readFileSync(join(root, 'bin/su'), 'utf8'), 'su again');
  t.equal(readFileSync(join(root, 'bin/again'), 'utf8'), 'su');
  t.equal(stat('bin/again').mode & 0o7777, 0o4755);
  t.equal(readlinkSync(join(root, 'sbin')), '/bin');
  t.match(stat('sbin'), { uid: 8, gid: 9 });
  t.ok(stat('dev/null').isCharacterDevice());
  t.equal(stat('dev/null').rdev, 0x103);
  t.ok(stat('pipe').isFIFO());
  t.equal(getXattr(join(root, 'ping'), 'security.capability')?.length, 20);
});

await t.test("unpackLayer() turns whiteouts into overlayfs' own", { skip }, async (t) => {
  const root = join(scratch(t), 'fs');
  await unpackLayer(
    tarOf([
      { name: 'etc/.wh.passwd', content: '' },
      { name: 'opt/.wh..wh..opq', content: '' },
      { name: 'opt/new', content: 'new' },
      { name: '.wh..wh.plnk', content: '' },
    ]),
    root,
    [],
  );
  const white = lstatSync(join(root, 'etc/passwd'));
  t.ok(white.isCharacterDevice());
  t.equal(white.rdev, 0);
  t.same(Buffer.from(getXattr(join(root, 'opt'), 'trusted.overlay.opaque') ?? []).toString(), 'y');
  t.notOk(existsSync(join(root, '.wh..wh.plnk')));
});

await t.test('unpackLayer() gives unnamed parents the attributes below', { skip }, async (t) => {
  const dir = scratch(t);
  const lower = join(dir, 'lower');
  mkdirSync(lower);
  await unpackLayer(
    tarOf([
      { name: 'tmp/', type: 'directory', mode: 0o1777, uid: 1, gid: 2 },
      { name: 'lib', type: 'symlink', linkname: 'usr/lib' },
    ]),
    lower,
    [],
  );
  await unpackLayer(tarOf([{ name: 'tmp/a/b', content: '' }]), join(dir, 'fs'), [lower]);
  const tmp = lstatSync(join(dir, 'fs/tmp'));
  t.equal(tmp.mode & 0o7777, 0o1777);
  t.match(tmp, { uid: 1, gid: 2 });
  t.equal(lstatSync(join(dir, 'fs/tmp/a')).mode & 0o7777, 0o755);
});

const ESCAPES: readonly { name: string; entries: readonly Entry[]; lands: string }[] = [
  { name: '..', entries: [{ name: '../outside/x', content: 'x' }], lands: 'outside/x' },
  { name: 'absolute', entries: [{ name: '/outside/x', content: 'x' }], lands: 'outside/x' },
  {
    name: 'relative link',
    entries: [
      { name: 'l', type: 'symlink', linkname: '../outside' },
      { name: 'l/x', content: 'x' },
    ],
    lands: 'outside/x',
  },
  {
    name: 'absolute link over a link',
    entries: [
      { name: 'a', type: 'symlink', linkname: '/../../b' },
      { name: 'b', type: 'symlink', linkname: 'a/../../c' },
      { name: 'c', type: 'directory' },
      { name: 'b/x', content: 'x' },
    ],
    lands: '',
  },
  {
    name: 'link as the leaf',
    entries: [
      { name: 'secret', type: 'symlink', linkname: '../outside/secret' },
      { name: 'secret', content: 'x' },
    ],
    lands: 'secret',
  },
  {
    name: 'whiteout through a link',
    entries: [
      { name: 'l', type: 'symlink', linkname: '../outside' },
      { name: 'l/.wh.secret', content: '' },
    ],
    lands: 'outside/secret',
  },
];

await t.test('unpackLayer() never leaves its directory', { skip }, async (t) => {
  for (const { name, entries, lands } of ESCAPES) {
    const dir = scratch(t);
    const root = join(dir, 'fs');
    try {
      await unpackLayer(tarOf(entries), root, []);
      if (lands !== '') t.ok(existsSync(join(root, lands)), name);
    } catch (error) {
      t.match(error, { code: 'IMAGE_INVALID' }, name); // A loop of links, say.
    }
    t.same(readFileSync(join(dir, 'outside/secret'), 'utf8'), 'secret', name);
    t.notOk(existsSync(join(dir, 'outside/x')), name);
  }
  const dir = scratch(t);
  const hard: Entry = { name: 'h', type: 'link', linkname: '../outside/secret' };
  await t.rejects(unpackLayer(tarOf([hard]), join(dir, 'fs'), []), { code: 'IMAGE_INVALID' });
});
