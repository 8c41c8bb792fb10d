/**
 * What the core wants on the disk, in its order. While a batch is under way, what comes meanwhile gathers
 * and is the next one (group commit). The core is told of each write when its batch is durable.
 */
import type { Entry, HardState, Ready } from '#control/raft/raft.ts';
import type { Wal } from '../wal/wal.ts';

export class LogWrites {
  readonly #wal: Wal;
  readonly #persisted: (ready: Ready) => void;
  #waiting: Ready[] = [];
  #waitingBytes = 0;
  #underWay: readonly Ready[] = [];

  /** `persisted` is called for each in order. */
  constructor(wal: Wal, persisted: (ready: Ready) => void) {
    this.#wal = wal;
    this.#persisted = persisted;
  }

  /** Bytes of what is not begun yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** `bytes`: what it takes on the disk, about. */
  add(ready: Ready, bytes: number): void {
    this.#waiting.push(ready);
    this.#waitingBytes += bytes;
  }

  /** Ends what is durable and begins what waits. Throws what the disk said. */
  pump(): void {
    while (this.#wal.isIdle()) {
      this.#end();
      if (this.#waiting.length === 0) return;
      this.#underWay = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      const { entries, hardState } = joined(this.#underWay);
      if (entries.length > 0 || hardState !== undefined) this.#wal.begin(entries, hardState);
    }
  }

  /** Waits until all is durable. */
  settle(): void {
    for (;;) {
      this.#wal.settle();
      this.pump();
      if (this.#waiting.length === 0 && this.#underWay.length === 0) return;
    }
  }

  #end(): void {
    const ended = this.#underWay;
    this.#underWay = [];
    for (const ready of ended) this.#persisted(ready);
  }
}

/** Several writes as one: an entry replaces what stood at its index, in a batch too. */
function joined(readies: readonly Ready[]): {
  readonly entries: readonly Entry[];
  readonly hardState: HardState | undefined;
} {
  const [first] = readies;
  if (first !== undefined && readies.length === 1) return first;
  const hardState = readies.findLast((ready) => ready.hardState !== undefined)?.hardState;
  return { entries: readies.flatMap(({ entries }) => entries), hardState };
}
