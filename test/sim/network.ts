/**
 * The network between members: delays, loses, doubles and reorders messages, and cuts links, in one
 * direction too. Messages travel as the bytes that a socket would carry.
 */
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { EventQueue } from './event-queue.ts';

export interface NetworkFaults {
  readonly loss: number;
  readonly double: number;
  readonly delayMsMax: number;
  /** Share of messages that take up to twenty times as long. */
  readonly late: number;
}

export const CALM: NetworkFaults = { loss: 0, double: 0, delayMsMax: 2, late: 0 };

export class Network {
  readonly #time: EventQueue;
  readonly #random: SeededRandom;
  readonly #deliver: (from: number, to: number, bytes: Uint8Array) => void;
  readonly #cut = new Set<string>();
  faults = CALM;
  /** Which messages take far longer than others. */
  isLate: (bytes: Uint8Array) => boolean = () => false;
  /** Called for each message that is sent. */
  watch: (from: number, to: number, bytes: Uint8Array) => void = () => {};

  constructor(
    time: EventQueue,
    random: SeededRandom,
    deliver: (from: number, to: number, bytes: Uint8Array) => void,
  ) {
    this.#time = time;
    this.#random = random;
    this.#deliver = deliver;
  }

  send(from: number, to: number, bytes: Uint8Array): void {
    this.watch(from, to, bytes);
    if (this.#random.chance(this.faults.loss)) return;
    this.#carry(from, to, bytes);
    if (this.#random.chance(this.faults.double)) this.#carry(from, to, bytes);
  }

  /** Cuts both directions, or the one from `from` to `to` alone. */
  cut(from: number, to: number, isOneWay: boolean): void {
    this.#cut.add(`${from}>${to}`);
    if (!isOneWay) this.#cut.add(`${to}>${from}`);
  }

  heal(): void {
    this.#cut.clear();
    this.faults = CALM;
  }

  /** What is under way when a link is cut is lost with it. */
  #carry(from: number, to: number, bytes: Uint8Array): void {
    const { delayMsMax, late } = this.faults;
    const factor = this.#random.chance(late) ? 20 : 1;
    const extraMs = this.isLate(bytes) ? 50 : 0;
    this.#time.after(extraMs + this.#random.next() * delayMsMax * factor, () => {
      if (!this.#cut.has(`${from}>${to}`)) this.#deliver(from, to, bytes);
    });
  }
}
