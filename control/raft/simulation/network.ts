/**
 * Messages under way. Delivery loses, doubles and reorders them; links can be cut, in one direction
 * too. A snapshot's end is always reported to its sender in the end, as a host does.
 */
import type { MemberId, Message } from '../raft.ts';
import type { Random } from './random.ts';

/** More under way than this, and the oldest are lost. */
const MESSAGES_MAX = 300;

export interface NetworkFaults {
  readonly loss: number;
  readonly double: number;
  /** Of taking any message instead of the oldest. */
  readonly reorder: number;
}

interface Report {
  readonly sender: MemberId;
  readonly receiver: MemberId;
  readonly outcome: 'installed' | 'failed';
}

export class Network {
  readonly #random: Random;
  readonly #faults: NetworkFaults;
  #messages: Message[] = [];
  readonly #cut = new Set<string>();
  #reports: Report[] = [];

  constructor(random: Random, faults: NetworkFaults) {
    this.#random = random;
    this.#faults = faults;
  }

  get count(): number {
    return this.#messages.length;
  }

  send(messages: readonly Message[]): void {
    this.#messages.push(...messages);
    while (this.#messages.length > MESSAGES_MAX) this.#lose(this.#messages.shift());
  }

  /** The next message to arrive, or undefined when one was lost or none is under way. */
  receive(): Message | undefined {
    const place = this.#random.chance(this.#faults.reorder)
      ? this.#random.below(this.#messages.length)
      : 0;
    const message = this.#messages[place];
    if (message === undefined) return undefined;
    if (!this.#random.chance(this.#faults.double)) this.#messages.splice(place, 1);
    if (this.#isCut(message) || this.#random.chance(this.#faults.loss)) {
      this.#lose(message);
      return undefined;
    }
    if (message.kind === 'snapshot') this.#report(message, 'installed');
    return message;
  }

  /** Everything under way, whole and in order. */
  receiveAll(): readonly Message[] {
    const messages = this.#messages;
    this.#messages = [];
    for (const message of messages) {
      if (message.kind === 'snapshot') this.#report(message, 'installed');
    }
    return messages;
  }

  nextReport(): Report | undefined {
    return this.#reports.shift();
  }

  /** Cuts both directions between the members chosen and the others, or one of them. */
  partition(all: readonly MemberId[]): void {
    const isInside = new Map(all.map((id) => [id, this.#random.chance(0.5)]));
    const direction = this.#random.weighted({ both: 3, out: 1, in: 1 });
    for (const from of all) {
      for (const to of all) {
        if (isInside.get(from) === isInside.get(to)) continue;
        const isOut = isInside.get(from) === true;
        if (direction === 'both' || (direction === 'out') === isOut) this.#cut.add(`${from}>${to}`);
      }
    }
  }

  /** Cuts one link between two members. */
  cutLink(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
    this.#cut.add(`${to}>${from}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  #isCut({ from, to }: Message): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  #lose(message: Message | undefined): void {
    if (message?.kind === 'snapshot') this.#report(message, 'failed');
  }

  #report({ from, to }: Message, outcome: Report['outcome']): void {
    this.#reports.push({ sender: from, receiver: to, outcome });
  }
}
