/** One client of the engine: a queue of messages in, a buffer of frames out, and its watches. */
import { ByteWriter } from '../codec/bytes.ts';
import { REPLY, beginFrame, endFrame } from '../codec/frame.ts';
import type { StoreError } from '../port.ts';
import { WatchHub } from '../watch/hub.ts';
import type { StateMachine } from './state-machine.ts';

export class Connection {
  readonly out = new ByteWriter();
  readonly hub: WatchHub;
  readonly inbox: Uint8Array[] = [];
  readonly send: (message: Uint8Array<ArrayBuffer>) => void;
  readonly #state: StateMachine;

  constructor(state: StateMachine, send: Connection['send']) {
    this.#state = state;
    this.hub = new WatchHub(state, this.out);
    this.send = send;
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
