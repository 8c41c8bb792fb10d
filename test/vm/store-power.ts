/**
 * Power cuts of a machine that runs the store: nothing acknowledged is lost, and a group of one always starts
 * again. One machine is recorded, and cut states of the recording are verified here, on the host's kernel
 * (ext4 by loop device); beside it machines that run are cut off, and started on what is left.
 *   node test/vm/store-power.ts [--cuts N] [--true-cuts N] [--seconds N] [--seed N]
 * A seed gives the same choices; what a machine writes, and when, is its own.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { RealDisk } from '#control/store/disk/real-disk.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { openStoreOn } from '#control/store/open.ts';
import type { OwnStore } from '#control/store/store.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { OUT, ensureImage } from './image-build.ts';
import { CUT_KINDS, PowerDisk } from './power-disk.ts';
import { PowerImage, PowerMachine } from './power-machine.ts';
import { Steps } from './steps.ts';
import { STORE_SETTINGS, keyOf, valueOf } from './store-messages.ts';
import { isIn, readNumbers } from './store-numbers.ts';

const DISK_BYTES = 128 * 1024 * 1024;
const WRITES_AFTER_CUT = 20;
/** Share of the cuts that meet the store before its first write. */
const FOUNDING_SHARE = 0.1;
/** Of a machine that is to be cut. */
const WRITES_BEFORE_CUT_MAX = 600;
const WRITING_MS_MAX = 120_000;
const { signal } = new AbortController();

export interface PowerOptions {
  readonly seed: number;
  /** States of the recording to verify. */
  readonly cuts: number;
  /** Machines to cut off. */
  readonly trueCuts: number;
  /** Of recording. */
  readonly seconds: number;
  readonly say: (line: string) => void;
}

