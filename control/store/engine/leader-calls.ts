/**
 * What this member's clients want of the leader: sent to it when it is another member, held while
 * nobody leads for a moment, given up after a time. A call that was sent and has no answer when leadership moves, or
 * when its connection breaks, is lost: it may have been taken or not. Keepalives harm nobody when asked
 * twice, but for them, too, the client decides.
 *
 *   held (no leader known) -> sent -> answered | lost
 *   held -> to be done here (this member leads) | refused (deadline)
 */
import { LEADERLESS_TICKS_MAX, LEADER_CALLS_BYTES_MAX, REQUEST_TICKS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Answer, Peers } from './peers.ts';
import { leaderless } from './refusals.ts';

export type Outcome =
  | Answer
  /** This member leads now: do it here. */
  | { readonly result: 'here' }
  /** It was sent; nobody knows what came of it. */
  | { readonly result: 'lost' };

interface Call {
  readonly what: number;
  readonly body: Uint8Array;
  readonly askedAt: number;
  readonly done: (outcome: Outcome) => void;
  /** 0 = held. */
  sentTo: number;
}

export class LeaderCalls {
  readonly #memberId: number;
  readonly #send: Peers['send'];
  readonly #calls = new Map<number, Call>();
  #bytes = 0;
  #nextId: number;
  #ticks = 0;
  #leader = 0;
  #term = 0;
  #leaderlessTicks = 0;

  /** Ids start at random, so that an answer to a former life answers nothing. */
  constructor(options: {
    readonly memberId: number;
    readonly firstId: number;
    readonly send: Peers['send'];
  }) {
    this.#memberId = options.memberId;
    this.#nextId = options.firstId;
    this.#send = options.send;
  }

  /** Nobody was known to lead for so long that nobody may be soon. */
  get isLeaderless(): boolean {
    return this.#leaderlessTicks >= LEADERLESS_TICKS_MAX;
  }

  /** Sends the request, or holds it; `done` runs once, maybe at once. */
  ask(what: number, body: Uint8Array, done: (outcome: Outcome) => void): void {
    // Cut off, or removed: to hold it would only keep its client from asking elsewhere.
    if (this.isLeaderless) {
      done({ result: 'refused', error: leaderless() });
      return;
    }
    if (this.#bytes + body.length > LEADER_CALLS_BYTES_MAX) {
      done(busy());
      return;
    }
    const id = this.#nextId++;
    const call: Call = { what, body, done, askedAt: this.#ticks, sentTo: 0 };
    this.#calls.set(id, call);
    this.#bytes += body.length;
    if (this.#leader !== 0 && this.#leader !== this.#memberId) this.#transmit(id, call);
  }

  /** Who leads now, and in which term; 0 = nobody is known to. */
  leads(leader: number, term: number): void {
    if (leader === this.#leader && term === this.#term) return;
    const former = this.#leader;
    this.#leader = leader;
    this.#term = term;
    if (former !== 0) this.lost(former);
    if (leader === 0) return;
    this.#leaderlessTicks = 0;
    for (const [id, call] of this.#calls) {
      if (call.sentTo !== 0) continue;
      if (leader === this.#memberId) this.#end(id, { result: 'here' });
      else this.#transmit(id, call);
    }
  }

  /** What was sent to this member will not be answered. */
  lost(member: number): void {
    for (const [id, call] of this.#calls) {
      if (call.sentTo === member) this.#end(id, { result: 'lost' });
    }
  }

  answered(from: number, id: number, answer: Answer): void {
    const call = this.#calls.get(id);
    if (call?.sentTo !== from) return;
    // It was not done: sent again when another is known to lead, or with the next tick.
    if (answer.result === 'notLeader') call.sentTo = 0;
    else this.#end(id, answer);
  }

  tick(): void {
    this.#ticks++;
    this.#leaderlessTicks = this.#leader === 0 ? this.#leaderlessTicks + 1 : 0;
    const isRemote = this.#leader !== 0 && this.#leader !== this.#memberId;
    for (const [id, call] of this.#calls) {
      if (isRemote && call.sentTo === 0) this.#transmit(id, call);
    }
    for (const [id, { askedAt, sentTo }] of this.#calls) {
      if (this.#ticks - askedAt < REQUEST_TICKS_MAX) break; // In the order in which they came.
      this.#end(id, sentTo === 0 ? { result: 'refused', error: leaderless() } : { result: 'lost' });
    }
  }

  #transmit(id: number, call: Call): void {
    const { what, body } = call;
    const isSent = this.#send(this.#leader, { kind: 'ask', id, term: this.#term, what, body });
    // What did not leave is held, and tried again with the next tick: a new leader's sockets come soon.
    call.sentTo = isSent ? this.#leader : 0;
  }

  #end(id: number, outcome: Outcome): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    this.#bytes -= call.body.length;
    call.done(outcome);
  }
}

function busy(): Outcome {
  const error = new StoreError('UNAVAILABLE', 'too many requests wait for the leader');
  return { result: 'refused', error };
}
