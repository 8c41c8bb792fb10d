/**
 * What must be true of a group of stores, looked at after every event on the member that it touched, and
 * what its clients and watchers may have seen.
 *
 *   the log's own invariants (log-oracle.ts)
 *   members that applied the same index have the same state, by its hash
 *   a checkpoint that counts holds that state, also where the member's memory is damaged
 *   what a client was told is what the group's one history of revisions says (client-history.ts)
 *   watchers hear each revision, once, in order, whole
 *   keys of a lease do not go before its time, and go after it
 */
import { assert } from '#base/assert.ts';
import { parseCheckpointName } from '#control/store/checkpoint/format.ts';
import { loadManifest } from '#control/store/checkpoint/read.ts';
import { latin1Text } from '#control/store/codec/bytes.ts';
import type { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { isSameHash } from '#control/store/mvcc/state-hash.ts';
import type { Lanes } from '#control/store/mvcc/state-hash.ts';
import { sha256 } from '#control/store/native-digests.ts';
import { StoreError } from '#control/store/port.ts';
import type { KeyRange, WatchEvent } from '#control/store/port.ts';
import { ClientHistory } from './client-history.ts';
import { LogOracle } from './log-oracle.ts';
import type { SimMember } from './member.ts';
import { Revisions, isIn } from './revisions.ts';

interface Looked {
  readonly life: number;
  readonly names: Set<string>;
  /** Of the disk's names, at that time. */
  changes: number;
}

type Mvcc = NonNullable<SimMember['engine']>['state']['mvcc'];

export class Oracle {
  readonly log = new LogOracle();
  readonly #revisions = new Revisions();
  readonly clients = new ClientHistory(this.#revisions);
  /** Hash of the state behind each log index. */
  readonly #hashes: Lanes[] = [];
  /** Applied index and life at the last look, by member. */
  readonly #seen = new Map<SimMember, { life: number; index: number }>();
  /** Highest revision that was compacted anywhere. */
  #compactRevision = 0;
  /** Members whose memory was damaged: their state proves nothing. */
  readonly suspects = new Set<SimMember>();
  /** Keys with a lease, and when each may go at the earliest. */
  readonly leases = new Map<string, number>();
  readonly #gone = new Set<string>();
  /** Checkpoints that were looked at, by process. */
  readonly #checkpoints = new Map<SimMember, Looked>();
  /** Snapshots that members installed while they ran. */
  installed = 0;

  get revision(): number {
    return this.#revisions.last;
  }

  observe(member: SimMember, nowMs: number): void {
    if (member.engine === undefined) return;
    this.log.observe(member);
    if (!this.suspects.has(member)) this.#observeState(member, nowMs);
    this.#observeCheckpoints(member);
  }

  /** Each once in the life of a process; what cannot be read is the disk's fault. */
  #observeCheckpoints(member: SimMember): void {
    const { disk, life } = member;
    let seen = this.#checkpoints.get(member);
    if (seen?.life !== life) {
      seen = { life, names: new Set(), changes: -1 };
      this.#checkpoints.set(member, seen);
    }
    if (seen.changes === disk.nameChangeCount) return;
    seen.changes = disk.nameChangeCount;
    for (const name of disk.list()) {
      const index = parseCheckpointName(name);
      if (index === undefined || seen.names.has(name)) continue;
      seen.names.add(name);
      const hash = hashOf(disk, name);
      const known = this.#hashes[index];
      if (hash === undefined) continue;
      assert(known !== undefined, `member ${member.id}: state in ${name} is known`);
      assert(isSameHash(known, hash), `member ${member.id}: ${name} holds the state of the group`);
    }
  }

  #observeState(member: SimMember, nowMs: number): void {
    const { state } = member.engine as NonNullable<SimMember['engine']>; // Checked above.
    const seen = this.#seen.get(member);
    const isOn = seen?.life === member.life;
    if (isOn && seen.index === state.appliedIndex) return;
    const from = isOn ? seen.index + 1 : 1;
    assert(state.appliedIndex >= from - 1, `member ${member.id}: applied index never falls`);
    this.#seen.set(member, { life: member.life, index: state.appliedIndex });
    for (let index = state.appliedIndex; index >= from; index--) {
      const hash = state.hashes.at(index);
      if (hash === undefined) {
        if (isOn) this.installed++;
        break; // Came with a checkpoint.
      }
      const known = (this.#hashes[index] ??= hash);
      assert(isSameHash(known, hash), `member ${member.id}: state at entry ${index} is equal`);
    }
    this.#observeRevisions(state.mvcc, nowMs);
  }

  /** Whether a member's state is what others have at its index. */
  isAsKnown({ engine }: SimMember): boolean {
    const index = engine?.state.appliedIndex ?? 0;
    const hash = engine?.state.hashes.at(index);
    const known = this.#hashes[index];
    return hash !== undefined && known?.a === hash.a && known.b === hash.b;
  }

  #observeRevisions(mvcc: Mvcc, nowMs: number): void {
    this.#compactRevision = Math.max(this.#compactRevision, mvcc.compactRevision);
    const { history, records } = mvcc;
    for (let at = history.seek(this.revision + 1, records.mod); at < history.end; at++) {
      const record = history.at(at);
      const revision = records.mod[record] as number; // Kept.
      const key = textOf(mvcc.key(record));
      const isDelete = records.version[record] === 0;
      this.#revisions.add(revision, key, isDelete ? undefined : textOf(mvcc.value(record)));
      if (isDelete) this.#checkLease(key, nowMs);
    }
    this.#revisions.extendTo(mvcc.revision);
  }

  /** Every key whose lease nobody holds any more is gone. */
  get areLeasesOver(): boolean {
    return [...this.leases.keys()].every(
      (key) => this.#gone.has(key) || this.#revisions.versionAt(key, this.revision).version === 0,
    );
  }

  #checkLease(key: string, nowMs: number): void {
    this.#gone.add(key);
    const earliestMs = this.leases.get(key) ?? 0;
    assert(nowMs >= earliestMs, `${key} goes at ${nowMs} ms, not before ${earliestMs}`);
  }

  /** The last revision that changed something in the range. */
  lastRevisionIn(range: KeyRange): number {
    return this.#revisions.lastIn(range);
  }

  /** A watch says nothing of these revisions: they changed nothing in its range. */
  checkQuiet(range: KeyRange, { from, to }: { from: number; to: number }): void {
    assert(to >= from - 1, `a watch at ${from - 1} does not go back to ${to}`);
    for (let revision = from; revision <= to; revision++) {
      const change = this.#revisions.at(revision);
      const isMissed = change !== undefined && [...change.keys()].some((key) => isIn(range, key));
      assert(!isMissed, `a watch misses revision ${revision}`);
    }
  }

  /** A watch of the range says this of a revision. */
  checkEvents(
    range: KeyRange,
    { revision, events }: { revision: number; events: readonly WatchEvent[] },
  ): void {
    const change = [...(this.#revisions.at(revision) ?? [])].filter(([key]) => isIn(range, key));
    const keys = events.map(({ kv }) => kv.key);
    const isWhole = change.length === keys.length && new Set(keys).size === keys.length;
    assert(isWhole, `a watch gets all of revision ${revision}, once`);
    for (const { type, kv, prevKv } of events) {
      const of = `event of ${kv.key} at ${revision}`;
      assert(isIn(range, kv.key), `${of} is of the range`);
      assert(kv.modRevision === revision, `${of} has its revision`);
      const now = this.#revisions.versionAt(kv.key, revision);
      assert(now.mod === revision, `${of} happened`);
      assert((type === 'delete') === (now.version === 0), `${of} is what happened`);
      if (type === 'put') this.#revisions.check(kv, revision);
      const isForgotten = prevKv === undefined && revision <= this.#compactRevision;
      const before = this.#revisions.versionAt(kv.key, revision - 1);
      assert(isForgotten || (prevKv !== undefined) === before.version > 0, `${of} knows what was`);
      if (prevKv !== undefined) this.#revisions.check(prevKv, revision - 1);
    }
  }

  /** At the end: what a member holds is the state that all the revisions lead to. */
  checkFinal(member: SimMember): void {
    const { mvcc } = (member.engine as NonNullable<SimMember['engine']>).state; // It is up.
    const everything = { key: '\0', rangeEnd: '\0' };
    const keys = this.#revisions.keysAt(everything, this.revision);
    const found: string[] = [];
    const range = { start: new Uint8Array(1), end: new Uint8Array(0) };
    mvcc.scan(range, { revision: mvcc.revision, limit: 0 }, (record) => {
      const key = textOf(mvcc.key(record));
      found.push(key);
      const { value } = this.#revisions.versionAt(key, this.revision);
      assert(textOf(mvcc.value(record)) === value, `member ${member.id} holds ${key}`);
    });
    assert(found.join() === keys.join(), `member ${member.id} holds all keys`);
  }
}

/** Of the state in a checkpoint; undefined when it is damaged. */
function hashOf(disk: MemoryDisk, name: string): Lanes | undefined {
  const file = disk.open(name);
  try {
    return loadManifest(file, name, sha256).hash;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return undefined;
  } finally {
    file.close();
  }
}

function textOf(bytes: Uint8Array): string {
  return latin1Text(bytes, 0, bytes.length);
}
