/**
 * Sends a client's writes so that each is executed once, however often it is sent: it opens a session
 * of the store (engine/sessions.ts) and numbers the writes in it. A write whose answer was lost is
 * sent again under its number. Whoever cannot be told what became of a write that may have been
 * executed gets OUTCOME_UNKNOWN; any other error means that it was not.
 */
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { COMMAND, beginCommand } from '../codec/command.ts';
import type { Origin } from '../codec/command.ts';
import { REQUEST } from '../codec/frame.ts';
import { readError } from '../codec/reply.ts';
import {
  ANSWER_ERROR,
  ANSWER_NOT_KNOWN,
  ANSWER_NOT_TAKEN,
  ANSWER_NO_SESSION,
} from '../engine/state-machine.ts';
import { OUTCOME_MS_MAX, SESSION_WINDOW } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Calls } from './calls.ts';

export interface Write {
  /** Writes the whole command. */
  readonly write: (out: ByteWriter, origin: Origin) => void;
  /** Takes the body of a good answer. */
  readonly done: (body: ByteReader) => void;
  readonly failed: (error: unknown) => void;
}

/** A write under its number. */
interface Numbered {
  readonly write: Write;
  readonly origin: Origin;
  /** Times that it was sent; once more when nobody knows what came of the last. */
  attempts: number;
  /** It is asked for again, until OUTCOME_MS_MAX are over. */
  isInDoubt: boolean;
}

/** Waits before a write in doubt is sent again: doubling from the one to the other. */
const RETRY_MS_MIN = 40;
const RETRY_MS_MAX = 1280;

export class WriteSession {
  readonly #calls: Calls;
  /** Id of the open session, 0 before it is open. */
  #id = 0;
  #isOpening = false;
  #nextSequence = 1;
  /** In the order of their numbers; those in doubt may be of an earlier session. */
  readonly #unanswered = new Set<Numbered>();
  /** Not numbered yet: the session is not open, or its window is full. */
  #queue: Write[] = [];
  #queueRead = 0;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  send(write: Write): void {
    if (this.#id !== 0 && this.#queue.length === 0 && this.#hasRoom()) {
      this.#number(write);
      return;
    }
    this.#queue.push(write);
    if (this.#id === 0) this.#open();
  }

  /** Nothing will be answered any more. */
  end(reason: StoreError): void {
    for (const write of this.#takeQueue()) write.failed(reason);
    for (const numbered of this.#unanswered) this.#failed(numbered, reason);
  }

  #open(): void {
    if (this.#isOpening) return;
    this.#isOpening = true;
    const failed = (error: unknown) => {
      this.#isOpening = false;
      for (const write of this.#takeQueue()) write.failed(error);
    };
    const answered = (body: ByteReader) => {
      const answer = body.u8();
      if (answer === ANSWER_ERROR || answer === ANSWER_NOT_TAKEN) {
        failed(readError(body));
      } else if (answer === ANSWER_NOT_KNOWN) {
        failed(new StoreError('UNAVAILABLE', 'leader changed while a session was opened'));
      } else {
        this.#id = body.varint();
        this.#isOpening = false;
        this.#nextSequence = 1;
        this.#sendQueued();
      }
    };
    const write = (out: ByteWriter) => beginCommand(out, COMMAND.openSession);
    try {
      this.#calls.send({ kind: REQUEST.propose, write, answered, failed });
    } catch (error) {
      failed(error);
    }
  }

  #takeQueue(): Write[] {
    const queued = this.#queue.slice(this.#queueRead);
    this.#queue = [];
    this.#queueRead = 0;
    return queued;
  }

  /** The oldest unanswered write must not fall out of what the store remembers. */
  #hasRoom(): boolean {
    for (const { origin } of this.#unanswered) {
      if (origin.session !== this.#id) continue;
      return this.#nextSequence - origin.sequence < SESSION_WINDOW;
    }
    return true;
  }

  #sendQueued(): void {
    while (this.#id !== 0 && this.#queueRead < this.#queue.length && this.#hasRoom()) {
      this.#number(this.#queue[this.#queueRead++] as Write); // Below length.
    }
    if (this.#queueRead < this.#queue.length) return;
    this.#queue = [];
    this.#queueRead = 0;
  }

  #number(write: Write): void {
    const origin = { session: this.#id, sequence: this.#nextSequence++ };
    const numbered = { write, origin, attempts: 0, isInDoubt: false };
    this.#unanswered.add(numbered);
    this.#transmit(numbered);
  }

  #transmit(numbered: Numbered): void {
    const { write, origin } = numbered;
    try {
      this.#calls.send({
        kind: REQUEST.propose,
        write: (out) => {
          write.write(out, origin);
          numbered.attempts++;
        },
        answered: (body) => this.#answered(numbered, body),
        failed: (error) => this.#failed(numbered, error),
      });
    } catch (error) {
      this.#failed(numbered, error);
    }
  }

  #answered(numbered: Numbered, body: ByteReader): void {
    if (!this.#unanswered.has(numbered)) return; // Given up meanwhile.
    const { write } = numbered;
    const answer = body.u8();
    if (answer === ANSWER_NOT_KNOWN) {
      this.#retry(numbered);
    } else if (answer === ANSWER_NO_SESSION) {
      this.#sessionEnded(numbered);
    } else if (answer === ANSWER_NOT_TAKEN && numbered.attempts > 1) {
      this.#retry(numbered); // The first attempt may have been taken where this one was not.
    } else if (answer === ANSWER_ERROR || answer === ANSWER_NOT_TAKEN) {
      this.#settle(numbered, () => write.failed(readError(body)));
    } else {
      this.#settle(numbered, () => write.done(body));
    }
  }

  #settle(numbered: Numbered, tell: () => void): void {
    tell(); // What does not decode leaves it unanswered.
    this.#unanswered.delete(numbered);
    if (this.#queue.length > 0) this.#sendQueued();
  }

  #failed(numbered: Numbered, error: unknown): void {
    const { write, attempts } = numbered;
    this.#settle(numbered, () => write.failed(attempts === 0 ? error : unknown(error)));
  }

  /** Sends it again after a while. */
  #retry(numbered: Numbered): void {
    const { timers } = this.#calls;
    if (!numbered.isInDoubt) {
      numbered.isInDoubt = true;
      timers.later(OUTCOME_MS_MAX, () => {
        if (!this.#unanswered.has(numbered)) return;
        this.#failed(numbered, new StoreError('UNAVAILABLE', 'no leader knows the write'));
      });
    }
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (numbered.attempts - 1));
    timers.later(delayMs, () => {
      if (this.#unanswered.has(numbered)) this.#transmit(numbered);
    });
  }

  /** The store forgot the session: what was sent once was not executed, and goes into a new one. */
  #sessionEnded(numbered: Numbered): void {
    const { write, origin, attempts } = numbered;
    if (this.#id === origin.session) this.#id = 0;
    const lost = new StoreError('UNAVAILABLE', `session ${origin.session} has ended`);
    if (attempts > 1) this.#failed(numbered, lost);
    else this.#settle(numbered, () => this.send(write));
  }
}

function unknown(cause: unknown): StoreError {
  return new StoreError('OUTCOME_UNKNOWN', 'outcome of a write is not known', { cause });
}
