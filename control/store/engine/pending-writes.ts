/**
 * Writes of this member's clients that stand in the log, or may: each waits for the entry at its index,
 * and is answered when that is applied here. What another leader's entry displaced, what a snapshot
 * jumped over, and what waits too long gets ANSWER_NOT_KNOWN: the client asks again under its number,
 * and the state knows whether it was executed.
 */
import { ByteWriter } from '../codec/bytes.ts';
import { writeError } from '../codec/reply.ts';
import { REQUEST_TICKS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Connection } from './connection.ts';
import type { Consensus } from './consensus.ts';
import type { Outcome } from './leader-calls.ts';
import { ANSWER_NOT_KNOWN, ANSWER_NOT_TAKEN } from './state-machine.ts';
import type { AppliedEntry, StateMachine } from './state-machine.ts';

/** A request of a client's. */
export interface Asked {
  readonly connection: Connection;
  readonly id: number;
  /** A command's answer is what the state machine says, that to a change of members this number. */
  readonly value: number | undefined;
}

interface Waiting extends Asked {
  readonly term: number;
  readonly askedAt: number;
}

export class PendingWrites {
  readonly #state: StateMachine;
  readonly #consensus: Consensus;
  /** By the log index at which they should appear; oldest first. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #scratch = new ByteWriter(4096);
  #ticks = 0;

  constructor(state: StateMachine, consensus: Consensus) {
    this.#state = state;
    this.#consensus = consensus;
  }

  /** The leader took it, or not. */
  proposed(asked: Asked, outcome: Outcome): void {
    if (outcome.result === 'taken') this.#taken({ ...asked, term: outcome.term }, outcome.index);
    else if (outcome.result === 'refused') {
      const { error } = outcome;
      asked.connection.frame(asked.id, (out) => {
        out.u8(ANSWER_NOT_TAKEN);
        writeError(out, error);
      });
    } else notKnown(asked);
  }

  /** Applies an entry, and answers who waits for it. */
  apply(entry: AppliedEntry): void {
    const waiting = this.#waiting.get(entry.index);
    this.#waiting.delete(entry.index);
    if (waiting?.term === entry.term && waiting.value === undefined) {
      waiting.connection.frame(waiting.id, (out) => this.#state.apply(entry, out));
      return;
    }
    this.#state.apply(entry, this.#scratch);
    this.#scratch.truncate(0);
    if (waiting === undefined) return;
    // Another leader's entry stands at the index: ours is lost, or will come back under another.
    if (waiting.term === entry.term) this.#answerValue(waiting);
    else notKnown(waiting);
  }

  /** The state jumped: what became of entries in between is known by their sessions alone. */
  installed(): void {
    for (const [index, waiting] of this.#waiting) {
      if (index > this.#state.appliedIndex) continue;
      this.#waiting.delete(index);
      notKnown(waiting);
    }
  }

  tick(): void {
    this.#ticks++;
    for (const [index, waiting] of this.#waiting) {
      if (this.#ticks - waiting.askedAt < REQUEST_TICKS_MAX) break;
      this.#waiting.delete(index);
      notKnown(waiting);
    }
  }

  #taken(asked: Asked & { readonly term: number }, index: number): void {
    const former = this.#waiting.get(index);
    // Of two terms, only one has the place in the end; who waited before asks again.
    if (former !== undefined) notKnown(former);
    this.#waiting.delete(index);
    if (index <= this.#state.appliedIndex) this.#alreadyApplied(asked, index);
    else this.#waiting.set(index, { ...asked, askedAt: this.#ticks });
  }

  /** The leader's word came after the entry itself: the state still knows what the answer was. */
  #alreadyApplied(asked: Asked & { readonly term: number }, index: number): void {
    const entry = this.#consensus.entry(index);
    if (entry === undefined || entry.term !== asked.term) notKnown(asked);
    else if (asked.value !== undefined) this.#answerValue(asked);
    else {
      asked.connection.frame(asked.id, (out) => {
        if (!this.#state.repeat(entry, out)) out.u8(ANSWER_NOT_KNOWN);
      });
    }
  }

  #answerValue({ connection, id, value = 0 }: Asked): void {
    answerValue(connection, id, { value, groupId: this.#consensus.groupId });
  }
}

/** The answer to a change of members: the member that it is about, and the group. */
export function answerValue(
  connection: Connection,
  id: number,
  answer: { readonly value: number; readonly groupId: number },
): void {
  connection.answer(id, (out) => {
    out.varint(answer.value);
    out.varint(answer.groupId);
  });
}

export function lostChange(): StoreError {
  return new StoreError('OUTCOME_UNKNOWN', 'leader changed meanwhile: ask again what came of it');
}

/** Nobody knows yet, or here, what became of it. */
function notKnown({ connection, id, value }: Asked): void {
  if (value === undefined) connection.frame(id, (out) => out.u8(ANSWER_NOT_KNOWN));
  else connection.refuse(id, lostChange());
}
