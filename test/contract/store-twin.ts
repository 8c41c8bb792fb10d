/**
 * A dumb model of the store's semantics, for comparison with the real ones on random input: a whole
 * copy of the key space per revision, no index, no encoding. Slow and obvious.
 */
import { NO_LEASE, StoreError } from '#control/store/store.ts';
import type {
  Compare,
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchBatch,
  WatchEvent,
} from '#control/store/store.ts';

const FIELDS = { mod: 'modRevision', create: 'createRevision', version: 'version' } as const;

type State = ReadonlyMap<string, KeyValue>;

export class StoreTwin {
  /** State after each revision; the first two are the empty store. */
  readonly #states: State[] = [new Map(), new Map()];
  readonly #events: WatchEvent[][] = [[], []];
  readonly #leases = new Map<LeaseId, number>();
  compactRevision = 0;

  get revision(): number {
    return this.#states.length - 1;
  }

  range(request: RangeRequest): RangeResponse {
    this.#check(request.revision ?? 0);
    return this.#range(request, this.#at(request.revision || this.revision));
  }

  txn(request: TxnRequest): TxnResponse {
    refuseBranch(request.success);
    refuseBranch(request.failure);
    const succeeded = request.compare.every((compare) => this.#holds(compare));
    const branch = succeeded ? request.success : request.failure;
    for (const op of branch) {
      if (op.kind === 'put') this.#checkLease(op.request.leaseId);
      if (op.kind === 'range') this.#check(op.request.revision ?? 0);
    }
    const state = new Map(this.#at(this.revision));
    const events: WatchEvent[] = [];
    const results = branch.map((op) => this.#run(op, state, events));
    this.#commit(state, events);
    return { succeeded, results, revision: this.revision };
  }

  compact(revision: number): void {
    if (revision <= this.compactRevision) throw new StoreError('COMPACTED', 'compacted');
    if (revision > this.revision) throw new StoreError('FUTURE_REVISION', 'future');
    this.compactRevision = revision;
  }

  /** True when `compact` would not refuse. */
  canCompact(revision: number): boolean {
    return revision > this.compactRevision && revision <= this.revision;
  }

  /** `leaseId` must not be in use. */
  leaseGrant(leaseId: LeaseId, ttlSeconds: number): void {
    this.#leases.set(leaseId, ttlSeconds);
  }

  leaseRevoke(leaseId: LeaseId): void {
    this.#checkLease(leaseId);
    this.#leases.delete(leaseId);
    const state = new Map(this.#at(this.revision));
    const events: WatchEvent[] = [];
    const doomed = [...state.values()].filter((kv) => kv.leaseId === leaseId).sort(byKey);
    for (const { key } of doomed) this.#delete(key, state, events);
    this.#commit(state, events);
  }

  leaseKeepAlive(leaseId: LeaseId): number {
    this.#checkLease(leaseId);
    return this.#leases.get(leaseId) ?? 0; // Checked.
  }

  /** What a watch from `startRevision` on gives until now. */
  batches(range: KeyRange, startRevision: number, prevKv: boolean): WatchBatch[] {
    const batches: WatchBatch[] = [];
    for (let revision = startRevision; revision <= this.revision; revision++) {
      const events = (this.#events[revision] ?? [])
        .filter((event) => isIn(event.kv.key, range))
        .map((event) => (prevKv ? this.#withPrevious(event, revision) : event));
      if (events.length > 0) batches.push({ kind: 'events', revision, events });
    }
    return batches;
  }

  #withPrevious(event: WatchEvent, revision: number): WatchEvent {
    const prevKv = this.#states[revision - 1]?.get(event.kv.key);
    if (prevKv === undefined || revision <= this.compactRevision) return event;
    return { ...event, prevKv };
  }

  #commit(state: State, events: WatchEvent[]): void {
    if (events.length === 0) return;
    this.#states.push(state);
    this.#events.push(events);
  }

  #run(op: Operation, state: Map<string, KeyValue>, events: WatchEvent[]): OperationResult {
    const revision = this.revision + 1;
    if (op.kind === 'range') {
      const at = op.request.revision || 0;
      const response = this.#range(op.request, at === 0 ? state : this.#at(at));
      return {
        kind: 'range',
        response: { ...response, revision: events.length > 0 ? revision : this.revision },
      };
    }
    if (op.kind === 'put') {
      const { key, value, leaseId = NO_LEASE } = op.request;
      const old = state.get(key);
      const kv: KeyValue = {
        key,
        value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0) + 1,
        leaseId,
      };
      state.set(key, kv);
      events.push({ type: 'put', kv });
      return op.request.prevKv === true && old !== undefined
        ? { kind: 'put', prevKv: old }
        : { kind: 'put' };
    }
    const doomed = select(state, op.request);
    for (const { key } of doomed) this.#delete(key, state, events);
    const prevKvs = op.request.prevKv === true ? doomed : [];
    return { kind: 'deleteRange', deleted: doomed.length, prevKvs };
  }

  #delete(key: string, state: Map<string, KeyValue>, events: WatchEvent[]): void {
    state.delete(key);
    const kv: KeyValue = {
      key,
      value: new Uint8Array(0),
      createRevision: 0,
      modRevision: this.revision + 1,
      version: 0,
      leaseId: NO_LEASE,
    };
    events.push({ type: 'delete', kv });
  }

  #range(request: RangeRequest, state: State): RangeResponse {
    const all = select(state, request);
    const limit = request.limit || Number.POSITIVE_INFINITY;
    const revision = this.revision;
    if (request.countOnly === true) return { kvs: [], count: all.length, more: false, revision };
    let kvs = all.slice(0, limit);
    if (request.keysOnly === true) kvs = kvs.map((kv) => ({ ...kv, value: new Uint8Array(0) }));
    return { kvs, count: all.length, more: all.length > kvs.length, revision };
  }

  #holds(compare: Compare): boolean {
    const kv = this.#at(this.revision).get(compare.key);
    if (compare.target === 'value') {
      if (kv === undefined) return false;
      return ordered(Buffer.compare(kv.value, compare.value), compare.result);
    }
    if (compare.target === 'lease') {
      const leaseId = kv?.leaseId ?? NO_LEASE;
      if (compare.result === '=') return leaseId === compare.value;
      if (compare.result === '!=') return leaseId !== compare.value;
      return compare.result === '>' && leaseId !== NO_LEASE; // Only compared with NO_LEASE.
    }
    return ordered((kv?.[FIELDS[compare.target]] ?? 0) - compare.value, compare.result);
  }

