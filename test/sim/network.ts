/**
 * The network between members. Messages travel as the bytes that a socket would carry; they are
 * delayed, lost, doubled and reordered, and links between two members are cut, in one direction too,
 * narrow, reset (both ends learn of it), or half open (one end learns of it, and what the other one
 * sends goes nowhere until it does). A reader that is slow takes in only so many bytes a second; what
 * does not fit into the buffers before it or a narrow link is lost, as the transport does it.
 */
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { EventQueue } from './event-queue.ts';

export interface NetworkFaults {
  readonly loss: number;
  readonly double: number;
  /** The second of two comes up to this much later, as when something on the way sends it again. */
  readonly echoMsMax: number;
  readonly delayMsMax: number;
  /** Share of messages that take up to twenty times as long. */
  readonly late: number;
}

export const CALM: NetworkFaults = { loss: 0, double: 0, echoMsMax: 0, delayMsMax: 2, late: 0 };

/** What waits before a narrow link or a slow reader, in time. */
const BUFFER_MS = 3000;

interface Narrow {
  readonly bytesPerMs: number;
  freeAtMs: number;
}

export interface NetworkIo {
  readonly time: EventQueue;
  readonly random: SeededRandom;
  readonly deliver: (from: number, to: number, bytes: Uint8Array) => void;
  /** The member learns that its connection to the other one broke. */
  readonly broke: (at: number, other: number) => void;
  /** The two are connected again, and say how far they are. */
  readonly greet: (one: number, other: number) => void;
}

export class Network {
  readonly #io: NetworkIo;
  readonly #cut = new Set<string>();
  /** By link, and by reader under its id alone. */
  readonly #narrow = new Map<string, Narrow>();
  /** Times that the connection of a link broke: what an earlier one carried is lost. */
  readonly #breaks = new Map<string, number>();
  readonly #downUntilMs = new Map<string, number>();
  faults = CALM;
  /** Which messages take far longer than others. */
  isLate: (bytes: Uint8Array) => boolean = () => false;
  /** Called for each message that is sent. */
  watch: (from: number, to: number, bytes: Uint8Array) => void = () => {};

  constructor(io: NetworkIo) {
    this.#io = io;
  }

  send(from: number, to: number, bytes: Uint8Array): void {
    this.watch(from, to, bytes);
    const { random } = this.#io;
    if (random.chance(this.faults.loss)) return;
    this.#carry(from, to, bytes, 0);
    if (!random.chance(this.faults.double)) return;
    this.#carry(from, to, bytes, random.next() * this.faults.echoMsMax);
  }

  /** Whether anything gets through in this direction. */
  isOpen(from: number, to: number): boolean {
    const key = link(from, to);
    return !this.#cut.has(key) && this.#io.time.nowMs >= (this.#downUntilMs.get(key) ?? 0);
  }

  /** Cuts both directions, or the one from `from` to `to` alone. */
  cut(from: number, to: number, isOneWay: boolean): void {
    this.#cut.add(link(from, to));
    if (!isOneWay) this.#cut.add(link(to, from));
  }

  /** Lets only so much through, in this direction; or into this member, from wherever. */
  narrow(where: { from: number; to: number } | { reader: number }, bytesPerMs: number): void {
    const key = 'reader' in where ? String(where.reader) : link(where.from, where.to);
    this.#narrow.set(key, { bytesPerMs, freeAtMs: 0 });
  }

  /** The connection breaks, both ends learn of it, and they connect again. */
  reset(one: number, other: number): void {
    const { time, random, broke, greet } = this.#io;
    const downMs = 10 + random.next() * 500;
    this.#break(one, other, downMs);
    this.#break(other, one, downMs);
    broke(one, other);
    broke(other, one);
    time.after(downMs, () => greet(one, other));
  }

  /** The connection breaks, and only `knowing` learns of it; the other when it hears nothing for long. */
  halfOpen(knowing: number, other: number): void {
    const { time, random, broke, greet } = this.#io;
    const downMs = 1000 + random.next() * 3000;
    this.#break(knowing, other, 50);
    this.#break(other, knowing, downMs);
    broke(knowing, other);
    time.after(downMs, () => {
      broke(other, knowing);
      greet(knowing, other);
    });
  }

  heal(): void {
    this.#cut.clear();
    this.#narrow.clear();
    this.faults = CALM;
  }

  #break(from: number, to: number, downMs: number): void {
    const key = link(from, to);
    this.#breaks.set(key, this.#breakCount(key) + 1);
    this.#downUntilMs.set(key, this.#io.time.nowMs + downMs);
  }

  #breakCount(key: string): number {
    return this.#breaks.get(key) ?? 0;
  }

  /** What is under way when a link is cut or breaks is lost with it. */
  #carry(from: number, to: number, bytes: Uint8Array, echoMs: number): void {
    const { time, random, deliver } = this.#io;
    const key = link(from, to);
    if (time.nowMs < (this.#downUntilMs.get(key) ?? 0)) return;
    const { delayMsMax, late } = this.faults;
    const factor = random.chance(late) ? 20 : 1;
    let delayMs = echoMs + (this.isLate(bytes) ? 50 : 0) + random.next() * delayMsMax * factor;
    for (const narrow of [this.#narrow.get(key), this.#narrow.get(String(to))]) {
      if (narrow === undefined) continue;
      const waitMs = Math.max(0, narrow.freeAtMs - time.nowMs);
      if (waitMs > BUFFER_MS) return;
      narrow.freeAtMs = time.nowMs + waitMs + bytes.length / narrow.bytesPerMs;
      delayMs += narrow.freeAtMs - time.nowMs;
    }
    const breaks = this.#breakCount(key);
    time.after(delayMs, () => {
      if (!this.#cut.has(key) && this.#breakCount(key) === breaks) deliver(from, to, bytes);
    });
  }
}

function link(from: number, to: number): string {
  return `${from}>${to}`;
}
