/**
 * The part of the Store port that the random comparison needs, over the JSON gateway of a real etcd:
 * ranges, transactions, compaction. For tests only; int64 come as strings, absent fields are zero.
 */
import { StoreError } from '#control/store/store.ts';
import type {
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  Store,
  StoreErrorCode,
  TxnRequest,
  TxnResponse,
} from '#control/store/store.ts';

type Json = { readonly [name: string]: unknown };

const TARGETS = {
  mod: ['MOD', 'mod_revision'],
  create: ['CREATE', 'create_revision'],
  version: ['VERSION', 'version'],
  lease: ['LEASE', 'lease'],
  value: ['VALUE', 'value'],
} as const;

const RESULTS = { '=': 'EQUAL', '!=': 'NOT_EQUAL', '<': 'LESS', '>': 'GREATER' } as const;

const ERRORS: readonly [RegExp, StoreErrorCode][] = [
  [/compacted/, 'COMPACTED'],
  [/future/, 'FUTURE_REVISION'],
  [/duplicate key/, 'DUPLICATE_KEY'],
];

export class EtcdGateway implements Pick<Store, 'range' | 'txn' | 'compact'> {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async range(request: RangeRequest, signal: AbortSignal): Promise<RangeResponse> {
    return readRange(await this.#call('kv/range', writeRange(request), signal));
  }

  async txn(request: TxnRequest, signal: AbortSignal): Promise<TxnResponse> {
    const body = {
      compare: request.compare.map(writeCompare),
      success: request.success.map(writeOperation),
      failure: request.failure.map(writeOperation),
    };
    const answer = await this.#call('kv/txn', body, signal);
    return {
      succeeded: answer['succeeded'] === true,
      results: list(answer['responses']).map(readResult),
      revision: headerRevision(answer),
    };
  }

  async compact(revision: number, signal: AbortSignal): Promise<void> {
    await this.#call('kv/compaction', { revision }, signal);
  }

  async #call(path: string, body: Json, signal: AbortSignal): Promise<Json> {
    const url = `${this.#url}/v3/${path}`;
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body), signal });
    const answer = (await response.json()) as Json; // The gateway answers objects.
    if (response.ok) return answer;
    const message = String(answer['message']);
    const code = ERRORS.find(([pattern]) => pattern.test(message))?.[1];
    if (code === undefined) throw new Error(`etcd refused ${path}: ${message}`);
    throw new StoreError(code, message);
  }
}

function writeBytes(value: string | Uint8Array): string {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.from(value);
  return bytes.toString('base64');
}

function writeKeyRange({ key, rangeEnd }: KeyRange): Json {
  const end = rangeEnd === undefined ? {} : { range_end: writeBytes(rangeEnd) };
  return { key: writeBytes(key), ...end };
}

function writeRange(request: RangeRequest): Json {
  return {
    ...writeKeyRange(request),
    limit: request.limit ?? 0,
    revision: request.revision ?? 0,
    keys_only: request.keysOnly === true,
    count_only: request.countOnly === true,
  };
}

function writeCompare(compare: Compare): Json {
  const [target, field] = TARGETS[compare.target];
  const value = compare.target === 'value' ? writeBytes(compare.value) : compare.value;
  return { key: writeBytes(compare.key), target, result: RESULTS[compare.result], [field]: value };
}

function writeOperation(operation: Operation): Json {
  if (operation.kind === 'range') return { request_range: writeRange(operation.request) };
  const prev_kv = operation.request.prevKv === true;
  if (operation.kind === 'deleteRange') {
    return { request_delete_range: { ...writeKeyRange(operation.request), prev_kv } };
  }
  const { key, value } = operation.request;
  return { request_put: { key: writeBytes(key), value: writeBytes(value), prev_kv } };
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? (value as Json[]) : []; // Lists of the gateway hold objects.
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {}; // Checked here.
}

function bytes(value: unknown): Uint8Array {
  return Buffer.from(typeof value === 'string' ? value : '', 'base64');
}

function headerRevision(answer: Json): number {
  return Number(object(answer['header'])['revision']);
}

function readKeyValue(kv: Json): KeyValue {
  return {
    key: Buffer.from(bytes(kv['key'])).toString('latin1'),
    value: bytes(kv['value']),
    createRevision: Number(kv['create_revision'] ?? 0),
    modRevision: Number(kv['mod_revision'] ?? 0),
    version: Number(kv['version'] ?? 0),
    leaseId: typeof kv['lease'] === 'string' ? kv['lease'] : '0',
  };
}

function readRange(answer: Json): RangeResponse {
  return {
    kvs: list(answer['kvs']).map(readKeyValue),
    count: Number(answer['count'] ?? 0),
    more: answer['more'] === true,
    revision: headerRevision(answer),
  };
}

function readResult(result: Json): OperationResult {
  const range = result['response_range'];
  if (range !== undefined) return { kind: 'range', response: readRange(object(range)) };
  const put = result['response_put'];
  if (put !== undefined) {
    const previous = object(put)['prev_kv'];
    if (previous === undefined) return { kind: 'put' };
    return { kind: 'put', prevKv: readKeyValue(object(previous)) };
  }
  const deletion = object(result['response_delete_range']);
  const prevKvs = list(deletion['prev_kvs']).map(readKeyValue);
  return { kind: 'deleteRange', deleted: Number(deletion['deleted'] ?? 0), prevKvs };
}
