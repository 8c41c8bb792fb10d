/**
 * The guest of the power cuts: process 1's child in a machine of our kernel and root image, with the disk
 * under test as /dev/vda and the host's as /dev/vdb (store-messages.ts). It makes or checks the filesystem
 * as the product does, opens the store, says what is in it, and writes until the power goes.
 */
import { openSync, writeSync, constants } from 'node:fs';
import { RealClock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { MS, mount } from '#base/linux/syscall.ts';
import { FdLog } from '#base/log.ts';
import { RealDisk } from '#control/store/disk/real-disk.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { openStoreOn } from '#control/store/open.ts';
import { check, format, isBlank } from '#daemon/disk/disk.ts';
import type { OwnStore } from '#control/store/store.ts';
import {
  NUMBERS_MAX,
  PROGRAM_BYTES_MAX,
  STORE_SETTINGS,
  encodeMessage,
  keyOf,
  valueOf,
} from './store-messages.ts';
import type { GuestMessage } from './store-messages.ts';
import { readNumbers } from './store-numbers.ts';

const DEVICE = '/dev/vda';
/** A folder of the root image that is empty and stands for what is mounted. */
const TARGET = '/var';
const WRITERS = 8;
/** Writes between two compactions. */
const COMPACT_EVERY = 500;
const { signal } = new AbortController();

const messages = openSync('/dev/vdb', constants.O_WRONLY | constants.O_DSYNC);

function tell(message: GuestMessage): void {
  const page = encodeMessage(message);
  writeSync(messages, page, 0, page.length, PROGRAM_BYTES_MAX);
}

async function open(): Promise<OwnStore> {
  if (isBlank(DEVICE)) await format(DEVICE, 'STORE');
  else await check(DEVICE, 'STORE');
  tell({ kind: 'formatted', numbers: [] });
  mount({ source: DEVICE, target: TARGET, type: 'ext4', flags: MS.NOATIME | MS.NODEV });
  const clock = new RealClock();
  const io = {
    disk: new RealDisk(`${TARGET}/store`),
    crc32,
    sha256,
    log: new FdLog({ level: 'warn' }),
    monotonicMs: () => clock.monotonicMs(),
    random: () => Math.random(),
  };
  return openStoreOn(io, STORE_SETTINGS);
}

/** What was acknowledged in one turn goes out in one message. */
class Acknowledged {
  #numbers: number[] = [];

  add(number: number): void {
    if (this.#numbers.length === 0) setImmediate(() => this.#send());
    this.#numbers.push(number);
  }

  #send(): void {
    while (this.#numbers.length > 0) {
      tell({ kind: 'acknowledged', numbers: this.#numbers.splice(0, NUMBERS_MAX) });
    }
  }
}

async function run(): Promise<void> {
  const store = await open();
  const { ranges, next } = await readNumbers(store, signal);
  for (let at = 0; at < ranges.length; at += NUMBERS_MAX - 1) {
    tell({ kind: 'kept', numbers: ranges.slice(at, at + NUMBERS_MAX - 1) });
  }
  tell({ kind: 'ready', numbers: [next] });
  const acknowledged = new Acknowledged();
  let last = next - 1;
  const writer = async () => {
    for (;;) {
      const number = ++last;
      const request = { key: keyOf(number), value: valueOf(number) };
      const put = { kind: 'put', request } as const;
      const { revision } = await store.txn({ compare: [], success: [put], failure: [] }, signal);
      acknowledged.add(number);
      if (number % COMPACT_EVERY === 0) await store.compact(revision, signal);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
}

try {
  await run();
} catch (error) {
  tell({ kind: 'failed', text: errorText(error).slice(0, 2000) });
}
