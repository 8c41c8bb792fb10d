/**
 * What must be true of a group of stores, looked at after every event on the member that it touched, and
 * what its clients may have seen. Invariants of the log itself are those of control/raft/simulation.
 *
 *   one leader in each term
 *   members that applied the same index have the same state, by its hash
 *   what a client was told is what the group's one history of revisions says
 *   operations take effect between their call and their answer: revisions of operations that do not
 *   overlap ascend. Each answer names its revision, so nothing is left to search for.
 */
import { assert } from '#base/assert.ts';
import { latin1Text } from '#control/store/codec/bytes.ts';
import { formatHash } from '#control/store/mvcc/state-hash.ts';
import type { KeyValue, WatchEvent } from '#control/store/port.ts';
import type { SimMember } from './member.ts';

/** What a revision did to a key; undefined = deleted it. */
type Change = ReadonlyMap<string, string | undefined>;

export interface ClientOperation {
  readonly client: number;
  readonly calledAt: number;
  readonly answeredAt: number;
  /** Of the answer: the own one of a write, the state's of a read. */
  readonly revision: number;
  /** A write that changed something: what. */
  readonly wrote?: Change;
  /** A read: what it found in a range of all keys, or of one. */
  readonly found?: { readonly kvs: readonly KeyValue[]; readonly key: string | undefined };
}

export class Oracle {
  readonly #leaders = new Map<number, number>();
  /** Hash of the state behind each log index. */
  readonly #hashes: string[] = [];
  /** What each revision changed: place = revision. */
  readonly #history: Change[] = [];
  /** Applied index and life at the last look, by member. */
  readonly #seen = new Map<SimMember, { life: number; index: number }>();
  readonly operations: ClientOperation[] = [];
  /** Members whose memory was damaged: their state proves nothing. */
  readonly suspects = new Set<SimMember>();
  /** Keys with a lease, and when each may go at the earliest. */
  readonly leases = new Map<string, number>();
  readonly #gone = new Set<string>();
  /** Snapshots that members installed while they ran. */
  installed = 0;

  get leaderChanges(): number {
    return this.#leaders.size;
  }

  get appliedIndex(): number {
    return this.#hashes.length - 1;
  }

  get revision(): number {
    return this.#history.length - 1;
  }

  /** Hash of everything that was applied, to compare whole runs. */
  get digest(): string {
    return this.#hashes.at(-1) ?? '';
  }

  observe(member: SimMember, nowMs: number): void {
    const { engine } = member;
    if (engine === undefined) return;
    const { raftTerm } = engine.status();
    if (engine.isLeader) {
      const known = this.#leaders.get(raftTerm);
      assert(known === undefined || known === member.id, `term ${raftTerm} has one leader`);
      this.#leaders.set(raftTerm, member.id);
    }
    if (!this.suspects.has(member)) this.#observeState(member, nowMs);
  }

