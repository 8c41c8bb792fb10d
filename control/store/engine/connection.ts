/**
 * One client of the engine: a queue of messages in, a buffer of answers out, and its watches with a buffer
 * of their own, which may go another way.
 */
import { ByteWriter } from '../codec/bytes.ts';
import { REPLY, beginFrame, endFrame } from '../codec/frame.ts';
import type { WatchLimits } from '../limits.ts';
import type { StoreError } from '../port.ts';
import { WatchHub } from '../watch/hub.ts';
import type { StateMachine } from './state-machine.ts';

/** Takes bytes over. */
export type Send = (message: Uint8Array<ArrayBuffer>) => void;

export class Connection {
  readonly out = new ByteWriter();
  readonly events = new ByteWriter();
  readonly hub: WatchHub;
  readonly inbox: Uint8Array[] = [];
  /** All of the inbox was taken: whoever holds back what goes into it may go on. */
  emptied: (() => void) | undefined;
  readonly #send: Send;
  /** Where events go, when not where answers go. */
  sendEvents: Send | undefined;
  readonly #state: StateMachine;

  constructor(state: StateMachine, send: Send, limits: WatchLimits) {
    this.#state = state;
    this.hub = new WatchHub(state, this.events, limits);
    this.#send = send;
  }

  /** Sends what was answered, and what there is for watches; true = there is more for those. */
  flush(): boolean {
    const more = this.hub.pump();
    if (this.out.length > 0) this.#send(this.out.take());
    if (this.events.length > 0) (this.sendEvents ?? this.#send)(this.events.take());
    return more;
  }

  /** Answers request `id` with what `write` writes. */
  frame(id: number, write: (out: ByteWriter) => void): void {
    const lengthAt = beginFrame(this.out, id, REPLY.answer);
    write(this.out);
    endFrame(this.out, lengthAt);
  }

  /** The same as the body of a good answer; a StoreError replaces it. */
  answer(id: number, write: (out: ByteWriter) => void): void {
    this.frame(id, (out) => this.#state.answer(out, () => write(out)));
  }

  refuse(id: number, error: StoreError): void {
    this.answer(id, () => {
      throw error;
    });
  }
}
