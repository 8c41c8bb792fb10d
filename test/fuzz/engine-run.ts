/**
 * What is taken from a client must not hurt: mutated requests that pass `checkRequests` run in an engine, as
 * those of a network client do. It must not end, and must find the same state when it opens its disk again.
 */
import { isDeepStrictEqual } from 'node:util';
import { checkRequests } from '#control/store/codec/check-request.ts';
import { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { openEngine } from '#control/store/engine/open-engine.ts';
import type { Engine } from '#control/store/engine/engine.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { StoreError } from '#control/store/port.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { requests } from './messages.ts';
import { mutate } from './mutate.ts';

const MUTANTS = 6;
const TAKEN_PER_LIFE = 1500;
const TICK_MS = 100;
const SETTINGS = { checkpointLogBytes: 20_000, segmentBytes: 30_000, ballastPieceBytes: 1024 };

export interface EngineTally {
  inputs: number;
  taken: number;
  lives: number;
}

/** Throws what ended the engine, with the message that it took last. */
export function runInEngine(seed: number, inputs: number): EngineTally {
  const random = new SeededRandom(seed);
  const disk = new MemoryDisk();
  const tally = { inputs: 0, taken: 0, lives: 0 };
  let nowMs = 0;
  const open = () => {
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    const io = { disk, crc32, sha256, log, random: random.next, monotonicMs: () => nowMs };
    return openEngine(io, SETTINGS);
  };
  while (tally.inputs < inputs) {
    const engine = open();
    const connection = engine.connect(() => {});
    let other = requests(random);
    for (let taken = 0; taken < TAKEN_PER_LIFE && tally.inputs < inputs; ) {
      const sample = requests(random);
      const messages = Array.from({ length: MUTANTS }, () => mutate(sample, other, random));
      other = sample;
      for (const message of [sample.bytes, ...messages]) {
        tally.inputs++;
        if (!isTaken(message)) continue;
        taken++;
        connection.inbox.push(Uint8Array.from(message));
        naming(message, () => pumpAll(engine));
      }
      nowMs += random.below(2 * TICK_MS);
      engine.tick();
    }
    tally.taken += TAKEN_PER_LIFE;
    tally.lives++;
    checkNextLife(engine, open);
  }
  return tally;
}

function isTaken(message: Uint8Array): boolean {
  try {
    checkRequests(message);
    return true;
  } catch (error) {
    if (error instanceof RangeError || error instanceof StoreError) return false;
    throw error;
  }
}

function pumpAll(engine: Engine): void {
  while (engine.pump());
}

/** The disk gives back what was in memory. */
function checkNextLife(engine: Engine, open: () => Engine): void {
  pumpAll(engine);
  const found = contentOf(engine);
  engine.close();
  const next = open();
  const again = contentOf(next);
  next.close();
  if (!isDeepStrictEqual(found, again)) {
    throw new Error(
      `opened again, the store has ${JSON.stringify(again)}, not ${JSON.stringify(found)}`,
    );
  }
}

/** An engine that starts and leads may have added an entry of its own, which has no content. */
function contentOf({ state }: Engine) {
  const { mvcc, leases, sessions, quota } = state;
  return {
    revision: mvcc.revision,
    compactRevision: mvcc.compactRevision,
    keys: mvcc.keyCount,
    liveBytes: mvcc.liveBytes,
    records: mvcc.recordsHash,
    leases: [...leases.all()].map(({ id, ttlSeconds }) => ({ id, ttlSeconds })),
    sessions: sessions.all().map(({ id, highest }) => ({ id, highest })),
    isFull: quota.isFull,
  };
}

function naming(message: Uint8Array, work: () => void): void {
  try {
    work();
  } catch (error) {
    const hex = Buffer.from(message).toString('hex');
    throw new Error(`the engine ends behind ${hex}`, { cause: error });
  }
}
