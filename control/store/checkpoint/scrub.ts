/**
 * Reads what lies on the disk again, in the background and slowly: bits rot where nobody looks, and a
 * start, or a member that fetches a snapshot, is a bad moment to find out. One piece a time, some
 * megabytes a second, the whole every few days.
 *
 *   checkpoint   every chunk against its hash
 *   segment      every batch of a segment that is closed; what is being written is not at rest
 *
 * What is damaged is told to who can replace it: this member holds the state in memory, so a checkpoint
 * written now makes a damaged one, and damaged segments before it, dispensable (checkpoints.ts).
 */
import { isErrno } from '#base/errors.ts';
import type { Crc32, Sha256 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import {
  SCRUB_AGAIN_TICKS,
  SCRUB_BYTES_PER_TICK,
  SCRUB_FIRST_TICKS,
  SCRUB_PAUSE_TICKS,
} from '../limits.ts';
import { StoreError } from '../port.ts';
import { parseSegmentName } from '../wal/format.ts';
import { scrubSegment } from '../wal/read-segment.ts';
import { parseCheckpointName } from './format.ts';
import { verifyCheckpoint } from './read.ts';

export interface ScrubIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly sha256: Sha256;
}

export interface ScrubTimes {
  /** Ticks before the first round, and between rounds. */
  readonly firstTicks: number;
  readonly pauseTicks: number;
}

interface OpenFile {
  readonly name: string;
  readonly handle: DiskFile;
  /** Bytes of each piece that was read. */
  readonly pieces: Generator<number>;
}

export class Scrubber {
  readonly #io: ScrubIo;
  readonly #damaged: (name: string, error: StoreError) => void;
  readonly #isAtRest: (name: string) => boolean;
  readonly #times: ScrubTimes;
  #ticksLeft: number;
  /** Files of this round that were not read yet. */
  #names: string[] = [];
  #file: OpenFile | undefined;
  /** In this round. */
  #hasFound = false;
  /** Rounds that were completed. */
  rounds = 0;

  /** `isAtRest`: a segment of the log that nobody writes to. */
  constructor(
    io: ScrubIo,
    of: {
      readonly damaged: (name: string, error: StoreError) => void;
      readonly isAtRest: (name: string) => boolean;
      readonly times?: ScrubTimes | undefined;
    },
  ) {
    this.#io = io;
    this.#damaged = of.damaged;
    this.#isAtRest = of.isAtRest;
    this.#times = of.times ?? { firstTicks: SCRUB_FIRST_TICKS, pauseTicks: SCRUB_PAUSE_TICKS };
    this.#ticksLeft = this.#times.firstTicks;
  }

  /** Reads on, up to a bound of bytes. */
  tick(): void {
    if (this.#ticksLeft > 0) {
      if (--this.#ticksLeft === 0) this.#names = this.#io.disk.list().filter(isScrubbed);
      return;
    }
    let bytes = 0;
    while (bytes < SCRUB_BYTES_PER_TICK) {
      const read = this.#readOn();
      if (read === undefined) return;
      bytes += read;
    }
  }

  close(): void {
    this.#file?.handle.close();
    this.#file = undefined;
  }

  /** Bytes of the next piece; undefined when the round is over. */
  #readOn(): number | undefined {
    const file = this.#file ?? this.#next();
    if (file === undefined) {
      this.rounds++;
      const { pauseTicks } = this.#times;
      this.#ticksLeft = this.#hasFound ? Math.min(SCRUB_AGAIN_TICKS, pauseTicks) : pauseTicks;
      this.#hasFound = false;
      return undefined;
    }
    try {
      const step = file.pieces.next();
      if (step.done !== true) return step.value;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#hasFound = true;
      this.#damaged(file.name, error);
    }
    this.close();
    return 1;
  }

  #next(): OpenFile | undefined {
    const { disk, sha256, crc32 } = this.#io;
    for (let name = this.#names.shift(); name !== undefined; name = this.#names.shift()) {
      const isLog = parseSegmentName(name) !== undefined;
      if (isLog && !this.#isAtRest(name)) continue;
      const handle = openMaybe(disk, name);
      if (handle === undefined) continue; // Gone since.
      const pieces = isLog
        ? scrubSegment(disk, name, handle, crc32)
        : sized(verifyCheckpoint(handle, name, sha256));
      this.#file = { name, handle, pieces };
      return this.#file;
    }
    return undefined;
  }
}

function isScrubbed(name: string): boolean {
  return parseSegmentName(name) !== undefined || parseCheckpointName(name) !== undefined;
}

/** A chunk a step, of about this size. */
function* sized(steps: Generator<void>): Generator<number> {
  for (const _step of steps) yield CHUNK_BYTES_ABOUT;
}

const CHUNK_BYTES_ABOUT = 256 * 1024;

function openMaybe(disk: Disk, name: string): DiskFile | undefined {
  try {
    return disk.open(name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
