/**
 * Fetches a snapshot that the leader offers, into a file that is laid out like the checkpoint it will
 * become: manifest and trailer first, then the chunks at their places, in any order. Chunks that this
 * member holds, in its own checkpoint or in the file of an attempt before, are not asked for; so a
 * transfer goes on after a restart, and under another leader, whose checkpoint of that index is the
 * same. When all is there and durable, the state is loaded, which checks every hash.
 *
 *   no transfer -> local (reads what is there) -> fetching -> complete -> (installed) -> no transfer
 *
 * Only raft-consensus.ts makes the file count: by a restart of the log, then a rename.
 */
import type { SnapshotMeta } from '#control/raft/raft.ts';
import type { CheckpointIo } from '../checkpoint/checkpoints.ts';
import { ChunkSource, hashKey } from '../checkpoint/chunk-source.ts';
import { checkpointName, readManifest, writeTrailer } from '../checkpoint/format.ts';
import type { Manifest } from '../checkpoint/format.ts';
import { listCheckpoints, loadInSlices } from '../checkpoint/read.ts';
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { isNoSpace } from '../disk/disk.ts';
import type { DiskFile } from '../disk/disk.ts';
import { CHUNKS_IN_FLIGHT_MAX, SNAPSHOT_OFFER_TICKS, SNAPSHOT_SILENT_TICKS } from '../limits.ts';
import { compareBytes } from '../mvcc/byte-range.ts';
import { StoreError } from '../port.ts';
import type { BulkRate } from './bulk-rate.ts';
import type { Chunk, PeerMessage, SnapshotOffer } from './peers.ts';
import type { StateMachine, StateOptions } from './state-machine.ts';

/** A snapshot whose content is durable under `name`. */
export interface Received {
  readonly from: number;
  readonly term: number;
  readonly snapshot: SnapshotMeta;
  readonly name: string;
  readonly state: StateMachine;
}

const SYNC_BYTES = 1024 * 1024;

export function partName(index: number): string {
  return `snapshot-${index.toString(16).padStart(16, '0')}.part`;
}

/** Names of files of transfers that did not end. */
export function listParts(io: Pick<CheckpointIo, 'disk'>): readonly string[] {
  return io.disk.list().filter(isPartName);
}

export function isPartName(name: string): boolean {
  return /^snapshot-[0-9a-f]{16}\.part$/.test(name);
}

interface Transfer {
  /** Whoever offered it last. */
  from: number;
  offer: SnapshotOffer;
  readonly manifest: Manifest;
  readonly name: string;
  readonly file: DiskFile;
  /** Of the chunks that are not there yet: hash and all its places. */
  readonly missing: Map<
    string,
    { readonly sha256: Uint8Array; readonly length: number; readonly places: number[] }
  >;
  /** Not yet looked for on this disk. */
  readonly unsearched: string[];
  readonly sources: ChunkSource[];
  /** Not yet asked for. */
  readonly unasked: string[];
  readonly asked: Set<string>;
  unsyncedBytes: number;
  heardAt: number;
  askedAt: number;
}

interface Loading {
  readonly from: number;
  readonly index: number;
  readonly offer: SnapshotOffer;
  readonly name: string;
  readonly slices: ReturnType<typeof loadInSlices>;
}

export class SnapshotReceiver {
  readonly #io: CheckpointIo;
  readonly #groupId: number;
  readonly #options: StateOptions;
  readonly #send: (to: number, message: PeerMessage) => void;
  #transfer: Transfer | undefined;
  readonly #bulk: BulkRate;
  /** Of a snapshot whose content is all there. */
  #loading: Loading | undefined;
  #ticks = 0;

  constructor(
    io: CheckpointIo,
    parts: {
      readonly groupId: number;
      readonly options: StateOptions;
      readonly bulk: BulkRate;
      readonly send: (to: number, message: PeerMessage) => void;
    },
  ) {
    this.#io = io;
    this.#groupId = parts.groupId;
    this.#options = parts.options;
    this.#send = parts.send;
    this.#bulk = parts.bulk;
  }