  #at(revision: number): State {
    return this.#states[revision] as State; // Checked by the caller.
  }

  #check(revision: number): void {
    if (revision === 0) return;
    if (revision > this.revision) throw new StoreError('FUTURE_REVISION', 'future');
    if (revision < this.compactRevision) throw new StoreError('COMPACTED', 'compacted');
  }

  #checkLease(leaseId: LeaseId = NO_LEASE): void {
    if (leaseId === NO_LEASE || this.#leases.has(leaseId)) return;
    throw new StoreError('LEASE_NOT_FOUND', 'no such lease');
  }
}

function ordered(order: number, result: Compare['result']): boolean {
  if (result === '=') return order === 0;
  if (result === '!=') return order !== 0;
  return result === '<' ? order < 0 : order > 0;
}

function byKey(a: KeyValue, b: KeyValue): number {
  return a.key < b.key ? -1 : 1;
}

function select(state: State, range: KeyRange): KeyValue[] {
  return [...state.values()].filter((kv) => isIn(kv.key, range)).sort(byKey);
}

function isIn(key: string, range: KeyRange): boolean {
  if (range.rangeEnd === undefined || range.rangeEnd === '') return key === range.key;
  return key >= range.key && (range.rangeEnd === '\0' || key < range.rangeEnd);
}

/**
 * In one branch, whether it runs or not, no key is put twice, or put and deleted, and nothing is read
 * at a revision beside a write.
 */
function refuseBranch(branch: readonly Operation[]): void {
  const reads = branch.flatMap((op) => (op.kind === 'range' ? [op.request.revision ?? 0] : []));
  if (reads.some((revision) => revision !== 0) && reads.length < branch.length) {
    throw new StoreError('INVALID_REQUEST', 'reads at a revision beside a write');
  }
  const puts = branch.flatMap((op) => (op.kind === 'put' ? [op.request.key] : []));
  const deletes = branch.flatMap((op) => (op.kind === 'deleteRange' ? [op.request] : []));
  const twice = new Set(puts).size < puts.length;
  if (twice || puts.some((key) => deletes.some((range) => isIn(key, range)))) {
    throw new StoreError('DUPLICATE_KEY', 'written twice');
  }
}
