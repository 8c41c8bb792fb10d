/**
 * When the node is short of something: signals, their thresholds, and the node conditions that follow, which
 * stay for a while after the shortage. Names, order and arithmetic as upstream's (pkg/kubelet/eviction). Pure.
 */
import {
  compareQuantities,
  parseQuantity,
  type Quantity,
  quantityFromValue,
} from '#base/kube/quantity.ts';

/** In the order in which they are relieved: memory first. */
export const SIGNALS = [
  'memory.available',
  'allocatableMemory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'pid.available',
] as const;
export type Signal = (typeof SIGNALS)[number];

export type Resource = 'memory' | 'ephemeral-storage' | 'inodes' | 'pids';
export type PressureType = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure';

const FACTS: Readonly<Record<Signal, { resource: Resource; condition: PressureType }>> = {
  'memory.available': { resource: 'memory', condition: 'MemoryPressure' },
  'allocatableMemory.available': { resource: 'memory', condition: 'MemoryPressure' },
  'nodefs.available': { resource: 'ephemeral-storage', condition: 'DiskPressure' },
  'nodefs.inodesFree': { resource: 'inodes', condition: 'DiskPressure' },
  'imagefs.available': { resource: 'ephemeral-storage', condition: 'DiskPressure' },
  'imagefs.inodesFree': { resource: 'inodes', condition: 'DiskPressure' },
  'pid.available': { resource: 'pids', condition: 'PIDPressure' },
};

export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

export type Observations = Readonly<Partial<Record<Signal, Observation>>>;

/** `100Mi` or `10%`, by signal. */
export type Thresholds = Readonly<Partial<Record<Signal, string>>>;

/** A signal below its threshold. */
export interface Shortage {
  readonly signal: Signal;
  readonly resource: Resource;
  readonly threshold: Quantity;
  readonly available: Quantity;
}

/** The amount that a threshold stands for. Shares are single-precision numbers, as upstream's. */
export function thresholdOf(text: string, capacity: number): Quantity {
  if (!text.endsWith('%')) return parseQuantity(text);
  const share = Math.fround(Math.fround(Number.parseFloat(text)) / 100);
  return quantityFromValue(Math.floor(capacity * share), 'BinarySI');
}

export function shortagesOf(thresholds: Thresholds, observed: Observations): Shortage[] {
  const found: Shortage[] = [];
  for (const signal of SIGNALS) {
    const text = thresholds[signal];
    const observation = observed[signal];
    if (text === undefined || observation === undefined) continue;
    const threshold = thresholdOf(text, observation.capacity);
    const isCount = FACTS[signal].resource === 'inodes' || FACTS[signal].resource === 'pids';
    const available = quantityFromValue(observation.available, isCount ? 'DecimalSI' : 'BinarySI');
    if (compareQuantities(threshold, available) <= 0) continue;
    found.push({ signal, resource: FACTS[signal].resource, threshold, available });
  }
  return found;
}

/** When each condition was last seen to hold. */
export type LastSeen = Readonly<Partial<Record<PressureType, number>>>;

export function seenNow(before: LastSeen, shortages: readonly Shortage[], nowMs: number): LastSeen {
  const now = shortages.map(({ signal }) => [FACTS[signal].condition, nowMs]);
  return { ...before, ...Object.fromEntries(now) };
}

/** The conditions that hold, or held less than `transitionMs` ago. */
export function pressuresOf(seen: LastSeen, transitionMs: number, nowMs: number): PressureType[] {
  return (['MemoryPressure', 'DiskPressure', 'PIDPressure'] as const).filter((type) => {
    const atMs = seen[type];
    return atMs !== undefined && (atMs === nowMs || nowMs - atMs < transitionMs);
  });
}
