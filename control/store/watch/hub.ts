/**
 * The watches of one client. Every watch is a cursor into history and owns no queue: watches that
 * have seen everything share one cursor (`synced`), so each event is encoded once for all of them;
 * the others catch up a bounded number of events per turn and then join. When the client has not
 * taken in what was sent, nothing moves and history waits; a cursor that falls behind compaction
 * ends its watch with COMPACTED.
 * Invariant: every synced watch was sent all its events below `#next`, and no other.
 */
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { REPLY, beginFrame, endFrame } from '../codec/frame.ts';
import { readKeyRange } from '../codec/read-command.ts';
import { EVENT_DELETE, EVENT_HAS_PREVIOUS, writeError } from '../codec/reply.ts';
import { compacted } from '../engine/refusals.ts';
import { writeRecord } from '../engine/range.ts';
import { WATCHES_MAX } from '../limits.ts';
import type { WatchLimits } from '../limits.ts';
import { covers } from '../mvcc/byte-range.ts';
import type { ByteRange } from '../mvcc/byte-range.ts';
import type { Mvcc } from '../mvcc/mvcc.ts';
import { NONE } from '../mvcc/records.ts';
import { StoreError } from '../port.ts';
import { WatchMap } from './watch-map.ts';

interface HubWatch {
  readonly id: number;
  readonly range: ByteRange;
  readonly wantsPrevious: boolean;
  /** First revision to send; while synced the hub's shared cursor stands for it. */
  next: number;
  wantsProgress: boolean;
}

export class WatchHub {
  readonly #state: { readonly mvcc: Mvcc };
  readonly #out: ByteWriter;
  readonly #limits: WatchLimits;
  readonly #watches = new Map<number, HubWatch>();
  readonly #synced = new WatchMap<HubWatch>();
  /** Watches that still read history, in the order in which they take turns. */
  readonly #lagging = new Set<HubWatch>();
  /** Synced watches that asked for progress. */
  readonly #progress = new Set<HubWatch>();
  #next: number;
  #bytesInFlight = 0;

  constructor(state: { readonly mvcc: Mvcc }, out: ByteWriter, limits: WatchLimits) {
    this.#state = state;
    this.#out = out;
    this.#limits = limits;
    this.#next = state.mvcc.revision + 1;
  }

  /** Starts watch `id`: key range, start revision, u8 wants previous. */
  create(id: number, input: ByteReader): void {
    const { start, end } = readKeyRange(input);
    const startRevision = input.varint();
    const watch: HubWatch = {
      id,
      // Copies: the request's bytes are one message that would be kept as a whole.
      range: { start: start.slice(), end: end?.slice() },
      wantsPrevious: input.u8() === 1,
      next: startRevision === 0 ? this.#mvcc.revision + 1 : startRevision,
      wantsProgress: false,
    };
    if (this.#watches.size >= WATCHES_MAX) {
      this.#sendEnd(id, new StoreError('UNAVAILABLE', `client has ${WATCHES_MAX} watches already`));
      return;
    }
    this.#watches.set(id, watch);
    if (watch.next === this.#next) this.#synced.add(watch);
    else this.#lagging.add(watch);
  }

  /** A snapshot replaces the state at times: cursors are revisions and go on in the new one. */
  get #mvcc(): Mvcc {
    return this.#state.mvcc;
  }

  cancel(id: number): void {
    const watch = this.#watches.get(id);
    if (watch !== undefined) this.#forget(watch);
  }

  /** Asks for a progress frame behind everything up to now. */
  requestProgress(id: number): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    watch.wantsProgress = true;
    if (!this.#lagging.has(watch)) this.#progress.add(watch);
  }

  /** The client has taken in `bytes` of watch frames. */
  taken(bytes: number): void {
    this.#bytesInFlight -= bytes;
  }

  /** Sends what watches have not seen yet; true = there is more to send in a later turn. */
  pump(): boolean {
    if (this.#watches.size === 0) {
      this.#next = this.#mvcc.revision + 1;
      return false;
    }
    this.#pumpSynced();
    const more = this.#lagging.size > 0 && this.#pumpLagging();
    this.#pumpProgress();
    return more;
  }

