/**
 * Snapshots on their way to other members. The leader offers its newest checkpoint by its manifest, and
 * answers requests for chunks; what the receiver holds already it does not ask for. An offer may get
 * lost, and a receiver may start anew: as long as the core waits for the member, a silent transfer is
 * offered again. A checkpoint that is being fetched stays on disk, unless its receiver fell silent. What
 * counts as a checkpoint is what a quorum holds (checkpoints.ts), so a member may give it away whose own
 * state is wrong.
 */
import type { InstallSnapshot } from '#control/raft/raft.ts';
import { checkpointName } from '../checkpoint/format.ts';
import { ChunkSource } from '../checkpoint/chunk-source.ts';
import type { CheckpointIo } from '../checkpoint/checkpoints.ts';
import { SNAPSHOT_OFFER_TICKS, SNAPSHOT_SILENT_TICKS } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { BulkRate } from './bulk-rate.ts';
import type { ChunkRequest, PeerMessage } from './peers.ts';

interface Transfer {
  readonly message: InstallSnapshot;
  /** Ticks at the last offer, and at the last sign of the receiver. */
  offeredAt: number;
  heardAt: number;
}

export class SnapshotSender {
  readonly #io: CheckpointIo;
  readonly #send: (to: number, message: PeerMessage) => void;
  readonly #failed: (to: number) => void;
  readonly #transfers = new Map<number, Transfer>();
  /** Of the checkpoint asked for last. */
  #source: ChunkSource | undefined;
  #requests: { readonly to: number; readonly request: ChunkRequest }[] = [];
  readonly #bulk: BulkRate;
  #ticks = 0;

  /** `failed`: the transfer to a member ended without success. */
  constructor(
    io: CheckpointIo,
    parts: {
      readonly send: (to: number, message: PeerMessage) => void;
      readonly failed: (to: number) => void;
      readonly bulk: BulkRate;
    },
  ) {
    this.#io = io;
    this.#send = parts.send;
    this.#failed = parts.failed;
    this.#bulk = parts.bulk;
  }

  begin(message: InstallSnapshot): void {
    const transfer = { message, offeredAt: this.#ticks, heardAt: this.#ticks };
    this.#transfers.set(message.to, transfer);
    this.#offer(message.to, transfer);
  }

  /** Whether a receiver fetches the checkpoint of this index. */
  uses(index: number): boolean {
    for (const { message, heardAt } of this.#transfers.values()) {
      if (message.snapshot.index !== index) continue;
      if (this.#ticks - heardAt < SNAPSHOT_SILENT_TICKS) return true;
    }
    return false;
  }

  requested(to: number, request: ChunkRequest): void {
    const transfer = this.#transfers.get(to);
    if (transfer !== undefined) transfer.heardAt = this.#ticks;
    if (this.#requests.length < SNAPSHOT_REQUESTS_MAX) this.#requests.push({ to, request });
  }

  /** A member cannot read its checkpoint of this index: equal members have equal ones. */
  asked(to: number, index: number, term: number): void {
    const source = this.#open(index);
    if (source === undefined) {
      this.#send(to, { kind: 'snapshotFailed', index });
      return;
    }
    const { members, term: ofIndex } = source.manifest;
    const snapshot = { index, term: ofIndex, members };
    this.#send(to, { kind: 'snapshotOffer', term, snapshot, manifest: source.manifestBytes });
  }

  /** The receiver gave up. */
  gaveUp(to: number, index: number): void {
    if (this.#transfers.get(to)?.message.snapshot.index !== index) return;
    this.#transfers.delete(to);
    this.#failed(to);
  }

  /** Ends transfers for which nobody waits any more. `waiting`: by member, the index it was sent. */
  retain(waiting: ReadonlyMap<number, number>): void {
    for (const [to, { message }] of this.#transfers) {
      if (waiting.get(to) !== message.snapshot.index) this.#transfers.delete(to);
    }
    if (this.#transfers.size > 0 || this.#requests.length > 0) return;
    this.#source?.close();
    this.#source = undefined;
  }

  tick(): void {
    this.#ticks++;
    for (const [to, transfer] of this.#transfers) {
      const last = Math.max(transfer.offeredAt, transfer.heardAt);
      if (this.#ticks - last < SNAPSHOT_OFFER_TICKS) continue;
      transfer.offeredAt = this.#ticks;
      this.#offer(to, transfer);
    }
  }

  /** Answers a chunk; true = there are more requests that may be answered now. */
  pump(): boolean {
    const next = this.#bulk.hasBudget ? this.#requests.shift() : undefined;
    if (next === undefined) return false;
    const { index, sha256 } = next.request;
    const bytes = this.#read(index, sha256);
    this.#bulk.spend(bytes?.length ?? 0);
    this.#send(next.to, { kind: 'chunk', index, sha256, bytes });
    return this.#requests.length > 0 && this.#bulk.hasBudget;
  }

  close(): void {
    this.#source?.close();
  }

  #offer(to: number, { message }: Transfer): void {
    const { term, snapshot } = message;
    const source = this.#open(snapshot.index);
    if (source === undefined) this.gaveUp(to, snapshot.index);
    else this.#send(to, { kind: 'snapshotOffer', term, snapshot, manifest: source.manifestBytes });
  }

  #read(index: number, sha256: Uint8Array): Uint8Array | undefined {
    try {
      return this.#open(index)?.read(sha256);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#io.log.error('checkpoint cannot be sent', { index, error });
      return undefined;
    }
  }

  /** Undefined when the checkpoint is gone or damaged. */
  #open(index: number): ChunkSource | undefined {
    const name = checkpointName(index);
    if (this.#source?.name === name) return this.#source;
    if (!this.#io.disk.list().includes(name)) return undefined;
    this.#source?.close();
    this.#source = undefined;
    try {
      this.#source = new ChunkSource(this.#io, name);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#io.log.error('checkpoint cannot be offered', { index, error });
    }
    return this.#source;
  }
}

/** Requests that wait for the next tick's share; receivers ask again for what was dropped. */
const SNAPSHOT_REQUESTS_MAX = 1024;
