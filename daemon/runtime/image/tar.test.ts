import { pack } from 'tar-stream';
import t from 'tap';
import { parsePax, readTar, type TarHeader } from './tar.ts';

/** As badly cut as a network does it. */
async function* pieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function readAll(
  data: Uint8Array,
  size = 700,
): Promise<{ header: TarHeader; body: string }[]> {
  const members: { header: TarHeader; body: string }[] = [];
  for await (const { header, body } of readTar(pieces(data, size))) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    members.push({ header, body: Buffer.concat(chunks).toString('latin1') });
  }
  return members;
}

async function packed(fill: (tar: ReturnType<typeof pack>) => void): Promise<Buffer> {
  const tar = pack();
  fill(tar);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer); // Pack yields buffers.
  return Buffer.concat(chunks);
}

/** One header block by hand: `fields` are offsets and bytes. */
function block(fields: Readonly<Record<number, string | Uint8Array>>): Buffer {
  const header = Buffer.alloc(512);
  for (const [offset, value] of Object.entries(fields))
    header.set(Buffer.from(value), Number(offset));
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

await t.test('readTar() reads what tar-stream writes, however it is cut', async (t) => {
  const long = `${'directory/'.repeat(30)}file-${'ü'.repeat(60)}`;
  const data = await packed((tar) => {
    tar.entry({ name: 'dir/', type: 'directory', mode: 0o1777, uid: 5, gid: 6 });
    tar.entry({ name: 'dir/file', mode: 0o4755, mtime: new Date(1_600_000_000_000) }, 'content');
    tar.entry({ name: 'empty' }, '');
    tar.entry({ name: 'link', type: 'symlink', linkname: '../elsewhere' });
    tar.entry({ name: 'hard', type: 'link', linkname: 'dir/file' });
    tar.entry({ name: 'null', type: 'character-device', devmajor: 1, devminor: 3 });
    tar.entry({ name: 'pipe', type: 'fifo' });
    tar.entry({ name: long }, 'x'.repeat(512));
    tar.entry({ name: 'big', uid: 3_000_000, pax: { uid: '3000000' } }, 'y'.repeat(1025));
  });
  for (const size of [1, 511, 512, 513, 100_000]) {
    const members = await readAll(data, size);
    t.same(
      members.map(({ header }) => [header.name, header.type, header.size]),
      [
        ['dir/', 'directory', 0],
        ['dir/file', 'file', 7],
        ['empty', 'file', 0],
        ['link', 'symlink', 0],
        ['hard', 'hardlink', 0],
        ['null', 'character', 0],
        ['pipe', 'fifo', 0],
        [long, 'file', 512],
        ['big', 'file', 1025],
      ],
    );
    const [dir, file, , link, hard, device] = members;
    t.match(dir?.header, { mode: 0o1777, uid: 5, gid: 6 });
    t.match(file, { body: 'content', header: { mode: 0o4755, mtime: 1_600_000_000 } });
    t.equal(link?.header.linkName, '../elsewhere');
    t.equal(hard?.header.linkName, 'dir/file');
    t.match(device?.header, { major: 1, minor: 3 });
    t.equal(members.at(-1)?.header.uid, 3_000_000);
  }
});

await t.test('readTar() lets bodies be skipped', async (t) => {
  const data = await packed((tar) => {
    tar.entry({ name: 'a' }, 'a'.repeat(5000));
    tar.entry({ name: 'b' }, 'b');
  });
  const names: string[] = [];
  for await (const { header } of readTar(pieces(data, 333))) names.push(header.name);
  t.same(names, ['a', 'b']);
});

await t.test('readTar() keeps binary extended attributes', async (t) => {
  const value = Buffer.from([0x01, 0, 0, 0x02, 0x80, 0xff, 0x0a, 0x3d]);
  const record = Buffer.concat([
    Buffer.from('44 SCHILY.xattr.security.capability='),
    value,
    Buffer.from('\n'),
  ]);
  record.write(String(record.length));
  const body = Buffer.alloc(512);
  record.copy(body);
  const data = Buffer.concat([
    block({ 0: 'pax', 124: record.length.toString(8).padStart(11, '0'), 156: 'x', 257: 'ustar\0' }),
    body,
    block({ 0: 'ping', 156: '0', 257: 'ustar\0' }),
    Buffer.alloc(1024),
  ]);
  const [member] = await readAll(data);
  t.equal(member?.header.name, 'ping');
  t.same(member?.header.xattrs.get('security.capability'), value);
});

await t.test('readTar() knows GNU long names and big numbers', async (t) => {
  const name = `${'n'.repeat(150)}\0`;
  const nameBody = Buffer.alloc(512);
  nameBody.write(name);
  const size = Buffer.alloc(12);
  size[0] = 0x80;
  size.writeUInt32BE(3, 8);
  const data = Buffer.concat([
    block({ 0: '././@LongLink', 124: name.length.toString(8), 156: 'L', 257: 'ustar  \0' }),
    nameBody,
    block({ 0: 'short', 124: size, 156: '0', 257: 'ustar  \0' }),
    Buffer.concat([Buffer.from('abc')], 512),
    Buffer.alloc(1024),
  ]);
  const [member] = await readAll(data);
  t.equal(member?.header.name, 'n'.repeat(150));
  t.equal(member?.body, 'abc');
});

await t.test('readTar() refuses damage', async (t) => {
  const good = await packed((tar) => tar.entry({ name: 'a' }, 'a'.repeat(2000)));
  const flipped = Buffer.from(good);
  flipped[3] = 0x41;
  const rows: [string, Buffer][] = [
    ['cut in a body', good.subarray(0, 1000)],
    ['cut in a header', good.subarray(0, 300)],
    ['a wrong checksum', flipped],
    ['no tar at all', Buffer.from('#!/bin/sh\n'.repeat(100))],
    ['a size that is no number', block({ 0: 'a', 124: '12x', 156: '0' })],
    ['a huge extended header', block({ 0: 'a', 124: '77777777777', 156: 'x' })],
  ];
  for (const [name, data] of rows) {
    await t.rejects(readAll(data), { code: 'IMAGE_INVALID' }, name);
  }
  for (const text of ['5 a=b', '3 a\n', '99 a=b\n', 'x a=b\n', '0 a=b\n', '-6 a=b\n']) {
    t.throws(() => parsePax(Buffer.from(text)), { code: 'IMAGE_INVALID' }, JSON.stringify(text));
  }
});

await t.test('readTar() refuses sizes that no file has', async (t) => {
  const pax = (size: string) => {
    const record = `size=${size}\n`;
    const text = `${record.length + 3} ${record}`;
    const head = { 0: 'pax', 124: text.length.toString(8).padStart(11, '0'), 156: 'x' };
    const body = Buffer.alloc(512);
    body.write(text);
    return Buffer.concat([block(head), body, block({ 0: 'f', 156: '0' }), Buffer.alloc(2048)]);
  };
  for (const size of ['1.5', '-1', '1e300', 'x']) {
    await t.rejects(readAll(pax(size)), { code: 'IMAGE_INVALID' }, size);
  }
  const negative = Uint8Array.of(...Array<number>(11).fill(0xff), 0xfb); // -5 in base 256.
  for (const flag of ['0', 'x']) {
    const data = Buffer.concat([block({ 0: 'f', 124: negative, 156: flag }), Buffer.alloc(2048)]);
    await t.rejects(readAll(data), { code: 'IMAGE_INVALID' }, `negative, type ${flag}`);
  }
});
