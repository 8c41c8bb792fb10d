/**
 * The port's requests and answers as messages of etcd, under a key prefix that callers do not see.
 * Checks requests by the same rules as our own store (codec/check.ts).
 */
import { must } from '#base/assert.ts';
import { checkCount, checkKey, checkLeaseId, checkTxn, invalidRequest } from '../codec/check.ts';
import { NO_LEASE } from '../port.ts';
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
  WatchRequest,
} from '../port.ts';
import { CompareResult, CompareTarget, EventType } from './etcd.gen.ts';
import type * as etcd from './etcd.gen.ts';
import type { Input } from './rpc.ts';

const TARGETS = {
  mod: [CompareTarget.MOD, 'modRevision'],
  create: [CompareTarget.CREATE, 'createRevision'],
  version: [CompareTarget.VERSION, 'version'],
  lease: [CompareTarget.LEASE, 'lease'],
  value: [CompareTarget.VALUE, 'value'],
} as const;

const RESULTS = {
  '=': CompareResult.EQUAL,
  '!=': CompareResult.NOT_EQUAL,
  '<': CompareResult.LESS,
  '>': CompareResult.GREATER,
} as const;

/** Keys and ranges of the port within a prefix of etcd's key space. */
export class KeySpace {
  readonly #prefix: string;
  /** `\0` stands for "no upper bound" where the prefix has no successor. */
  readonly #end: Buffer;

  /** `prefix`: bytes as code units, as keys of the port are; may be empty. */
  constructor(prefix: string) {
    checkBytes(prefix);
    this.#prefix = prefix;
    this.#end = Buffer.from(successor(prefix), 'latin1');
  }

  key(key: string): Buffer {
    checkKey(key);
    checkBytes(key);
    return Buffer.from(this.#prefix + key, 'latin1');
  }

  range(range: KeyRange): { readonly key: Buffer; readonly rangeEnd?: Buffer } {
    const key = this.key(range.key);
    const { rangeEnd } = range;
    if (rangeEnd === undefined || rangeEnd === '') return { key };
    if (rangeEnd === '\0') return { key, rangeEnd: this.#end };
    checkBytes(rangeEnd);
    return { key, rangeEnd: Buffer.from(this.#prefix + rangeEnd, 'latin1') };
  }

  strip(key: Uint8Array): string {
    const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    return bytes.toString('latin1', this.#prefix.length);
  }
}

/** The smallest string above all that begin with `prefix`, or `\0` when there is none. */
function successor(prefix: string): string {
  const last = prefix.replace(/\xff+$/, '');
  if (last === '') return '\0';
  const at = last.length - 1;
  return last.slice(0, at) + String.fromCharCode(last.charCodeAt(at) + 1);
}

function checkBytes(text: string): void {
  if (/[^\0-\xff]/.test(text)) throw invalidRequest(`key ${JSON.stringify(text)} is not bytes`);
}

export function toRange(space: KeySpace, request: RangeRequest): Input<etcd.RangeRequest> {
  const { revision = 0, limit = 0 } = request;
  checkCount(revision, 'revision');
  checkCount(limit, 'limit');
  return {
    ...space.range(request),
    revision,
    limit,
    keysOnly: request.keysOnly === true,
    countOnly: request.countOnly === true,
    serializable: request.serializable === true,
  };
}

export function toTxn(space: KeySpace, request: TxnRequest): Input<etcd.TxnRequest> {
  checkTxn(request);
  return {
    compare: request.compare.map((compare) => toCompare(space, compare)),
    success: request.success.map((operation) => toOperation(space, operation)),
    failure: request.failure.map((operation) => toOperation(space, operation)),
  };
}

function toCompare(space: KeySpace, compare: Compare): Input<etcd.Compare> {
  const [target, field] = TARGETS[compare.target];
  if (compare.target === 'lease') checkLeaseId(compare.value);
  else if (compare.target !== 'value') checkCount(compare.value, compare.target);
  const { key, result, value } = compare;
  return { key: space.key(key), target, result: RESULTS[result], [field]: value };
}

function toOperation(space: KeySpace, operation: Operation): Input<etcd.RequestOp> {
  if (operation.kind === 'range') return { requestRange: toRange(space, operation.request) };
  const prevKv = operation.request.prevKv === true;
  if (operation.kind === 'deleteRange') {
    return { requestDeleteRange: { ...space.range(operation.request), prevKv } };
  }
  const { key, value, leaseId = NO_LEASE } = operation.request;
  checkLeaseId(leaseId);
  return { requestPut: { key: space.key(key), value, lease: leaseId, prevKv } };
}

export function toWatch(
  space: KeySpace,
  request: WatchRequest,
  startRevision: number,
): Input<etcd.WatchRequest> {
  const prevKv = request.prevKv === true;
  const create = { ...space.range(request), startRevision, prevKv, fragment: true };
  return { createRequest: { ...create, progressNotify: true } };
}

export function fromRange(space: KeySpace, answer: etcd.RangeResponse): RangeResponse {
  return {
    kvs: answer.kvs.map((kv) => fromKeyValue(space, kv)),
    count: answer.count.toNumber(),
    more: answer.more,
    revision: revisionOf(answer),
  };
}

export function fromTxn(space: KeySpace, answer: etcd.TxnResponse): TxnResponse {
  return {
    succeeded: answer.succeeded,
    results: answer.responses.map((response) => fromResult(space, response)),
    revision: revisionOf(answer),
  };
}

function fromResult(space: KeySpace, result: etcd.ResponseOp): OperationResult {
  if (result.responseRange !== null) {
    return { kind: 'range', response: fromRange(space, result.responseRange) };
  }
  if (result.responsePut !== null) {
    const previous = result.responsePut.prevKv;
    return previous === null
      ? { kind: 'put' }
      : { kind: 'put', prevKv: fromKeyValue(space, previous) };
  }
  const deletion = must(result.responseDeleteRange, 'a result is of one of three kinds');
  const prevKvs = deletion.prevKvs.map((kv) => fromKeyValue(space, kv));
  return { kind: 'deleteRange', deleted: deletion.deleted.toNumber(), prevKvs };
}

export function fromKeyValue(space: KeySpace, kv: etcd.KeyValue): KeyValue {
  return {
    key: space.strip(kv.key),
    value: kv.value,
    createRevision: kv.createRevision.toNumber(),
    modRevision: kv.modRevision.toNumber(),
    version: kv.version.toNumber(),
    leaseId: kv.lease.toString(),
  };
}

export function fromEvent(space: KeySpace, event: etcd.Event): WatchEvent {
  const kv = fromKeyValue(space, must(event.kv, 'an event has a key-value'));
  const type = event.type === EventType.DELETE ? 'delete' : 'put';
  if (event.prevKv === null) return { type, kv };
  return { type, kv, prevKv: fromKeyValue(space, event.prevKv) };
}

export function revisionOf(answer: { readonly header: etcd.ResponseHeader | null }): number {
  return must(answer.header, 'an answer has a header').revision.toNumber();
}