  #observeState(member: SimMember, nowMs: number): void {
    const { state } = member.engine as NonNullable<SimMember['engine']>; // Checked above.
    const seen = this.#seen.get(member);
    const isOn = seen?.life === member.life;
    const from = isOn ? seen.index + 1 : 1;
    this.#seen.set(member, { life: member.life, index: state.appliedIndex });
    for (let index = state.appliedIndex; index >= from; index--) {
      const hash = state.hashes.at(index);
      if (hash === undefined) {
        if (isOn) this.installed++;
        break; // Came with a checkpoint.
      }
      const text = formatHash(hash);
      this.#hashes[index] ??= text;
      assert(this.#hashes[index] === text, `member ${member.id}: state at entry ${index} is equal`);
    }
    const { history, records, key, value } = lookAt(state.mvcc);
    for (let at = history.seek(this.#history.length, records.mod); at < history.end; at++) {
      const record = history.at(at);
      const revision = records.mod[record] as number; // Kept.
      const change = new Map(this.#history[revision]);
      const isDelete = records.version[record] === 0;
      change.set(key(record), isDelete ? undefined : value(record));
      if (isDelete) this.#checkLease(key(record), nowMs);
      this.#history[revision] = change;
    }
    // Revisions that changed nothing that is kept do not exist: each has its place.
    this.#history.length = Math.max(this.#history.length, state.mvcc.revision + 1);
  }

  /** Every key whose lease nobody holds any more is gone. */
  get areLeasesOver(): boolean {
    for (const key of this.leases.keys()) {
      if (!this.#gone.has(key) && this.#wasWritten(key)) return false;
    }
    return true;
  }

  #wasWritten(key: string): boolean {
    return this.#history.some((change) => change?.get(key) !== undefined);
  }

  #checkLease(key: string, nowMs: number): void {
    this.#gone.add(key);
    const earliestMs = this.leases.get(key) ?? 0;
    assert(nowMs >= earliestMs, `${key} goes at ${nowMs} ms, not before ${earliestMs}`);
  }

  /** A watch says nothing of these revisions: they changed nothing. */
  checkQuiet(from: number, to: number): void {
    for (let revision = from; revision <= to; revision++) {
      assert(this.#history[revision] === undefined, `a watch misses revision ${revision}`);
    }
  }

  /** A watch of all keys says this of a revision. */
  checkEvents(revision: number, events: readonly WatchEvent[]): void {
    const change = this.#history[revision];
    const seen = events.map(({ type, kv: { key, value, modRevision } }) => {
      assert(modRevision === revision, `event of ${key} at ${revision} has its revision`);
      return [key, type === 'put' ? latin1Text(value, 0, value.length) : undefined] as const;
    });
    assert(change?.size === seen.length, `a watch gets all of revision ${revision}, once`);
    for (const [key, value] of seen) {
      assert(change.get(key) === value, `a watch gets ${key} at ${revision} as it was written`);
    }
  }

  /** Compares all that clients were told with the history. */
  checkClients(): void {
    for (const operation of this.operations) this.#checkAgainstHistory(operation);
    this.#checkOnce();
    this.#checkOrder();
  }

  #checkAgainstHistory({ revision, wrote, found, client }: ClientOperation): void {
    for (const [key, value] of wrote ?? []) {
      const change = this.#history[revision];
      assert(change?.has(key) === true, `write of ${key} at ${revision} by ${client} is kept`);
      assert(change.get(key) === value, `write of ${key} at ${revision} is the one that was made`);
    }
    if (found === undefined) return;
    const state = this.#stateAt(revision);
    const expected = [...state].filter(([key]) => found.key === undefined || key === found.key);
    assert(found.kvs.length === expected.length, `read at ${revision} finds all keys`);
    for (const { key, value, modRevision } of found.kvs) {
      const text = latin1Text(value, 0, value.length);
      const known = state.get(key);
      assert(known?.value === text, `read of ${key} at ${revision} finds ${known?.value}: ${text}`);
      assert(known.mod === modRevision, `read of ${key} at ${revision} has its revision`);
    }
  }

  /** Values are unique: none may be written twice, told or not. */
  #checkOnce(): void {
    const seen = new Map<string, number>();
    for (const [revision, change] of this.#history.entries()) {
      for (const value of change?.values() ?? []) {
        if (value === undefined) continue;
        assert(!seen.has(value), `${value} is written at ${seen.get(value)} and at ${revision}`);
        seen.set(value, revision);
      }
    }
  }

  #checkOrder(): void {
    const byCall = this.operations.toSorted((a, b) => a.calledAt - b.calledAt);
    const byAnswer = this.operations.toSorted((a, b) => a.answeredAt - b.answeredAt);
    let done = 0;
    let highest = 0;
    for (const operation of byCall) {
      for (; (byAnswer[done]?.answeredAt ?? Infinity) < operation.calledAt; done++) {
        highest = Math.max(highest, byAnswer[done]?.revision ?? 0);
      }
      const { revision, wrote, client } = operation;
      const least = wrote === undefined ? highest : highest + 1;
      assert(revision >= least, `client ${client} sees ${revision} behind an answer at ${highest}`);
    }
  }

  readonly #states: Map<string, { value: string; mod: number }>[] = [new Map()];

  #stateAt(revision: number): ReadonlyMap<string, { value: string; mod: number }> {
    for (let at = this.#states.length; at <= revision; at++) {
      const state = new Map(this.#states[at - 1]);
      for (const [key, value] of this.#history[at] ?? []) {
        if (value === undefined) state.delete(key);
        else state.set(key, { value, mod: at });
      }
      this.#states.push(state);
    }
    return this.#states[revision] ?? new Map();
  }
}

function lookAt(mvcc: NonNullable<SimMember['engine']>['state']['mvcc']) {
  const text = (bytes: Uint8Array) => latin1Text(bytes, 0, bytes.length);
  const { history, records } = mvcc;
  const key = (record: number) => text(mvcc.key(record));
  return { history, records, key, value: (record: number) => text(mvcc.value(record)) };
}