  #pumpSynced(): void {
    const mvcc = this.#mvcc;
    if (this.#next > mvcc.revision) return;
    if (this.#synced.size === 0) {
      this.#next = mvcc.revision + 1;
      return;
    }
    const { history, records } = mvcc;
    if (this.#next < mvcc.compactRevision) this.#endCompacted([...this.#synced.all()], this.#next);
    let position = history.seek(this.#next, records.mod);
    while (position < history.end && !this.#full()) {
      const revision = modAt(mvcc, position);
      const stop = endOfRevision(mvcc, position, revision);
      this.#sendShared(revision, position, stop);
      position = stop;
      this.#next = revision + 1;
    }
    if (position === history.end) this.#next = mvcc.revision + 1;
  }

  /** One revision for all synced watches: each event once, then who gets which. */
  #sendShared(revision: number, from: number, to: number): void {
    const { history } = this.#mvcc;
    const wanted = new Map<HubWatch, number[]>();
    const events: { record: number; previous: boolean }[] = [];
    for (let position = from; position < to; position++) {
      const record = history.at(position);
      const watches = this.#synced.covering(this.#mvcc.key(record));
      if (watches.length === 0) continue;
      let previous = false;
      for (const watch of watches) {
        previous ||= watch.wantsPrevious;
        const numbers = wanted.get(watch);
        if (numbers === undefined) wanted.set(watch, [events.length]);
        else numbers.push(events.length);
      }
      events.push({ record, previous });
    }
    if (events.length > 0) this.#sendEvents(revision, events, wanted);
  }

  /** Lets lagging watches read on, in turns; true = not all of them are done. */
  #pumpLagging(): boolean {
    let budget = this.#limits.catchUpEvents;
    for (const watch of Array.from(this.#lagging)) {
      if (budget <= 0 || this.#full()) break;
      budget -= this.#catchUp(watch, budget);
      if (!this.#lagging.delete(watch)) continue; // Ended by compaction.
      if (watch.next < this.#next)
        this.#lagging.add(watch); // To the end of the line.
      else if (watch.next === this.#next) this.#join(watch);
      else this.#lagging.add(watch); // Starts in the future.
    }
    if (this.#full()) return false; // The client's next `watchTaken` wakes the hub.
    for (const watch of this.#lagging) if (watch.next < this.#next) return true;
    return false;
  }

  #join(watch: HubWatch): void {
    this.#synced.add(watch);
    if (watch.wantsProgress) this.#progress.add(watch);
  }

  /** Sends whole revisions to one watch and returns how many history entries it looked at. */
  #catchUp(watch: HubWatch, budget: number): number {
    const mvcc = this.#mvcc;
    if (watch.next < mvcc.compactRevision) {
      this.#endCompacted([watch], watch.next);
      return 1;
    }
    const { history, records } = mvcc;
    const first = history.seek(watch.next, records.mod);
    let position = first;
    while (position < history.end && position - first < budget && !this.#full()) {
      const revision = modAt(mvcc, position);
      if (revision >= this.#next) break;
      const stop = endOfRevision(mvcc, position, revision);
      const events: { record: number; previous: boolean }[] = [];
      for (; position < stop; position++) {
        const record = history.at(position);
        if (!covers(watch.range, mvcc.key(record))) continue;
        events.push({ record, previous: watch.wantsPrevious });
      }
      if (events.length > 0) this.#sendEvents(revision, events, new Map([[watch, []]]));
      watch.next = revision + 1;
    }
    const behind = position < history.end && modAt(mvcc, position) < this.#next;
    if (!behind && watch.next < this.#next) watch.next = this.#next;
    return position - first + 1;
  }

  #sendEvents(
    revision: number,
    events: readonly { record: number; previous: boolean }[],
    wanted: ReadonlyMap<HubWatch, readonly number[]>,
  ): void {
    const out = this.#out;
    const lengthAt = beginFrame(out, 0, REPLY.events);
    out.varint(revision);
    out.varint(events.length);
    for (const event of events) this.#writeEvent(event);
    out.varint(wanted.size);
    for (const [watch, numbers] of wanted) {
      out.varint(watch.id);
      out.u8(watch.wantsPrevious ? 1 : 0);
      // All of them is the common case and needs no list.
      const all = numbers.length === 0 || numbers.length === events.length;
      out.varint(all ? 0 : numbers.length);
      if (!all) for (const number of numbers) out.varint(number);
    }
    endFrame(out, lengthAt);
    this.#bytesInFlight += out.length - lengthAt - 4; // The body, as the client counts it.
  }

  #writeEvent(event: { record: number; previous: boolean }): void {
    const { record } = event;
    const mvcc = this.#mvcc;
    const previous = event.previous ? mvcc.previous(record) : NONE;
    const deletes = mvcc.records.version[record] === 0;
    const flags = (deletes ? EVENT_DELETE : 0) | (previous === NONE ? 0 : EVENT_HAS_PREVIOUS);
    this.#out.u8(flags);
    writeRecord(mvcc, record, false, this.#out);
    if (previous !== NONE) writeRecord(mvcc, previous, false, this.#out);
  }

  #pumpProgress(): void {
    if (this.#progress.size === 0 || this.#next <= this.#mvcc.revision) return;
    for (const watch of this.#progress) {
      const lengthAt = beginFrame(this.#out, watch.id, REPLY.progress);
      this.#out.varint(this.#mvcc.revision);
      endFrame(this.#out, lengthAt);
      watch.wantsProgress = false;
    }
    this.#progress.clear();
  }

  #endCompacted(watches: readonly HubWatch[], revision: number): void {
    for (const watch of watches) {
      this.#forget(watch);
      this.#sendEnd(watch.id, compacted(revision, this.#mvcc.compactRevision));
    }
  }

  #sendEnd(id: number, error: StoreError): void {
    const lengthAt = beginFrame(this.#out, id, REPLY.watchEnd);
    writeError(this.#out, error);
    endFrame(this.#out, lengthAt);
  }

  /** Ends all watches, for a reason that is not theirs. */
  endAll(reason: StoreError): void {
    for (const watch of this.#watches.values()) {
      this.#forget(watch);
      this.#sendEnd(watch.id, reason);
    }
  }

  #forget(watch: HubWatch): void {
    this.#watches.delete(watch.id);
    this.#synced.delete(watch);
    this.#lagging.delete(watch);
    this.#progress.delete(watch);
  }

  #full(): boolean {
    return this.#bytesInFlight >= this.#limits.inflightBytes;
  }
}

function endOfRevision(mvcc: Mvcc, position: number, revision: number): number {
  const { history, records } = mvcc;
  let stop = position + 1;
  while (stop < history.end && records.mod[history.at(stop)] === revision) stop++;
  return stop;
}

function modAt(mvcc: Mvcc, position: number): number {
  return mvcc.records.mod[mvcc.history.at(position)] as number; // Kept record.
}
