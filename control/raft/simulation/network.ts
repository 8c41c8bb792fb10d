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
  /** Of a message that takes long: up to DELAY_MAX others are received before it, mostly few. */
  readonly late: number;
}

const DELAY_MAX = 600;

interface Report {
  readonly sender: MemberId;
  readonly receiver: MemberId;
  readonly outcome: 'installed' | 'failed';
}

interface UnderWay {
  readonly message: Message;
  /** Receptions before this one, at least. */
  readonly due: number;
}

export class Network {
  readonly #random: Random;
  readonly #faults: NetworkFaults;
  #underWay: UnderWay[] = [];
  #receptions = 0;
  readonly #cut = new Set<string>();
  #reports: Report[] = [];

  constructor(random: Random, faults: NetworkFaults) {
    this.#random = random;
    this.#faults = faults;
  }

  /** What is sent over a cut link is lost; what was under way before still arrives. */
  send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (this.#cut.has(`${message.from}>${message.to}`)) {
        this.#lose(message);
        continue;
      }
      const delay = this.#random.chance(this.#faults.late)
        ? Math.floor(DELAY_MAX ** this.#random.next())
        : 0;
      this.#underWay.push({ message, due: this.#receptions + delay });
    }
    while (this.#underWay.length > MESSAGES_MAX) this.#lose(this.#underWay.shift()?.message);
  }

  /** The next message to arrive, or undefined when one was lost or none is due. */
  receive(): Message | undefined {
    this.#receptions++;
    const isDue = ({ due }: UnderWay) => due <= this.#receptions;
    let place = this.#random.chance(this.#faults.reorder)
      ? this.#random.below(this.#underWay.length)
      : 0;
    while (place < this.#underWay.length && !isDue(this.#underWay[place] as UnderWay)) place++; // In range.
    const message = this.#underWay[place]?.message;
    if (message === undefined) return undefined;
    if (!this.#random.chance(this.#faults.double)) this.#underWay.splice(place, 1);
    if (this.#random.chance(this.#faults.loss)) {
      this.#lose(message);
      return undefined;
    }
    if (message.kind === 'snapshot') this.#report(message, 'installed');
    return message;
  }

  /** Everything under way, whole and in order. */
  receiveAll(): readonly Message[] {
    const messages = this.#underWay.map(({ message }) => message);
    this.#underWay = [];
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

  /** Cuts a member off from all, or leaves it one direction. */
  isolate(id: MemberId, all: readonly MemberId[]): void {
    const direction = this.#random.weighted({ both: 3, out: 1, in: 1 });
    for (const other of all) {
      if (direction !== 'in') this.#cut.add(`${id}>${other}`);
      if (direction !== 'out') this.#cut.add(`${other}>${id}`);
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

  #lose(message: Message | undefined): void {
    if (message?.kind === 'snapshot') this.#report(message, 'failed');
  }

  #report({ from, to }: Message, outcome: Report['outcome']): void {
    this.#reports.push({ sender: from, receiver: to, outcome });
  }
}
