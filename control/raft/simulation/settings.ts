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
  /** Nobody hears the leader for so long that one member campaigns and others let it. */
  readonly upheaval: number;
  readonly unreachable: number;
  readonly partition: number;
  readonly isolate: number;
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
  /** Of a member that goes to work at once when something happened to it. */
  readonly eager: number;
  /** Of one whose disk then does the same. */
  readonly quickDisk: number;
  /** Of finishing any write under way instead of the oldest. */
  readonly reorderWrites: number;
  /** Writes under way at one member, at most. */
  readonly heldMax: number;
}

export function drawSettings(random: Random): Settings {
  // Few kinds of fault at a time reach further than all of them at once.
  const often = (most: number) => (random.chance(0.55) ? 0 : random.next() * most);
  const mostlyHigh = () => (random.chance(0.3) ? random.next() : 0.7 + 0.3 * random.next());
  return {
    founders: random.pick([1, 2, 3, 3, 3, 4, 5]) ?? 3,
    electionTicks: random.between(2, 6),
    steps: random.between(500, 2500),
    limits: {
      appendBytesMax: random.pick([1, 100, 1000, 10_000]) ?? 1000,
      inflightAppendsMax: random.between(1, 8),
      inflightBytesMax: random.pick([1, 200, 10_000]) ?? 200,
      uncommittedBytesMax: random.pick([200, 1000, 10_000]) ?? 1000,
      committedBytesPerReadyMax: random.pick([1, 100, 1000]) ?? 100,
      readsPendingMax: random.pick([1, 4, 100]) ?? 4,
    },
    faults: { loss: often(0.2), double: often(0.2), reorder: often(1), late: often(0.3) },
    weights: {
      deliver: 100,
      take: 15,
      persist: 15 * random.next() + 2,
      apply: 10,
      tick: 40 * random.next() + 5,
      propose: 8,
      read: 3 + often(10),
      compact: often(2),
      crash: often(1),
      start: 2,
      change: often(5),
      transfer: often(2),
      campaign: often(1),
      forget: often(2),
      upheaval: often(8),
      unreachable: often(0.3),
      partition: often(0.5),
      isolate: often(2),
      heal: 1,
      hangDisk: often(0.2),
      report: 4,
    },
    eager: mostlyHigh(),
    quickDisk: mostlyHigh(),
    reorderWrites: often(1),
    heldMax: random.between(1, 6),
  };
}