/** Throws at the first state that breaks a promise, and leaves its image in out/. */
export async function cutPower(options: PowerOptions): Promise<void> {
  const { seed, say } = options;
  say(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const folder = await ensureImage(new Steps(say));
  using image = await PowerImage.make(folder);
  say(image.accelerator === 'kvm' ? 'KVM' : 'software emulation');
  await cutRecording(image, random, options);
  await cutMachines(image, random, options);
}

async function cutRecording(
  image: PowerImage,
  random: SeededRandom,
  { cuts, seconds, say }: PowerOptions,
): Promise<void> {
  const disk = new PowerDisk(new Uint8Array(DISK_BYTES));
  await using machine = await PowerMachine.start(disk, image);
  await sleep(seconds * 1000);
  await machine.cutPower();
  const { acknowledged, formattedAt, readyAt } = machine;
  const megabytes = (disk.bytesWritten / 1e6).toFixed(1);
  say(
    `recorded: ${disk.operations} operations, ${disk.flushes} flushes, ${megabytes} MB, ` +
      `${acknowledged.length} writes acknowledged`,
  );
  const counts = Array.from({ length: cuts }, () =>
    random.chance(FOUNDING_SHARE)
      ? random.between(formattedAt, readyAt)
      : random.between(readyAt, disk.operations),
  ).toSorted((a, b) => a - b);
  const kinds = new Map<string, number>();
  const draw = () => ({ kind: random.pick(CUT_KINDS), random });
  let [kept, promised] = [0, 0];
  for (const cut of disk.cuts(counts, draw)) {
    const due = acknowledged.filter(({ operations }) => operations <= cut.count);
    const what = `cut behind operation ${cut.count} of the recording, keeping ${cut.kind}`;
    kept += await verify(
      cut.image,
      due.map(({ number }) => number),
      what,
    );
    promised += due.length;
    kinds.set(cut.kind, (kinds.get(cut.kind) ?? 0) + 1);
  }
  const counted = [...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ');
  say(`${cuts} cuts of the recording (${counted}): ${promised} writes promised, ${kept} found`);
}

async function cutMachines(
  image: PowerImage,
  random: SeededRandom,
  { trueCuts, say }: PowerOptions,
): Promise<void> {
  const acknowledged = new Set<number>();
  let medium: Uint8Array = new Uint8Array(DISK_BYTES);
  for (let cut = 0; cut < trueCuts; cut++) {
    const disk = new PowerDisk(medium);
    await using machine = await PowerMachine.start(disk, image);
    checkKept(acknowledged, machine.kept, `start ${cut} of a machine that was cut off`);
    const wanted = random.between(1, WRITES_BEFORE_CUT_MAX);
    await machine.until(() => machine.acknowledged.length >= wanted, WRITING_MS_MAX);
    await machine.cutPower();
    for (const { number } of machine.acknowledged) acknowledged.add(number);
    medium = disk.cut(disk.operations, random.pick(CUT_KINDS), random);
  }
  if (trueCuts === 0) return;
  await verify(medium, [...acknowledged], 'the last cut of a machine');
  say(`${trueCuts} machines cut off: ${acknowledged.size} writes acknowledged, none lost`);
}

function checkKept(acknowledged: Iterable<number>, kept: readonly number[], what: string): void {
  const lost = [...acknowledged].filter((number) => !isIn(kept, number));
  if (lost.length > 0) throw new Error(`${what}: ${lost.length} lost, first ${lost[0]}`);
}

/** Starts the store on a medium, thrice, and writes in between. Returns how many writes are in it. */
async function verify(medium: Uint8Array, due: readonly number[], what: string): Promise<number> {
  const dir = mkdtempSync('/dev/shm/store-power-');
  try {
    return await verifyIn(dir, medium, due);
  } catch (error) {
    const saved = join(OUT, 'store-power.img');
    writeAll(saved, medium);
    writeFileSync(`${saved}.due`, due.join('\n'));
    throw new Error(`${what}; the medium is ${saved}`, { cause: error });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function verifyIn(dir: string, medium: Uint8Array, due: readonly number[]): Promise<number> {
  const file = join(dir, 'disk');
  writeAll(file, medium);
  const { status, stdout } = spawnSync('e2fsck', ['-p', file], { encoding: 'utf8' });
  if (status === null || status > 2) throw new Error(`the filesystem is damaged: ${stdout}`);
  const target = join(dir, 'mounted');
  mkdirSync(target);
  execFileSync('mount', ['-o', 'loop,noatime,nodev', '-t', 'ext4', file, target]);
  try {
    return await checkStore(join(target, 'store'), due);
  } finally {
    // Lazily: whoever looks at the machine's mounts just now must not fail this.
    execFileSync('umount', ['--lazy', target]);
  }
}

async function checkStore(dataDir: string, due: readonly number[]): Promise<number> {
  const { ranges, next } = await withStore(dataDir, (store) => readNumbers(store, signal));
  checkKept(due, ranges, 'the first start');
  const more = Array.from({ length: WRITES_AFTER_CUT }, (_, i) => next + i);
  await withStore(dataDir, async (store) => {
    for (const number of more) {
      const request = { key: keyOf(number), value: valueOf(number) };
      const put = { kind: 'put', request } as const;
      await store.txn({ compare: [], success: [put], failure: [] }, signal);
    }
  });
  const after = await withStore(dataDir, (store) => readNumbers(store, signal));
  checkKept([...due, ...more], after.ranges, 'the third start');
  return countOf(ranges);
}

async function withStore<T>(dataDir: string, use: (store: OwnStore) => Promise<T>): Promise<T> {
  const store = openOn(dataDir);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

function countOf(ranges: readonly number[]): number {
  let count = 0;
  for (let i = 0; i + 1 < ranges.length; i += 2)
    count += (ranges[i + 1] ?? 0) - (ranges[i] ?? 0) + 1;
  return count;
}

function openOn(dataDir: string): OwnStore {
  const disk = new RealDisk(dataDir);
  const clock = new RealClock();
  return openStoreOn(
    {
      disk,
      crc32,
      sha256,
      log: silentLog,
      monotonicMs: () => clock.monotonicMs(),
      random: () => Math.random(),
    },
    { ...STORE_SETTINGS, release: () => disk[Symbol.dispose]() },
  );
}

function writeAll(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'w');
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  } finally {
    closeSync(fd);
  }
}

if (import.meta.main) {
  const option = (value: string) => ({ type: 'string', default: value }) as const;
  const { values } = parseArgs({
    options: {
      cuts: option('200'),
      'true-cuts': option('12'),
      seconds: option('30'),
      seed: option(String(Math.floor(Math.random() * 2 ** 31))),
    },
  });
  await cutPower({
    seed: Number(values.seed),
    cuts: Number(values.cuts),
    trueCuts: Number(values['true-cuts']),
    seconds: Number(values.seconds),
    say: (line) => console.log(line),
  });
}
