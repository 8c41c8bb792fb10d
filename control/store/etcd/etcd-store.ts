/**
 * The Store over an external etcd cluster, through etcd's v3 gRPC API. Same port, same semantics as
 * our own store: one contract suite runs on both. Its keys lie under a prefix of their own, so a
 * cluster may serve others too; revisions are the whole cluster's.
 *
 * What differs from our own store is listed, with reasons, in test/contract/etcd-differences.test.ts.
 */
import { TaskScope } from '#base/task-scope.ts';
import { checkCount, checkLeaseId, checkTtl, checkWatch } from '../codec/check.ts';
import { isReadOnly } from '../codec/command.ts';
import { WATCHES_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import type {
  GrantedLease,
  LeaseId,
  RangeRequest,
  RangeResponse,
  Store,
  StoreStatus,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchRequest,
} from '../port.ts';
import { EtcdCluster, raceAbort } from './cluster.ts';
import type { EtcdClusterOptions, EtcdIo } from './cluster.ts';
import { KV, Lease } from './etcd.gen.ts';
import { REQUEST_MS_MAX } from './limits.ts';
import { readRange } from './range.ts';
import { EtcdWatch } from './watch.ts';
import { KeySpace, fromTxn, toTxn } from './wire.ts';

export interface EtcdOptions extends EtcdClusterOptions {
  /** Before every key, as bytes in code units; may be empty. */
  readonly prefix: string;
}

/**
 * Connects to the cluster. Throws StoreError UNSUPPORTED when an endpoint is older than 3.5.13 or of
 * another cluster than the others, UNAVAILABLE when none answers.
 */
export async function connectEtcdStore(
  options: EtcdOptions,
  io: EtcdIo,
  signal: AbortSignal,
): Promise<Store> {
  const space = new KeySpace(options.prefix);
  const cluster = new EtcdCluster(options, io);
  await cluster.open(signal);
  return new EtcdStore(cluster, space, io);
}

/** A key that no one uses. */
const NOBODY = { key: '\0' };

class EtcdStore implements Store {
  readonly #cluster: EtcdCluster;
  readonly #space: KeySpace;
  readonly #io: EtcdIo;
  readonly #tasks: TaskScope;
  readonly #watches = new Set<EtcdWatch>();
  /** Watches from now on that etcd has not confirmed: writes wait, so that these see them. */
  readonly #starting = new Set<EtcdWatch>();

  constructor(cluster: EtcdCluster, space: KeySpace, io: EtcdIo) {
    this.#cluster = cluster;
    this.#space = space;
    this.#io = io;
    this.#tasks = new TaskScope(new AbortController().signal);
  }

  range(request: RangeRequest, signal: AbortSignal): Promise<RangeResponse> {
    return readRange({ cluster: this.#cluster, space: this.#space }, request, signal);
  }

  async txn(request: TxnRequest, signal: AbortSignal): Promise<TxnResponse> {
    const message = toTxn(this.#space, request);
    const kind = isReadOnly(request) ? 'read' : 'write';
    if (kind === 'write') await this.#watchesStarted(signal);
    return fromTxn(this.#space, await this.#cluster.call(KV.Txn, message, { kind, signal }));
  }

  watch(request: WatchRequest): Watch {
    if (this.#cluster.ended !== undefined) throw this.#cluster.ended;
    if (this.#watches.size >= WATCHES_MAX) {
      throw new StoreError('UNAVAILABLE', `${WATCHES_MAX} watches are open`);
    }
    checkWatch(request);
    const watch = new EtcdWatch(request, {
      cluster: this.#cluster,
      space: this.#space,
      clock: this.#io.clock,
      log: this.#io.log,
      presentRevision: (signal) => this.#presentRevision(signal),
      spawn: (name, run) => this.#spawn(name, run),
      onEnd: (ended) => this.#watches.delete(ended),
    });
    this.#watches.add(watch);
    if ((request.startRevision ?? 0) === 0) {
      this.#starting.add(watch);
      this.#spawn('watch starts', async () => {
        await watch.started;
        this.#starting.delete(watch);
      });
    }
    return watch;
  }

  async compact(revision: number, signal: AbortSignal): Promise<void> {
    checkCount(revision, 'revision');
    // A fresh etcd takes one compaction at 0, which does nothing.
    if (revision === 0) throw new StoreError('COMPACTED', 'revision 0 is compacted');
    await this.#cluster.call(KV.Compact, { revision }, { kind: 'write', signal });
  }

  async leaseGrant(ttlSeconds: number, signal: AbortSignal): Promise<GrantedLease> {
    checkTtl(ttlSeconds);
    const request = { TTL: ttlSeconds };
    const answer = await this.#cluster.call(Lease.LeaseGrant, request, { kind: 'write', signal });
    return { leaseId: answer.ID.toString(), ttlSeconds: answer.TTL.toNumber() };
  }

  async leaseRevoke(leaseId: LeaseId, signal: AbortSignal): Promise<void> {
    checkLeaseId(leaseId);
    await this.#watchesStarted(signal);
    await this.#cluster.call(Lease.LeaseRevoke, { ID: leaseId }, { kind: 'write', signal });
  }

  async leaseKeepAlive(leaseId: LeaseId, signal: AbortSignal): Promise<number> {
    checkLeaseId(leaseId);
    const answer = await this.#cluster.run(
      (connection, until) => connection.ask(Lease.LeaseKeepAlive, { ID: leaseId }, until),
      { kind: 'stale', signal },
    );
    const ttlSeconds = answer.TTL.toNumber();
    if (ttlSeconds > 0) return ttlSeconds;
    throw new StoreError('LEASE_NOT_FOUND', `lease ${leaseId} does not exist`);
  }

  /** etcd tells its compact revision only to a watch that starts below it. */
  async status(signal: AbortSignal): Promise<StoreStatus> {
    const revision = await this.#presentRevision(signal);
    using deadline = this.#io.clock.deadline(REQUEST_MS_MAX, signal);
    using watch = this.watch({ ...NOBODY, startRevision: 1 });
    deadline.signal.addEventListener('abort', () => watch[Symbol.dispose](), { once: true });
    watch.requestProgress();
    try {
      for await (const _batch of watch) return { revision, compactRevision: 0 };
    } catch (error) {
      const isCompacted = error instanceof StoreError && error.code === 'COMPACTED';
      if (!isCompacted) throw error;
      return { revision, compactRevision: error.compactRevision ?? 0 };
    }
    signal.throwIfAborted();
    throw new StoreError('UNAVAILABLE', 'etcd did not tell its compact revision in time');
  }

  async #presentRevision(signal: AbortSignal): Promise<number> {
    const { revision } = await this.range({ ...NOBODY, countOnly: true }, signal);
    return revision;
  }

  async close(): Promise<void> {
    const reason = new StoreError('CLOSED', 'store is closed');
    this.#cluster.end(reason);
    for (const watch of this.#watches) watch.fail(this.#cluster.ended ?? reason);
    await this.#tasks[Symbol.asyncDispose]();
  }

  /** A task that fails ends the store: what it kept going would silently stand still. */
  #spawn(name: string, run: (signal: AbortSignal) => Promise<void>): void {
    this.#tasks.spawn(name, async (signal) => {
      try {
        await run(signal);
      } catch (cause) {
        if (signal.aborted) throw cause;
        throw this.#cluster.fail(new StoreError('CLOSED', `etcd store: ${name} failed`, { cause }));
      }
    });
  }

  async #watchesStarted(signal: AbortSignal): Promise<void> {
    if (this.#starting.size === 0) return;
    const started = Promise.all([...this.#starting].map((watch) => watch.started));
    using deadline = this.#io.clock.deadline(REQUEST_MS_MAX, signal);
    try {
      await raceAbort(started, deadline.signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw new StoreError('UNAVAILABLE', 'etcd did not start a watch in time', { cause });
    }
  }
}
