/**
 * What a store's process says of itself to who measures it: pauses of the garbage collector, and turns
 * of the pump in CPU time of the thread, which other processes do not lengthen. Each answer covers the
 * time since the one before.
 */
import { PerformanceObserver } from 'node:perf_hooks';

/** Milliseconds. */
export interface Figures {
  readonly pauses: { readonly count: number; readonly p99: number; readonly max: number };
  readonly pump: { readonly count: number; readonly p99: number; readonly max: number };
  readonly heapBytes: number;
}

export class Measure {
  readonly #pauses = new Durations();
  readonly #pump = new Durations();
  readonly #observer: PerformanceObserver;

  constructor() {
    this.#observer = new PerformanceObserver((list) => this.#add(list));
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** Runs one turn. */
  readonly turn = <T>(work: () => T): T => {
    const before = process.threadCpuUsage();
    try {
      return work();
    } finally {
      const { user, system } = process.threadCpuUsage();
      this.#pump.add((user - before.user + system - before.system) / 1000);
    }
  };

  take(): Figures {
    this.#add({ getEntries: () => this.#observer.takeRecords() });
    const heapBytes = process.memoryUsage().heapUsed;
    return { pauses: this.#pauses.take(), pump: this.#pump.take(), heapBytes };
  }

  #add(list: { getEntries(): readonly { readonly duration: number }[] }): void {
    for (const { duration } of list.getEntries()) this.#pauses.add(duration);
  }
}

/** Of each duration only its class is kept: a fiftieth wider than the one below. */
class Durations {
  readonly #classes = new Uint32Array(1024);
  #count = 0;
  #max = 0;

  add(ms: number): void {
    const found = Math.ceil(Math.log(Math.max(ms, LOWEST_MS) / LOWEST_MS) / Math.log(STEP));
    const number = Math.min(this.#classes.length - 1, found);
    this.#classes[number] = (this.#classes[number] ?? 0) + 1;
    this.#count++;
    this.#max = Math.max(this.#max, ms);
  }

  take(): { count: number; p99: number; max: number } {
    const [count, max] = [this.#count, this.#max];
    let left = count * 0.99;
    let number = -1;
    while (left > 0 && number < this.#classes.length) left -= this.#classes[++number] ?? 0;
    const p99 = count === 0 ? 0 : Math.min(max, LOWEST_MS * STEP ** number);
    this.#classes.fill(0);
    this.#count = 0;
    this.#max = 0;
    return { count, p99, max };
  }
}

const LOWEST_MS = 0.001;
const STEP = 1.02;
