/**
 * The disk image as what it is to firmware and to tools that are not ours: a GUID partition table at both ends,
 * one EFI system partition, in it a sound FAT32 with one file, the UKI. make-run.test.ts boots it.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { crc32 } from 'node:zlib';
import { preparePackages } from '#image/steps.ts';
import { debianArchitecture, imagePaths } from '#image/paths.ts';
import { ensureImage } from './image-build.ts';
import { Steps } from './steps.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'making the image needs root');
  process.exit(0);
}
t.setTimeout(1_700_000);

const SECTOR = 512;
const ESP_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B';
const BOOT_FILE = debianArchitecture() === 'arm64' ? 'BOOTAA64.EFI' : 'BOOTX64.EFI';

const image = await ensureImage(new Steps((line) => t.comment(line)));
const disk = join(image, 'bareboat.img');
const lastSector = statSync(disk).size / SECTOR - 1;

function readSectors(first: number, count = 1): Buffer {
  const fd = openSync(disk, 'r');
  const bytes = Buffer.alloc(count * SECTOR);
  readSync(fd, bytes, 0, bytes.length, first * SECTOR);
  closeSync(fd);
  return bytes;
}

t.test('is a whole number of MiB and sparse', async (t) => {
  const { size, blocks } = statSync(disk);
  t.equal(size % 2 ** 20, 0);
  const { size: ukiBytes } = statSync(join(image, 'bareboat.efi'));
  t.ok(blocks * SECTOR < ukiBytes + 2 ** 24, `${blocks} blocks are written`);
});

t.test('has a protective MBR over the whole disk', async (t) => {
  const mbr = readSectors(0);
  t.equal(mbr.readUInt16LE(510), 0xaa55, 'signature');
  t.equal(mbr[446], 0, 'not active');
  t.equal(mbr[450], 0xee, 'type: GPT protective');
  t.equal(mbr.readUInt32LE(454), 1, 'from the primary header');
  t.equal(mbr.readUInt32LE(458), lastSector, 'to the end');
  t.ok(mbr.subarray(462, 510).equals(Buffer.alloc(48)), 'no other partition');
});

// Offsets and rules: UEFI specification 2.10, table 5-5.
for (const [name, own, other, entriesAt] of [
  ['primary', 1, lastSector, 2],
  ['backup', lastSector, 1, lastSector - 32],
] as const) {
  t.test(`has a ${name} partition table with the right sums`, async (t) => {
    const header = readSectors(own);
    t.equal(header.toString('latin1', 0, 8), 'EFI PART');
    t.equal(header.readUInt32LE(8), 0x10000, 'revision');
    t.equal(Number(header.readBigUInt64LE(24)), own, 'own place');
    t.equal(Number(header.readBigUInt64LE(32)), other, "the other's place");
    t.equal(Number(header.readBigUInt64LE(40)), 34, 'first usable sector');
    t.equal(Number(header.readBigUInt64LE(48)), lastSector - 33, 'last usable sector');
    t.equal(Number(header.readBigUInt64LE(72)), entriesAt, 'place of the entries');
    const sum = header.readUInt32LE(16);
    header.writeUInt32LE(0, 16);
    t.equal(sum, crc32(header.subarray(0, header.readUInt32LE(12))), 'sum of the header');
    const entries = readSectors(entriesAt, 32);
    t.equal(header.readUInt32LE(88), crc32(entries), 'sum of the entries');
    t.same(entries, readSectors(2, 32), 'the same entries');
  });
}

interface SfdiskTable {
  readonly label: string;
  readonly partitions: readonly { start: number; size: number; type: string; name: string }[];
}

const sfdisk = (option: string) =>
  execFileSync('sfdisk', [option, disk], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

const readTable = (): SfdiskTable => JSON.parse(sfdisk('--json')).partitiontable;

t.test('holds the boot partition alone, as fdisk sees it', async (t) => {
  t.match(sfdisk('--verify'), /No errors detected/);
  const table = readTable();
  t.equal(table.label, 'gpt');
  t.match(table.partitions, [{ type: ESP_TYPE, name: 'BAREBOAT-ESP', size: 2 ** 30 / SECTOR }]);
  t.equal(table.partitions.length, 1);
  t.equal((table.partitions[0]?.start ?? 1) % 2048, 0, 'begins at a whole MiB');
});

t.test('the boot partition', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-esp-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const [partition] = readTable().partitions;
  const range = ['iflag=skip_bytes,count_bytes', 'bs=1M', 'conv=sparse', 'status=none'];
  const [skip, count] = [(partition?.start ?? 0) * SECTOR, (partition?.size ?? 0) * SECTOR];
  const to = `of=${join(dir, 'esp')}`;
  execFileSync('dd', [`if=${disk}`, to, `skip=${skip}`, `count=${count}`, ...range]);
  const { buildRoot } = preparePackages(imagePaths());
  const run = (...argv: string[]) => buildRoot.run(argv, dir);

  t.test('is a sound FAT32', async (t) => {
    const text = run('fsck.fat', '-n', '-v', '/work/esp'); // Throws when it finds something.
    t.match(text, /FATs, 32 bit entries/);
    t.match(text, new RegExp(`^ *${skip / SECTOR} hidden sectors`, 'm'), 'knows where it lies');
  });

  t.test('is the oldest that FAT can be: it says nothing of when it was made', async (t) => {
    const text = run('mdir', '-a', '-/', '-i', '/work/esp', '::');
    const dates = new Set(text.match(/\b\d{4}-\d\d-\d\d +\d+:\d\d\b/g));
    t.same([...dates], ['1980-01-01   0:00']);
  });

  t.test(`holds the UKI as EFI/BOOT/${BOOT_FILE} and nothing else`, async (t) => {
    const files = run('mdir', '-b', '-a', '-/', '-i', '/work/esp', '::').trim().split('\n');
    t.same(files, ['::/EFI/', '::/EFI/BOOT/', `::/EFI/BOOT/${BOOT_FILE}`]);
    run('mcopy', '-n', '-i', '/work/esp', `::/EFI/BOOT/${BOOT_FILE}`, '/work/uki');
    const uki = readFileSync(join(image, 'bareboat.efi'));
    t.ok(readFileSync(join(dir, 'uki')).equals(uki), 'byte for byte');
  });
});
