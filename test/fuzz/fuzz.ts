/** Runs the targets (targets.ts) from a seed: a number of inputs, spread by their shares. */
import { isDeepStrictEqual } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { Sample } from './fields.ts';
import { mutate } from './mutate.ts';
import { TARGETS, isMeant } from './targets.ts';
import type { Target } from './targets.ts';

/** Mutants of one valid message. */
const MUTANTS = 8;
const BATCH = 256;
/** Views and objects, of which an entry of three bytes makes two; and what an error carries. */
const ALLOCATION = { perByte: 500, perInput: 8000 };
/** Until code is compiled, and what is made once is made. */
const WARM_UP_BATCHES = 4;

export interface Tally {
  readonly target: string;
  inputs: number;
  taken: number;
  refused: number;
  /** Highest of a batch: bytes allocated for a byte of input, beside what each input may have. */
  worstPerByte: number;
}

export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';
}

/** Throws FuzzFailure with the input that broke a rule. */
export function fuzz(
  seed: number,
  inputs: number,
  report: (tally: Tally) => void = () => {},
): Tally[] {
  const shares = TARGETS.reduce((sum, { share }) => sum + share, 0);
  return TARGETS.map((target, number) => {
    const random = new SeededRandom(seed * 1000 + number);
    const tally = { target: target.name, inputs: 0, taken: 0, refused: 0, worstPerByte: 0 };
    const wanted = Math.ceil((inputs * target.share) / shares);
    for (let batch = 0; tally.inputs < wanted; batch++) {
      runBatch(target, random, { tally, isWarm: batch >= WARM_UP_BATCHES });
    }
    report(tally);
    return tally;
  });
}

function runBatch(
  target: Target,
  random: SeededRandom,
  { tally, isWarm }: { readonly tally: Tally; readonly isWarm: boolean },
): void {
  const batch: Uint8Array[] = [];
  let other = target.make(random);
  while (batch.length < BATCH) {
    const sample = target.make(random);
    checkValid(target, sample);
    batch.push(seal(target, sample.bytes));
    for (let i = 0; i < MUTANTS; i++) batch.push(seal(target, mutate(sample, other, random)));
    other = sample;
  }
  const before = getHeapStatistics();
  for (const bytes of batch) run(target, bytes, tally);
  const after = getHeapStatistics();
  const bytes = allocated(after) - allocated(before);
  if (isWarm) checkAllocation(target, batch, { tally, bytes });
  for (const bytes of batch) checkAgain(target, bytes);
}

function seal(target: Target, bytes: Uint8Array): Uint8Array {
  return target.seal?.(bytes) ?? bytes;
}

/** Without what the collector took back: `total_allocated_bytes` only rises. */
function allocated(statistics: ReturnType<typeof getHeapStatistics>): number {
  const { total_allocated_bytes: bytes, external_memory: external } = statistics as unknown as {
    total_allocated_bytes: number;
    external_memory: number;
  }; // The first is newer than the types.
  return bytes + external;
}

function run(target: Target, bytes: Uint8Array, tally: Tally): void {
  tally.inputs++;
  try {
    target.decode(bytes);
    tally.taken++;
  } catch (error) {
    if (!isMeant(target, error)) throw failure(target, bytes, 'throws what it should not', error);
    tally.refused++;
  }
}

function checkAllocation(
  target: Target,
  batch: readonly Uint8Array[],
  { tally, bytes }: { readonly tally: Tally; readonly bytes: number },
): void {
  const { perByte, perInput } = target.allocation ?? ALLOCATION;
  const size = batch.reduce((sum, input) => sum + input.length, 0);
  const rest = bytes - perInput * batch.length;
  tally.worstPerByte = Math.max(tally.worstPerByte, rest / size);
  if (rest <= perByte * size) return;
  const largest = batch.toSorted((a, b) => b.length - a.length)[0] ?? new Uint8Array();
  const what = `allocates ${bytes} bytes for ${batch.length} inputs of ${size} bytes in all`;
  throw failure(target, largest, what);
}

function checkValid(target: Target, sample: Sample): void {
  if (target.seal !== undefined) return; // Sealed around what may not fit.
  let decoded: unknown;
  try {
    decoded = target.decode(sample.bytes);
  } catch (error) {
    throw failure(target, sample.bytes, 'refuses what is valid', error);
  }
  if (target.encode === undefined) return;
  const again = target.encode(decoded);
  if (Buffer.compare(again, sample.bytes) === 0) return;
  throw failure(target, sample.bytes, 'reads a valid message as another');
}

/** What is taken can be written, and is read as the same. */
function checkAgain(target: Target, bytes: Uint8Array): void {
  if (target.encode === undefined) return;
  let decoded: unknown;
  try {
    decoded = target.decode(bytes);
  } catch {
    return; // Refused as it should be, or `run` had said so.
  }
  const again = target.decode(target.encode(decoded));
  if (Buffer.compare(target.encode(again), target.encode(decoded)) === 0) return;
  if (isDeepStrictEqual(decoded, again)) return;
  throw failure(target, bytes, 'takes what it cannot say again');
}

function failure(target: Target, bytes: Uint8Array, what: string, cause?: unknown): FuzzFailure {
  const hex = Buffer.from(bytes.subarray(0, 2000)).toString('hex');
  return new FuzzFailure(`${target.name} ${what}: ${bytes.length} bytes ${hex}`, { cause });
}