  offered(from: number, offer: SnapshotOffer): void {
    const { index } = offer.snapshot;
    if (this.#loading !== undefined) {
      if (offer.term < this.#loading.offer.term) return;
      // Whoever leads now waits for it.
      if (this.#loading.index === index) this.#loading = { ...this.#loading, from, offer };
      return;
    }
    const running = this.#transfer;
    if (running !== undefined) {
      // An older leader's offer, late.
      if (offer.term < running.offer.term) return;
      if (running.offer.snapshot.index === index) {
        running.from = from;
        running.offer = offer;
        return;
      }
      this.#stop();
    }
    this.#guard({ from, index }, () => this.#begin(from, offer));
  }

  received({ sha256, bytes, index }: Chunk): void {
    const transfer = this.#transfer;
    if (transfer === undefined || transfer.offer.snapshot.index !== index) return;
    const key = hashKey(sha256);
    const chunk = transfer.missing.get(key);
    if (chunk === undefined) return; // Came twice.
    transfer.heardAt = this.#ticks;
    transfer.asked.delete(key);
    const isGood = bytes !== undefined && compareBytes(this.#io.sha256(bytes), sha256) === 0;
    if (!isGood) {
      // The sender has it no more; what is here may serve the next transfer.
      const { from } = transfer;
      this.#stop();
      this.#send(from, { kind: 'snapshotFailed', index });
      return;
    }
    this.#guard({ from: transfer.from, index }, () => this.#put(transfer, key, bytes));
  }

  tick(): void {
    this.#ticks++;
    const transfer = this.#transfer;
    if (transfer === undefined) return;
    if (this.#ticks - transfer.heardAt >= SNAPSHOT_SILENT_TICKS) {
      this.#stop(); // What is there stays for the next offer.
    } else if (this.#ticks - transfer.askedAt >= SNAPSHOT_OFFER_TICKS) {
      transfer.unasked.push(...transfer.asked);
      transfer.asked.clear();
    }
  }

  /** Goes on; true = more to do at once. The snapshot, when it is complete. */
  pump(): boolean | Received {
    const loading = this.#loading;
    if (loading !== undefined) return this.#guard(loading, () => this.#loadOn(loading)) ?? false;
    const transfer = this.#transfer;
    if (transfer === undefined) return false;
    const { from, offer } = transfer;
    const { index } = offer.snapshot;
    const result = this.#guard({ from, index }, () => {
      if (transfer.unsearched.length > 0) return this.#search(transfer);
      if (transfer.missing.size === 0) return this.#complete(transfer);
      this.#ask(transfer);
      return false;
    });
    return result ?? false;
  }

  /** Removes the files of all transfers: a snapshot was installed. */
  clear(): void {
    this.#stop();
    for (const name of listParts(this.#io)) this.#io.disk.remove(name);
  }

  close(): void {
    this.#stop();
  }

  #begin(from: number, offer: SnapshotOffer): void {
    const { index, term } = offer.snapshot;
    const name = partName(index);
    const manifest = readManifest(new ByteReader(offer.manifest), name);
    if (manifest.groupId !== this.#groupId || manifest.index !== index || manifest.term !== term) {
      throw new StoreError('CORRUPT', `snapshot ${index} is offered as what it is not`);
    }
    const { disk } = this.#io;
    const sources = this.#sources(name);
    const file = disk.list().includes(name) ? disk.open(name) : disk.create(name);
    const missing: Transfer['missing'] = new Map();
    let at = 0;
    for (const { sha256, length } of manifest.chunks) {
      const chunk = missing.get(hashKey(sha256));
      if (chunk === undefined) missing.set(hashKey(sha256), { sha256, length, places: [at] });
      else chunk.places.push(at);
      at += length;
    }
    this.#transfer = {
      from,
      offer,
      manifest,
      name,
      file,
      missing,
      sources,
      unsearched: [...missing.keys()],
      unasked: [],
      asked: new Set(),
      unsyncedBytes: 0,
      heardAt: this.#ticks,
      askedAt: this.#ticks,
    };
    const out = new ByteWriter(offer.manifest.length + 64);
    out.raw(offer.manifest);
    const sha256 = this.#io.sha256(offer.manifest);
    const { format } = manifest;
    writeTrailer(out, { format, manifestBytes: offer.manifest.length, sha256 });
    file.truncate(at + out.length);
    file.write(out.view(), at);
  }

  /** The files of this disk that may hold chunks: earlier attempts, and the newest checkpoint. */
  #sources(own: string): ChunkSource[] {
    const newest = listCheckpoints(this.#io.disk)[0];
    const names = [own, ...listParts(this.#io).filter((name) => name !== own)];
    if (newest !== undefined) names.push(checkpointName(newest));
    const sources: ChunkSource[] = [];
    for (const name of names) {
      if (!this.#io.disk.list().includes(name)) continue;
      try {
        sources.push(new ChunkSource(this.#io, name));
      } catch (error) {
        if (!(error instanceof StoreError)) throw error; // Not far enough to be of use.
      }
    }
    return sources;
  }

  /** Looks for one chunk on this disk. */
  #search(transfer: Transfer): boolean {
    const key = transfer.unsearched.pop() ?? '';
    const chunk = transfer.missing.get(key);
    if (chunk === undefined) return true;
    for (const source of transfer.sources) {
      const bytes = source.read(chunk.sha256);
      if (bytes === undefined) continue;
      this.#put(transfer, key, bytes);
      return true;
    }
    transfer.unasked.push(key);
    return true;
  }

  #put(transfer: Transfer, key: string, bytes: Uint8Array): void {
    for (const at of transfer.missing.get(key)?.places ?? []) transfer.file.write(bytes, at);
    transfer.missing.delete(key);
    transfer.unsyncedBytes += bytes.length;
    if (transfer.unsyncedBytes < SYNC_BYTES) return;
    transfer.file.sync();
    transfer.unsyncedBytes = 0;
  }

  #ask(transfer: Transfer): void {
    const { index } = transfer.offer.snapshot;
    // What is asked for is written here when it comes.
    while (transfer.asked.size < CHUNKS_IN_FLIGHT_MAX && this.#bulk.hasBudget) {
      const key = transfer.unasked.pop();
      if (key === undefined) return;
      const chunk = transfer.missing.get(key);
      if (chunk === undefined) continue;
      transfer.asked.add(key);
      this.#bulk.spend(chunk.length);
      transfer.askedAt = this.#ticks;
      this.#send(transfer.from, { kind: 'chunkRequest', index, sha256: chunk.sha256 });
    }
  }

  #complete(transfer: Transfer): boolean {
    const { from, offer, name, file } = transfer;
    file.sync();
    this.#io.disk.syncDirectory();
    this.#stop();
    const { index } = offer.snapshot;
    const slices = loadInSlices(this.#io, name, this.#options);
    this.#loading = { from, index, offer, name, slices };
    return true;
  }

  /** A slice of what a large state takes to be put together. */
  #loadOn({ from, offer, name, slices }: Loading): boolean | Received {
    const step = slices.next();
    if (step.done !== true) return true;
    this.#loading = undefined;
    const { state } = step.value;
    return { from, term: offer.term, snapshot: offer.snapshot, name, state };
  }

  /** A full disk, or a snapshot that is none, ends the transfer and not the member. */
  #guard<T>(of: { from: number; index: number }, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      const isBad = error instanceof StoreError || error instanceof RangeError;
      if (!isBad && !isNoSpace(error)) throw error;
      this.#io.log.error('snapshot cannot be received', { ...of, error });
      this.#giveUp(of.from, of.index);
      return undefined;
    }
  }

  /** Nothing of it stays. */
  #giveUp(from: number, index: number): void {
    this.#stop();
    const name = partName(index);
    if (this.#io.disk.list().includes(name)) this.#io.disk.remove(name);
    this.#send(from, { kind: 'snapshotFailed', index });
  }

  #stop(): void {
    this.#loading?.slices.return(undefined as never); // Closes its file.
    this.#loading = undefined;
    this.#transfer?.file.close();
    for (const source of this.#transfer?.sources ?? []) source.close();
    this.#transfer = undefined;
  }
}
