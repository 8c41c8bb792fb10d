/** The machine's events: a bounded ring of what happened, shown on the console and over the API. */
import type { Event } from '#base/protocol/bareboat.gen.ts';

const KEPT = 1000;

export class EventLog {
  readonly #kept: Event[] = [];
  readonly #listeners = new Set<(event: Event) => void>();
  readonly #print: (event: Event) => void;

  /** `print` shows each event on the console. */
  constructor(print: (event: Event) => void) {
    this.#print = print;
  }

  add(source: string, message: string, level: 'info' | 'warning' | 'error' = 'info'): void {
    const event: Event = { atMs: Date.now(), source, message, level };
    this.#kept.push(event);
    if (this.#kept.length > KEPT) this.#kept.shift();
    this.#print(event);
    for (const listener of this.#listeners) listener(event);
  }

  /** The last `count` events, oldest first. */
  tail(count: number): Event[] {
    return count === 0 ? [] : this.#kept.slice(-count);
  }

  onEvent(listener: (event: Event) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }
}
