/**
 * Sessions of clients as replicated state: which of a client's commands were executed, and with what
 * result, so that one sent twice is executed once (reference/store.md section 8, rule 6). A client
 * numbers its commands; a session remembers those within SESSION_WINDOW of the highest, holes
 * allowed. Sessions end by log index and by count, never by time, so that members agree; a session's
 * id is the log index that opened it.
 */
import { assert } from '#base/assert.ts';
import { SESSIONS_MAX, SESSION_IDLE_ENTRIES, SESSION_WINDOW } from '../limits.ts';
import { HashMixer, HashSum } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';

/** What is remembered of an executed command. */
export interface Executed {
  /** One of OUTCOME, or OUTCOME.error + the error's wire number. */
  readonly outcome: number;
  /** Revision of the answer; a granted lease's id; the compact revision of COMPACTED. */
  readonly revision: number;
}

/** Of transactions: which branch ran, and whether it wrote. 0 stands for a hole. */
export const OUTCOME = {
  done: 1,
  succeeded: 2,
  succeededWriting: 3,
  failed: 4,
  failedWriting: 5,
  error: 16,
} as const;

export interface Session {
  readonly id: number;
  /** Log index of the last command executed, or of the opening. */
  readonly lastIndex: number;
  /** Highest sequence number executed, 0 before the first. */
  readonly highest: number;
}

export interface SessionCopy extends Session {
  /** By sequence number modulo the window; a slot belongs to the one that is in the window. */
  readonly outcomes: Uint8Array;
  readonly revisions: Float64Array;
}

interface Kept extends SessionCopy {
  lastIndex: number;
  highest: number;
}

/** Sequence numbers that a session remembers, ascending. */
export function* remembered(session: SessionCopy): Generator<number> {
  const first = Math.max(1, session.highest - SESSION_WINDOW + 1);
  for (let sequence = first; sequence <= session.highest; sequence++) {
    if (session.outcomes[sequence % SESSION_WINDOW] !== 0) yield sequence;
  }
}

/** Of a number that is remembered. */
export function executedOf(session: SessionCopy, sequence: number): Executed {
  const slot = sequence % SESSION_WINDOW;
  const outcome = session.outcomes[slot] as number; // Below the window.
  return { outcome, revision: session.revisions[slot] as number }; // Same.
}

/** Kinds of parts, for the mixer. */
const SESSION_PART = 4;
const EXECUTED_PART = 5;

export class Sessions {
  readonly #sessions = new Map<number, Kept>();
  readonly #hash = new HashSum();
  readonly #mixer = new HashMixer();

  get size(): number {
    return this.#sessions.size;
  }

  get hash(): Lanes {
    return this.#hash;
  }

