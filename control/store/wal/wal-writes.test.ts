/** How the log waits for a writer that works beside it, and what it tells of the time that took. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { DiskFile } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { countingOpen } from '../testing/open-files.ts';
import type { BatchWriter } from './batch-writer.ts';
import { recoverLog } from './recover.ts';
import { Wal, type WalOptions } from './wal.ts';

const hardState = { term: 1, vote: 1, commitIndex: 0 };
const identity = { groupId: 5, memberId: 7, isJoined: false };

function entry(index: number) {
  return { index, term: 1, data: new Uint8Array(100).fill(7) };
}

/** Writes nothing before it is waited for, or before the test says `end`. */
class LaterWriter implements BatchWriter {
  readonly seen: string[] = [];
  #underWay: (() => void) | undefined;

  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes);
  }

  begin(file: DiskFile, bytes: Uint8Array, at: number): void {
    if (this.#underWay !== undefined) throw new Error('one batch at a time');
    this.seen.push('begin');
    this.#underWay = () => {
      file.write(bytes, at);
      file.sync();
    };
  }

  isIdle(): boolean {
    this.seen.push('ask');
    return this.#underWay === undefined;
  }

  finish(): void {
    this.seen.push('wait');
    this.end();
  }

  end(): void {
    this.#underWay?.();
    this.#underWay = undefined;
  }

  takeSeen(): string[] {
    return this.seen.splice(0);
  }
}

/** A log on a new disk. */
function open(options: Partial<WalOptions> = {}) {
  const memory = new MemoryDisk();
  const files = countingOpen(memory);
  const writer = new LaterWriter();
  const basic = { disk: files.disk, crc32, identity: () => identity, seed: () => 7, writer };
  const sizes = { segmentBytes: 1000, preallocateBytes: 512 };
  const wal = new Wal({ ...basic, ...sizes, ...options }, recoverLog(memory, crc32));
  return { memory, open: files.open, writer, wal };
}

function lastIndex(disk: MemoryDisk): number {
  return recoverLog(disk, crc32).content.last.index;
}

t.test('a batch is under way until the writer says that it has ended', (t) => {
  const { memory, writer, wal } = open();
  t.equal(wal.isIdle(), true);
  wal.settle();
  t.same(writer.takeSeen(), [], 'there is nothing to ask about, or to wait for');
  wal.begin([entry(1)], hardState);
  t.equal(wal.isIdle(), false);
  t.equal(lastIndex(memory), 0);
  writer.end();
  t.equal(wal.isIdle(), true);
  t.equal(lastIndex(memory), 1);
  t.same(writer.takeSeen(), ['begin', 'ask', 'ask']);
  t.equal(wal.isIdle(), true);
  t.same(writer.takeSeen(), [], 'known');
  t.end();
});

t.test(
  'one batch is waited for before the next begins, and before the log goes on or ends',
  (t) => {
    const { memory, writer, wal } = open();
    wal.begin([entry(1)], hardState);
    wal.begin([entry(2)], undefined);
    t.same(writer.takeSeen(), ['begin', 'wait', 'begin']);
    t.equal(lastIndex(memory), 1);
    wal.write([entry(3)], undefined);
    t.same(writer.takeSeen(), ['wait', 'begin', 'wait']);
    t.equal(lastIndex(memory), 3);
    wal.begin([entry(4)], undefined);
    wal.close();
    t.same(writer.takeSeen(), ['begin', 'wait']);
    t.equal(lastIndex(memory), 4);
    t.end();
  },
);

t.test('a segment is not left while a batch is on its way into it', (t) => {
  const { memory, writer, wal } = open();
  wal.begin([{ ...entry(1), data: new Uint8Array(2000) }], hardState);
  t.equal(wal.reserve(100), true);
  t.same(writer.takeSeen(), ['begin', 'wait']);
  t.equal(wal.segmentCount, 2);
  t.equal(lastIndex(memory), 1);
  t.end();
});

t.test('took() hears how long each batch took, once', (t) => {
  const took: number[] = [];
  let nowMs = 1000;
  const timed = { nowMs: () => nowMs, took: (ms: number) => void took.push(ms) };
  const { writer, wal } = open({ timed });
  wal.isIdle();
  wal.settle();
  t.same(took, []);
  wal.begin([entry(1)], hardState);
  nowMs += 30;
  wal.isIdle();
  t.same(took, []);
  writer.end();
  wal.isIdle();
  wal.isIdle();
  wal.settle();
  t.same(took, [30]);
  wal.begin([entry(2)], undefined);
  nowMs += 7;
  wal.settle();
  t.same(took, [30, 7]);
  t.end();
});

t.test('abort() leaves the file open to who may still write to it, and closes it else', (t) => {
  const busy = open();
  busy.wal.begin([entry(1)], hardState);
  busy.wal.abort();
  t.equal(busy.open.size, 1);
  const idle = open();
  idle.wal.write([entry(1)], hardState);
  idle.wal.abort();
  t.equal(idle.open.size, 0);
  t.end();
});

t.test('the proof of an orderly end is durable', (t) => {
  const { memory, wal } = open();
  wal.write([entry(1)], hardState);
  wal.close();
  memory.crash({ keep: () => false });
  const name = memory.list().at(-1) ?? '';
  const [segment] = recoverLog(memory, crc32).segments;
  t.equal(segment?.batches.length, 2);
  memory.damage(name, (bytes) => {
    const at = bytes.lastIndexOf(7);
    bytes[at] = 8;
  });
  t.match(recoverLog(memory, crc32).holes, [{ code: 'CORRUPT' }], 'no torn tail');
  t.end();
});
