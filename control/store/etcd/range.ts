/**
 * Ranges over etcd, read in pages, since one answer holds the whole range and is bounded only by the
 * receiver. All pages show the state of the first one's revision.
 */
import { StoreError } from '../port.ts';
import type { RangeRequest, RangeResponse } from '../port.ts';
import type { EtcdCluster } from './cluster.ts';
import { isAnswerTooLarge } from './errors.ts';
import { KV } from './etcd.gen.ts';
import type * as etcd from './etcd.gen.ts';
import { PAGE_BYTES, PAGE_COUNT_FIRST, PAGE_COUNT_MAX, RANGE_RESTARTS_MAX } from './limits.ts';
import type { Input } from './rpc.ts';
import { fromKeyValue, fromRange, toRange } from './wire.ts';
import type { KeySpace } from './wire.ts';

/** Appended to a key, it gives the next possible one. */
const AFTER = Buffer.from([0]);
const NOTHING = Buffer.alloc(0);

interface Source {
  readonly cluster: EtcdCluster;
  readonly space: KeySpace;
}

export async function readRange(
  source: Source,
  request: RangeRequest,
  signal: AbortSignal,
): Promise<RangeResponse> {
  for (let restarts = 0; ; restarts++) {
    try {
      return await readPages(source, request, signal);
    } catch (error) {
      // The latest state can always be read; only its pages were too slow for the compaction.
      const isOvertaken = error instanceof StoreError && error.code === 'COMPACTED';
      const isLatest = (request.revision ?? 0) === 0;
      if (!isOvertaken || !isLatest || restarts === RANGE_RESTARTS_MAX) throw error;
    }
  }
}

async function readPages(
  source: Source,
  request: RangeRequest,
  signal: AbortSignal,
): Promise<RangeResponse> {
  const { cluster, space } = source;
  const message = toRange(space, request);
  const kind = request.serializable === true ? 'stale' : 'read';
  const ask = (part: Input<etcd.RangeRequest>) =>
    readPage((limit) => cluster.call(KV.Range, { ...message, ...part, limit }, { kind, signal }), {
      limit: Number(part.limit),
    });
  const wanted = request.limit || Number.POSITIVE_INFINITY;
  const first = await ask({ limit: Math.min(wanted, PAGE_COUNT_FIRST) });
  const answer = fromRange(space, first);
  if (!first.more || first.kvs.length >= wanted) return answer;
  const kvs = [...answer.kvs];
  const revision = request.revision || answer.revision;
  for (let page = first; page.more && kvs.length < wanted; ) {
    const key = Buffer.concat([page.kvs.at(-1)?.key ?? message.key ?? NOTHING, AFTER]);
    const limit = Math.min(wanted - kvs.length, nextPageCount(page.kvs));
    page = await ask({ key, revision, limit });
    for (const kv of page.kvs) kvs.push(fromKeyValue(space, kv));
  }
  return { ...answer, kvs, more: answer.count > kvs.length };
}

/** One page of at most `limit` key-values, fewer when they would not fit one message. */
async function readPage(
  ask: (limit: number) => Promise<etcd.RangeResponse>,
  page: { limit: number },
): Promise<etcd.RangeResponse> {
  for (let { limit } = page; ; limit = Math.ceil(limit / 8)) {
    try {
      return await ask(limit);
    } catch (error) {
      if (!isAnswerTooLarge(error)) throw error;
      if (limit === 1)
        throw new StoreError('TOO_LARGE', 'one value is too large', { cause: error });
    }
  }
}

function nextPageCount(page: readonly etcd.KeyValue[]): number {
  let bytes = 0;
  for (const { key, value } of page) bytes += key.length + value.length;
  const average = Math.max(1, bytes / Math.max(1, page.length));
  return Math.max(1, Math.min(PAGE_COUNT_MAX, Math.floor(PAGE_BYTES / average)));
}
