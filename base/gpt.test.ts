import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  decodeGpt,
  encodeGpt,
  lastUsable,
  PARTITION_TYPE,
  type PartitionTable,
  SECTOR_BYTES,
} from './gpt.ts';

const table: PartitionTable = {
  diskGuid: 'b0a7b0a7-0001-4000-8000-0123456789ab',
  sectorCount: 204_800,
  partitions: [
    {
      index: 0,
      type: PARTITION_TYPE.esp,
      guid: '11111111-2222-4333-8444-555555555555',
      firstSector: 2048,
      lastSector: 67_583,
      name: 'BAREBOAT-ESP',
    },
    {
      index: 2,
      type: PARTITION_TYPE.linux,
      guid: '99999999-2222-4333-8444-555555555555',
      firstSector: 67_584,
      lastSector: lastUsable(204_800),
      name: 'DATA',
    },
  ],
};

function writeDisk(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'gpt-')), 'disk');
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, table.sectorCount * SECTOR_BYTES);
  for (const { sector, bytes } of encodeGpt(table))
    writeSync(fd, bytes, 0, bytes.length, sector * SECTOR_BYTES);
  closeSync(fd);
  return path;
}

t.test('decodeGpt() reads what encodeGpt() writes, from either end of the disk', async (t) => {
  const path = writeDisk();
  t.same(decodeGpt(readFileSync(path).subarray(0, 34 * SECTOR_BYTES)), table);
  const tail = Buffer.alloc(33 * SECTOR_BYTES);
  const fd = openSync(path, 'r');
  readSync(fd, tail, 0, tail.length, (table.sectorCount - 33) * SECTOR_BYTES);
  closeSync(fd);
  t.same(decodeGpt(tail, { headerSector: 32, entriesSector: 0 }), table);
});

t.test('decodeGpt() refuses damage', async (t) => {
  const disk = readFileSync(writeDisk());
  const cases = [
    ['an entry', 2 * SECTOR_BYTES + 33],
    ['the header', SECTOR_BYTES + 40],
    ['the signature', SECTOR_BYTES],
  ] as const;
  for (const [name, at] of cases) {
    const damaged = Buffer.from(disk);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    t.equal(decodeGpt(damaged), undefined, name);
  }
  t.equal(decodeGpt(new Uint8Array(100)), undefined, 'too short');
});

t.test(
  'sfdisk agrees',
  { skip: existsSync('/sbin/sfdisk') ? false : 'no sfdisk on this host' },
  async (t) => {
    const json = JSON.parse(
      execFileSync('/sbin/sfdisk', ['--json', writeDisk()], { encoding: 'utf8' }),
    );
    t.match(json.partitiontable, {
      label: 'gpt',
      id: table.diskGuid.toUpperCase(),
      firstlba: 34,
      lastlba: lastUsable(204_800),
      partitions: [
        { start: 2048, size: 65_536, type: PARTITION_TYPE.esp.toUpperCase(), name: 'BAREBOAT-ESP' },
        { start: 67_584, name: 'DATA', uuid: '99999999-2222-4333-8444-555555555555' },
      ],
    });
  },
);
