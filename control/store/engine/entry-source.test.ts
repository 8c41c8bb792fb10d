/** A long log is read in slices for a member that lacks entries, and what is answered is right. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Entry, Raft } from '#control/raft/raft.ts';
import { must } from '#base/assert.ts';
import type { Disk } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { ENTRIES_READ_BYTES_PER_SLICE } from '../limits.ts';
import { recoverLog } from '../wal/recover.ts';
import { Wal } from '../wal/wal.ts';
import { EntrySource } from './entry-source.ts';
import type { EntryResponse, PeerMessage } from './peers.ts';

const COUNT = 2000;
const DATA_BYTES = 2000;

function writeLog(): { disk: MemoryDisk; wal: Wal; log: Entry[] } {
  const disk = new MemoryDisk();
  const options = {
    disk,
    crc32,
    identity: () => ({ groupId: 5, memberId: 7, isJoined: false }),
    seed: () => 9,
    segmentBytes: 500_000,
  };
  const wal = new Wal(options, recoverLog(disk, crc32));
  const log = Array.from({ length: COUNT }, (_, i) => {
    return { index: i + 1, term: 3, data: new Uint8Array(DATA_BYTES).fill(i) };
  });
  for (let i = 0; i < COUNT; i += 10) {
    wal.write(log.slice(i, i + 10), { term: 3, vote: 0, commitIndex: i });
  }
  return { disk, wal, log };
}

/** The same disk; `read.bytes` counts what is read of it. */
function counted(disk: MemoryDisk): { disk: Disk; read: { bytes: number } } {
  const read = { bytes: 0 };
  const open = (name: string) => {
    const file = disk.open(name);
    return {
      read: (into: Uint8Array, at: number) => {
        read.bytes += into.length;
        return file.read(into, at);
      },
      close: () => file.close(),
      get size() {
        return file.size;
      },
    };
  };
  // Nothing else is asked of it.
  return { disk: { list: () => disk.list(), open } as unknown as Disk, read };
}

t.test('entries that have left memory are read in slices', (t) => {
  const { disk, log } = writeLog();
  const counting = counted(disk);
  let firstIndex = 1901;
  const raft = {
    lastIndex: COUNT,
    get firstIndex() {
      return firstIndex;
    },
    termOf: (index: number) => (index >= firstIndex - 1 && index <= COUNT ? 3 : undefined),
    entry: (index: number) => (index >= firstIndex ? log[index - 1] : undefined),
  };
  const sent: { to: number; message: PeerMessage }[] = [];
  const send = (to: number, message: PeerMessage) => sent.push({ to, message }) > 0;
  const io = { disk: counting.disk, crc32 };
  const source = new EntrySource(io, { raft: raft as unknown as Raft, send }); // What it asks of it.
  const answered = (): EntryResponse => {
    let turns = 0;
    for (let more = true; more; turns++) {
      counting.read.bytes = 0;
      more = source.pump();
      // A batch more, and headers.
      const isSlice = counting.read.bytes < ENTRIES_READ_BYTES_PER_SLICE + 60_000;
      if (!isSlice) t.fail(`${counting.read.bytes} bytes read in one turn`);
    }
    t.comment(`${turns} turns`);
    return must(sent.shift(), 'an answer').message as EntryResponse; // It says nothing else.
  };
  const to = { index: COUNT, term: 3 };
  source.asked(2, { kind: 'entryRequest', after: 100, to });
  t.same(sent, [], 'not at once');
  let after = 100;
  let rounds = 0;
  for (let answer = answered(); ; answer = answered()) {
    t.match(answer, { refusal: 'none', prevTerm: 3 });
    for (const entry of answer.entries) {
      if (entry.index !== ++after || entry.data[0] !== ((after - 1) & 0xff))
        t.fail(`entry ${after}`);
    }
    if (after === COUNT || rounds++ > 20) break;
    // Writing goes on meanwhile, and memory is left by more.
    firstIndex = Math.min(COUNT, firstIndex + 20);
    source.asked(2, { kind: 'entryRequest', after, to });
  }
  t.equal(after, COUNT);
  source.asked(2, { kind: 'entryRequest', after: 5, to: { index: COUNT, term: 2 } });
  source.asked(3, { kind: 'entryRequest', after: 1999, to });
  const [two, three] = [answered(), answered()];
  t.match(two, { refusal: 'lacking' }, 'of another log');
  t.match(three, { refusal: 'none', entries: [{ index: COUNT }] });
  source.close();
  t.end();
});

t.test('entries that no segment holds any more are refused', (t) => {
  const { disk, wal } = writeLog();
  wal.release(1000);
  const raft = { lastIndex: COUNT, firstIndex: COUNT, termOf: () => 3, entry: () => undefined };
  const sent: PeerMessage[] = [];
  const send = (_: number, message: PeerMessage) => sent.push(message) > 0;
  const source = new EntrySource({ disk, crc32 }, { raft: raft as unknown as Raft, send });
  source.asked(2, { kind: 'entryRequest', after: 100, to: { index: COUNT, term: 3 } });
  while (source.pump());
  t.match(sent, [{ kind: 'entryResponse', refusal: 'released' }]);
  t.end();
});