  /** By id, which does not depend on who opened or used which when. */
  all(): Session[] {
    return [...this.#sessions.values()].sort((a, b) => a.id - b.id);
  }

  /** Opens a session at log index `id`. The one that was unused for longest makes room. */
  open(id: number): void {
    for (const session of this.#sessions.values()) {
      if (id - session.lastIndex > SESSION_IDLE_ENTRIES) this.#remove(session);
    }
    if (this.#sessions.size >= SESSIONS_MAX) {
      const [first, ...others] = this.#sessions.values();
      assert(first !== undefined, 'a full table has a first session');
      this.#remove(others.reduce((a, b) => (b.lastIndex < a.lastIndex ? b : a), first));
    }
    this.#add({ id, lastIndex: id, highest: 0 });
  }

  /**
   * What is known of a command that stands at log index `index`: 'expired' when its session is not,
   * 'stale' when it fell out of the window, 'new' when it is to be executed.
   */
  find(id: number, sequence: number, index: number): Executed | 'new' | 'stale' | 'expired' {
    const session = this.#sessions.get(id);
    if (session === undefined || index - session.lastIndex > SESSION_IDLE_ENTRIES) return 'expired';
    if (sequence > session.highest) return 'new';
    if (sequence <= session.highest - SESSION_WINDOW) return 'stale';
    const slot = sequence % SESSION_WINDOW;
    const outcome = session.outcomes[slot] as number; // Below the window.
    if (outcome === 0) return 'new';
    return { outcome, revision: session.revisions[slot] as number }; // Same.
  }

  /** Remembers the result of a command that `find` called new. */
  executed(id: number, sequence: number, result: Executed & { readonly index: number }): void {
    const session = this.#sessions.get(id);
    assert(session !== undefined, `session ${id} of an executed command exists`);
    this.#hash.subtract(this.#sessionPart(session));
    if (sequence > session.highest) this.#move(session, sequence);
    session.lastIndex = result.index;
    this.#hash.add(this.#sessionPart(session));
    const slot = sequence % SESSION_WINDOW;
    session.outcomes[slot] = result.outcome;
    session.revisions[slot] = result.revision;
    this.#hash.add(this.#executedPart(session, sequence));
  }

  /** All as they are now, by id: some megabytes at most, copied in no time and read later. */
  copies(): SessionCopy[] {
    return [...this.#sessions.values()]
      .sort((a, b) => a.id - b.id)
      .map((kept) => ({
        ...kept,
        outcomes: kept.outcomes.slice(),
        revisions: kept.revisions.slice(),
      }));
  }

  /** Takes a session from a checkpoint; its commands follow. False when it cannot be one. */
  restore(session: Session): boolean {
    if (this.#sessions.has(session.id) || this.#sessions.size >= SESSIONS_MAX) return false;
    this.#add(session);
    return true;
  }

  /** False when the command is not in the window of the session. */
  restoreExecuted(id: number, sequence: number, executed: Executed): boolean {
    const session = this.#sessions.get(id);
    if (session === undefined || executed.outcome === 0) return false;
    if (sequence > session.highest || sequence <= session.highest - SESSION_WINDOW) return false;
    const slot = sequence % SESSION_WINDOW;
    if (session.outcomes[slot] !== 0) return false;
    session.outcomes[slot] = executed.outcome;
    session.revisions[slot] = executed.revision;
    this.#hash.add(this.#executedPart(session, sequence));
    return true;
  }

  /** Ends all sessions: their clients are those of another group. */
  clear(): void {
    for (const session of this.#sessions.values()) this.#remove(session);
  }

  /** Moves the window up to `highest`; what leaves it is forgotten. */
  #move(session: Kept, highest: number): void {
    const last = session.highest - SESSION_WINDOW;
    const gone = Math.min(highest - SESSION_WINDOW, session.highest);
    for (let sequence = Math.max(1, last + 1); sequence <= gone; sequence++) {
      this.#forget(session, sequence);
    }
    session.highest = highest;
  }

  #forget(session: Kept, sequence: number): void {
    const slot = sequence % SESSION_WINDOW;
    if (session.outcomes[slot] === 0) return;
    this.#hash.subtract(this.#executedPart(session, sequence));
    session.outcomes[slot] = 0;
    session.revisions[slot] = 0;
  }

  #add(session: Session): void {
    assert(!this.#sessions.has(session.id), `session ${session.id} is new`);
    const outcomes = new Uint8Array(SESSION_WINDOW);
    const kept = { ...session, outcomes, revisions: new Float64Array(SESSION_WINDOW) };
    this.#sessions.set(session.id, kept);
    this.#hash.add(this.#sessionPart(kept));
  }

  #remove(session: Kept): void {
    for (const sequence of remembered(session)) this.#forget(session, sequence);
    this.#hash.subtract(this.#sessionPart(session));
    this.#sessions.delete(session.id);
  }

  #sessionPart({ id, lastIndex, highest }: Session): Lanes {
    return this.#mixer.begin(SESSION_PART).number(id).number(lastIndex).number(highest);
  }

  #executedPart(session: Kept, sequence: number): Lanes {
    const slot = sequence % SESSION_WINDOW;
    return this.#mixer
      .begin(EXECUTED_PART)
      .number(session.id)
      .number(sequence)
      .u32(session.outcomes[slot] as number) // Below the window.
      .number(session.revisions[slot] as number); // Same.
  }
}
