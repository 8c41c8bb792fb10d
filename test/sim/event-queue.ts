/** Virtual time: what is to happen when. Of equal times, what was scheduled first happens first. */

interface Event {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

export class EventQueue {
  /** A binary heap. */
  readonly #heap: Event[] = [];
  #number = 0;
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** When the next event is due; Infinity when there is none. */
  get nextAtMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  after(ms: number, run: () => void): void {
    const event = { atMs: this.#nowMs + ms, number: this.#number++, run };
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, heap[parent] as Event)) break; // Below `at`.
      heap[at] = heap[parent] as Event; // Same.
      at = parent;
    }
    heap[at] = event;
  }

  /** Runs the next event; time moves to it. */
  step(): void {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined) return;
    if (heap.length > 0) this.#sink(last);
    this.#nowMs = first.atMs;
    first.run();
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Event)) child++; // In range.
      if (!isBefore(heap[child] as Event, event)) break; // Same.
      heap[at] = heap[child] as Event; // Same.
      at = child;
    }
    heap[at] = event;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
}
