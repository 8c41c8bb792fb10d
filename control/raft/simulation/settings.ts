/**
 * What a run is like, drawn from its seed: sizes, limits and the probabilities themselves, so that
 * quiet runs, wild ones and lopsided ones all occur.
 */
import type { Limits } from '../limits.ts';
import type { NetworkFaults } from './network.ts';
import type { Random } from './random.ts';

/** Relative frequencies of what may happen next. */
export interface Weights {
  readonly deliver: number;
  readonly take: number;
  readonly persist: number;
  readonly apply: number;
  readonly tick: number;
  readonly propose: number;
  readonly read: number;
  readonly compact: number;
  readonly crash: number;
  readonly start: number;
  readonly change: number;
  readonly transfer: number;
  readonly campaign: number;
  readonly forget: number;
  readonly unreachable: number;
  readonly partition: number;
  readonly heal: number;
  readonly hangDisk: number;
  readonly report: number;
}

export interface Settings {
  readonly founders: number;
  readonly electionTicks: number;
  readonly steps: number;
  readonly limits: Partial<Limits>;
  readonly faults: NetworkFaults;
  readonly weights: Weights;
  /** Of finishing any write under way instead of the oldest. */
  readonly reorderWrites: number;
  /** Writes under way at one member, at most. */
  readonly heldMax: number;
}

export function drawSettings(random: Random): Settings {
  const often = (most: number) => (random.chance(0.3) ? 0 : random.next() * most);
  return {
    founders: random.pick([1, 2, 3, 3, 3, 4, 5]) ?? 3,
    electionTicks: random.between(3, 8),
    steps: random.between(400, 1600),
    limits: {
      appendBytesMax: random.pick([1, 100, 1000, 10_000]) ?? 1000,
      inflightAppendsMax: random.between(1, 8),
      inflightBytesMax: random.pick([1, 200, 10_000]) ?? 200,
      uncommittedBytesMax: random.pick([200, 1000, 10_000]) ?? 1000,
      committedBytesPerReadyMax: random.pick([1, 100, 1000]) ?? 100,
      readsPendingMax: random.pick([1, 4, 100]) ?? 4,
    },
    faults: { loss: often(0.3), double: often(0.2), reorder: random.next() },
    weights: {
      deliver: 40,
      take: 20,
      persist: 20 * random.next() + 5,
      apply: 10,
      tick: 10,
      propose: 6,
      read: 2,
      compact: often(2),
      crash: often(0.6),
      start: 1,
      change: often(1.5),
      transfer: often(0.5),
      campaign: often(0.5),
      forget: often(0.3),
      unreachable: often(0.3),
      partition: often(0.3),
      heal: 0.3,
      hangDisk: often(0.2),
      report: 4,
    },
    reorderWrites: often(1),
    heldMax: random.between(1, 5),
  };
}
