/**
 * A dumb model of the store's semantics, for comparison with the real ones on random input: a whole
 * copy of the key space per revision, no index, no encoding. Slow and obvious.
 */
import { NO_LEASE, StoreError } from '#control/store/store.ts';
import type {
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchEvent,
} from '#control/store/store.ts';

const FIELDS = {
  mod: 'modRevision',
  create: 'createRevision',
  version: 'version',
  lease: 'leaseId',
} as const;

type State = ReadonlyMap<string, KeyValue>;

export class StoreTwin {
  /** State after each revision; the first two are the empty store. */
  readonly #states: State[] = [new Map(), new Map()];
  readonly #events: WatchEvent[][] = [[], []];
  compactRevision = 0;

  get revision(): number {
    return this.#states.length - 1;
  }

  range(request: RangeRequest): RangeResponse {
    this.#check(request.revision ?? 0);
    return this.#range(request, this.#states[request.revision || this.revision] as State);
  }

  txn(request: TxnRequest): TxnResponse {
    refuseDuplicates(request.success);
    refuseDuplicates(request.failure);
    const succeeded = request.compare.every((compare) => this.#holds(compare));
    const branch = succeeded ? request.success : request.failure;
    for (const op of branch) if (op.kind === 'range') this.#check(op.request.revision ?? 0);
    const state = new Map(this.#states[this.revision]);
    const events: WatchEvent[] = [];
    const results = branch.map((op) => this.#run(op, state, events));
    if (events.length > 0) {
      this.#states.push(state);
      this.#events.push(events);
    }
    return { succeeded, results, revision: this.revision };
  }

  compact(revision: number): void {
    this.#checkCompact(revision);
    this.compactRevision = revision;
  }

  /** Events per revision from `startRevision` on, as a watch with previous values sees them. */
  events(range: KeyRange, startRevision: number): { revision: number; events: WatchEvent[] }[] {
    const batches: { revision: number; events: WatchEvent[] }[] = [];
    for (let revision = startRevision; revision <= this.revision; revision++) {
      const events = (this.#events[revision] ?? [])
        .filter((event) => isIn(event.kv.key, range))
        .map((event) => this.#withPrevious(event, revision));
      if (events.length > 0) batches.push({ revision, events });
    }
    return batches;
  }

  #withPrevious(event: WatchEvent, revision: number): WatchEvent {
    const prevKv = this.#states[revision - 1]?.get(event.kv.key);
    if (prevKv === undefined || revision <= this.compactRevision) return event;
    return { ...event, prevKv };
  }

  #run(op: Operation, state: Map<string, KeyValue>, events: WatchEvent[]): OperationResult {
    const revision = this.revision + 1;
    if (op.kind === 'range') {
      const at = op.request.revision || 0;
      const source = at === 0 ? state : (this.#states[at] as State);
      const response = this.#range(op.request, source);
      return {
        kind: 'range',
        response: { ...response, revision: events.length > 0 ? revision : this.revision },
      };
    }
    if (op.kind === 'put') {
      const { key, value } = op.request;
      const old = state.get(key);
      const kv: KeyValue = {
        key,
        value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0) + 1,
        leaseId: op.request.leaseId ?? NO_LEASE,
      };
      state.set(key, kv);
      events.push({ type: 'put', kv });
      return op.request.prevKv === true && old !== undefined
        ? { kind: 'put', prevKv: old }
        : { kind: 'put' };
    }
    const doomed = select(state, op.request);
    for (const { key } of doomed) {
      state.delete(key);
      const kv = {
        key,
        value: new Uint8Array(0),
        createRevision: 0,
        version: 0,
        leaseId: NO_LEASE,
      };
      events.push({ type: 'delete', kv: { ...kv, modRevision: revision } });
    }
    const prevKvs = op.request.prevKv === true ? doomed : [];
    return { kind: 'deleteRange', deleted: doomed.length, prevKvs };
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
    const kv = this.#states[this.revision]?.get(compare.key);
    let order: number;
    if (compare.target === 'value') {
      if (kv === undefined) return false;
      order = Buffer.compare(kv.value, compare.value);
    } else {
      const field = FIELDS[compare.target];
      order = Number(kv?.[field] ?? 0) - Number(compare.value);
    }
    if (compare.result === '=') return order === 0;
    if (compare.result === '!=') return order !== 0;
    return compare.result === '<' ? order < 0 : order > 0;
  }

  #check(revision: number): void {
    if (revision === 0) return;
    if (revision > this.revision) throw new StoreError('FUTURE_REVISION', 'future');
    if (revision < this.compactRevision) throw new StoreError('COMPACTED', 'compacted');
  }

  #checkCompact(revision: number): void {
    if (revision <= this.compactRevision) throw new StoreError('COMPACTED', 'compacted');
    if (revision > this.revision) throw new StoreError('FUTURE_REVISION', 'future');
  }
}

function select(state: State, range: KeyRange): KeyValue[] {
  const found = [...state.values()].filter((kv) => isIn(kv.key, range));
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function isIn(key: string, range: KeyRange): boolean {
  if (range.rangeEnd === undefined || range.rangeEnd === '') return key === range.key;
  return key >= range.key && (range.rangeEnd === '\0' || key < range.rangeEnd);
}

/** No key is put twice, or put and deleted, in one branch, whether that branch runs or not. */
function refuseDuplicates(branch: readonly Operation[]): void {
  const puts = branch.flatMap((op) => (op.kind === 'put' ? [op.request.key] : []));
  const deletes = branch.flatMap((op) => (op.kind === 'deleteRange' ? [op.request] : []));
  const twice = new Set(puts).size < puts.length;
  if (twice || puts.some((key) => deletes.some((range) => isIn(key, range)))) {
    throw new StoreError('DUPLICATE_KEY', 'written twice');
  }
}
