/** Random operations over few keys, and their way to a store. */
import { NO_LEASE } from '../port.ts';
import type { LeaseId, Operation, Store } from '../port.ts';
import type { ModelOperation, ModelState } from './model.ts';
import type { SeededRandom } from './seeded-random.ts';

const KEYS = ['a', 'aa', 'ab', 'b', 'b\0', 'c/1', 'c/2', 'c/3', 'd\xff'];

export interface Chosen {
  /** What the store holds if nothing is lost. */
  readonly known: ModelState;
  /** Leases whose ids are known. */
  readonly leases: readonly number[];
  /** Of the operation; names the lease that it may grant. */
  readonly number: number;
}

export function chooseOperation(random: SeededRandom, chosen: Chosen): ModelOperation {
  const { known, leases, number } = chosen;
  const key = random.pick(KEYS);
  const value = `${number}:${'x'.repeat(random.below(random.pick([10, 200, 1500])))}`;
  const kind = random.below(20);
  if (kind < 9) {
    const isLeased = leases.length > 0 && random.chance(0.3);
    return { kind: 'put', key, value, lease: isLeased ? random.pick(leases) : 0 };
  }
  if (kind < 12) return { kind: 'swap', key, value, mod: known.keys.get(key)?.mod ?? 0 };
  if (kind < 16) {
    const rangeEnd = random.chance(0.3) ? random.pick(KEYS) : undefined;
    return { kind: 'delete', key, rangeEnd };
  }
  if (kind < 18) {
    return { kind: 'compact', revision: Math.max(1, known.revision - random.below(12)) };
  }
  if (kind < 19 || leases.length === 0) return { kind: 'grant', lease: number };
  return { kind: 'revoke', lease: random.pick(leases) };
}

const { signal } = new AbortController();

/** `leaseIds` maps the model's leases to the store's, as far as they are known. */
export async function runOperation(
  store: Store,
  operation: ModelOperation,
  leaseIds: Map<number, LeaseId>,
): Promise<unknown> {
  switch (operation.kind) {
    case 'put': {
      const { key, lease } = operation;
      const leaseId = lease === 0 ? NO_LEASE : (leaseIds.get(lease) ?? UNKNOWN_LEASE);
      const value = Buffer.from(operation.value);
      return write(store, { kind: 'put', request: { key, value, leaseId } });
    }
    case 'swap': {
      const { key, mod } = operation;
      const put = { kind: 'put', request: { key, value: Buffer.from(operation.value) } } as const;
      const compare = [{ key, target: 'mod', result: '=', value: mod }] as const;
      return store.txn({ compare, success: [put], failure: [] }, signal);
    }
    case 'delete': {
      const { key, rangeEnd } = operation;
      return write(store, { kind: 'deleteRange', request: { key, rangeEnd } });
    }
    case 'compact':
      return store.compact(operation.revision, signal);
    case 'grant': {
      // Far longer than a run: no lease runs out by itself.
      const { leaseId } = await store.leaseGrant(1_000_000, signal);
      leaseIds.set(operation.lease, leaseId);
      return leaseId;
    }
    case 'revoke':
      return store.leaseRevoke(leaseIds.get(operation.lease) ?? UNKNOWN_LEASE, signal);
    default:
      return operation satisfies never;
  }
}

/** No store grants it: ids are log indexes. */
const UNKNOWN_LEASE = String(2 ** 52);

function write(store: Store, operation: Operation): Promise<unknown> {
  return store.txn({ compare: [], success: [operation], failure: [] }, signal);
}
