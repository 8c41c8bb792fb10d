/**
 * A client that watches a range, on whatever member it is linked to, and holds what it hears to the
 * rules of watches (reference/store.md section 4; etcd's validate/watch.go):
 *
 *   filter       only keys of the range
 *   ordered      revisions ascend
 *   unique       no event twice
 *   atomic       the events of a revision come together
 *   reliable     none is missing
 *   bookmarkable a progress batch comes behind everything up to its revision
 *   resumable    a new watch goes on where the last one ended, on another member, too
 *   isCreate     create revision and version say what an event did
 *   prevKV       the previous value is the one that the event replaced
 */
import { StoreError } from '#control/store/port.ts';
import type { KeyRange } from '#control/store/port.ts';
import type { Group, SimClient } from './group.ts';

export class Watcher {
  readonly #group: Group;
  readonly #client: SimClient;
  readonly #range: KeyRange;
  readonly #count: (what: string) => void;
  readonly #task: Promise<void>;
  #isOver = false;
  /** Everything up to this revision was heard. */
  #heard = 1;

  constructor(
    group: Group,
    options: { client: SimClient; range: KeyRange; count: (what: string) => void },
  ) {
    this.#group = group;
    this.#client = options.client;
    this.#range = options.range;
    this.#count = options.count;
    this.#task = this.#run();
    this.#task.catch(() => {}); // Thrown by `end`.
  }

  get hasSeenAll(): boolean {
    return this.#heard >= this.#group.oracle.lastRevisionIn(this.#range);
  }

  leave(): void {
    this.#client.leave();
  }

  /** After the group closed: throws what this watcher met. */
  end(): Promise<void> {
    this.#isOver = true;
    return this.#task;
  }

  async #run(): Promise<void> {
    let isFirst = true;
    while (!this.#isOver) {
      try {
        await this.#follow(isFirst);
        isFirst = false;
      } catch (error) {
        if (!(error instanceof StoreError)) {
          this.#group.failures.push(error);
          throw error;
        }
        isFirst &&= this.#heard === 1;
        this.#count(`watch ended: ${error.code}`);
        // What was compacted is not there to be watched.
        if (error.code === 'COMPACTED') this.#heard = (error.compactRevision ?? 1) - 1;
        if (error.code === 'UNAVAILABLE') this.#client.leave(); // A removed member has no news.
        if (!this.#isOver) await this.#group.pause(100);
      }
    }
  }

  /** One watch, to its end. */
  async #follow(isFirst: boolean): Promise<void> {
    const { oracle, random } = this.#group;
    const { store } = this.#client;
    const startRevision = this.#heard + 1;
    let isResumed = isFirst;
    using watch = store.watch({ ...this.#range, startRevision, prevKv: true });
    watch.requestProgress();
    for await (const batch of watch) {
      if (!isResumed) this.#count('watches resumed');
      isResumed = true;
      const from = this.#heard;
      this.#heard = batch.revision;
      if (batch.kind === 'progress') {
        oracle.checkQuiet(this.#range, { from: from + 1, to: batch.revision });
        continue;
      }
      oracle.checkQuiet(this.#range, { from: from + 1, to: batch.revision - 1 });
      oracle.checkEvents(this.#range, batch);
      this.#count('revisions watched');
      if (random.chance(0.02)) watch.requestProgress();
    }
  }
}
