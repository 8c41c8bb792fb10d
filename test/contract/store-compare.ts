/** Runs random steps on a store and on the twin and compares complete answers. */
import { isDeepStrictEqual } from 'node:util';
import { inspect } from 'node:util';
import { must } from '#base/assert.ts';
import { StoreError } from '#control/store/store.ts';
import type { KeyRange, Store, WatchBatch } from '#control/store/store.ts';
import type { At, Step } from './store-random.ts';
import { StoreTwin } from './store-twin.ts';

const signal = new AbortController().signal;

export interface Target {
  /** A store that has no watches takes part in lists without watch steps. */
  readonly store: Pick<Store, 'range' | 'txn' | 'compact'> & Partial<Pick<Store, 'watch'>>;
  /** Closes or kills the store and opens it again on the same data. */
  readonly restart?: () => Promise<Store>;
}

/** Throws with both answers when they differ. */
export async function compareSteps(target: Target, steps: readonly Step[]): Promise<void> {
  let store = target.store;
  const twin = new StoreTwin();
  for (const step of steps) {
    if (step.kind === 'restart') {
      if (target.restart !== undefined) store = await target.restart();
    } else if (step.kind === 'watch') {
      const watching = must(store.watch, 'the store has watches').bind(store);
      await compareWatch(watching, twin, { range: step.range, at: step.at });
    } else {
      const revision = absolute(
        step.kind === 'range' ? step.request.at : step.kind === 'compact' ? step.at : undefined,
        twin,
      );
      const ours = await outcome(() => run(store, step, revision));
      const theirs = await outcome(() => run(twin, step, revision));
      same(ours, theirs, step);
    }
  }
}

function absolute(at: At | undefined, twin: StoreTwin): number {
  return at === undefined ? 0 : Math.max(0, twin.revision - at.back);
}

type Runner = Pick<Store, 'range' | 'txn' | 'compact'> | StoreTwin;

function run(target: Runner, step: Step, revision: number): unknown {
  if (step.kind === 'txn') return target.txn(step.request, signal);
  if (step.kind === 'compact') return target.compact(revision, signal);
  if (step.kind !== 'range') return undefined;
  const { at: _at, ...request } = step.request;
  return target.range({ ...request, revision }, signal);
}

async function outcome(runStep: () => unknown): Promise<unknown> {
  try {
    return await runStep();
  } catch (error) {
    if (error instanceof StoreError) return { error: error.code };
    throw error;
  }
}

/** A watch from a past revision must give exactly the kept events, then progress. */
async function compareWatch(
  open: Store['watch'],
  twin: StoreTwin,
  request: { range: KeyRange; at: At },
): Promise<void> {
  const startRevision = Math.max(1, twin.revision - request.at.back);
  using watch = open({ ...request.range, startRevision, prevKv: true });
  watch.requestProgress();
  const ours: WatchBatch[] = [];
  let failure: unknown;
  try {
    for await (const batch of watch) {
      ours.push(batch);
      if (batch.kind === 'progress') break;
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    failure = error.code;
  }
  if (startRevision < twin.compactRevision) {
    same(failure, 'COMPACTED', request);
    return;
  }
  const theirs: unknown[] = twin
    .events(request.range, startRevision)
    .map((batch) => ({ kind: 'events', ...batch }));
  theirs.push({ kind: 'progress', revision: twin.revision });
  same(failure ?? ours, theirs, request);
}

function same(ours: unknown, theirs: unknown, what: unknown): void {
  if (isDeepStrictEqual(plain(ours), plain(theirs))) return;
  const show = (value: unknown) => inspect(plain(value), { depth: 12, breakLength: 100 });
  throw new Error(`${show(what)}\nstore: ${show(ours)}\ntwin: ${show(theirs)}`);
}

/** Values on different kinds of memory are equal by content. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
}
