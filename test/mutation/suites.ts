/**
 * What looks for mutants: the tests that run Raft or the write-ahead log. Each suite is a process of
 * its own. Which of them can find a mutant at all is recorded (reach.ts); of those the one goes first
 * that promises most for its time.
 */

export interface Suite {
  readonly name: string;
  /** Globs below the root. */
  readonly tests: readonly string[];
  /** Globs of what else they read. */
  readonly data?: readonly string[];
  /** Top-level tests: those that match, or those that do not. */
  readonly only?: RegExp;
  readonly without?: RegExp;
}

const RANDOM = /^random /;

/** It compares whole processes, which have no mutant in them. */
const PROCESSES = /^a seed gives the same run in another process$/;

export const SUITES: readonly Suite[] = [
  {
    name: 'raft',
    tests: ['control/raft/!(safety|coverage).test.ts'],
    data: ['control/raft/testdata/*/*.txt'],
  },
  { name: 'raft, random', tests: ['control/raft/safety.test.ts'] },
  { name: 'wal', tests: ['control/store/wal/!(join).test.ts'] },
  { name: 'wal, joined', tests: ['control/store/wal/join.test.ts'] },
  { name: 'faults', tests: ['control/store/faults.test.ts'], without: RANDOM },
  { name: 'faults, random', tests: ['control/store/faults.test.ts'], only: RANDOM },
  { name: 'engine', tests: ['control/store/engine/*.test.ts'] },
  { name: 'files', tests: ['control/store/{formats,restore,snapshot-file}.test.ts'] },
  { name: 'checkpoints', tests: ['control/store/checkpoint/*.test.ts'] },
  ...['come-in-anew', 'disputed', 'recover', 'repair', 'restart', 'slow-learner'].map((name) => ({
    name: `group, ${name}`,
    tests: [`test/sim/${name}.test.ts`],
  })),
  {
    name: 'group',
    tests: ['test/sim/store.test.ts'],
    without: new RegExp(`${RANDOM.source}|${PROCESSES.source}`),
  },
  { name: 'group, random', tests: ['test/sim/store.test.ts'], only: RANDOM },
];

/** How often each suite found mutants lately, by source: neighbours are found by the same tests. */
export class Luck {
  readonly #tried = new Map<string, number>();
  readonly #found = new Map<string, number>();

  noteRun(file: string, suite: Suite, isFound: boolean): void {
    const key = `${file} ${suite.name}`;
    this.#tried.set(key, (this.#tried.get(key) ?? 0) * MEMORY + 1);
    this.#found.set(key, (this.#found.get(key) ?? 0) * MEMORY + (isFound ? 1 : 0));
  }

  /** The suites, those first that find most in their time. */
  order(file: string, suites: readonly Suite[], secondsOf: (suite: Suite) => number): Suite[] {
    const rate = (suite: Suite) => {
      const key = `${file} ${suite.name}`;
      const share = ((this.#found.get(key) ?? 0) + 0.5) / ((this.#tried.get(key) ?? 0) + 1);
      return share / secondsOf(suite);
    };
    return suites.toSorted((a, b) => rate(b) - rate(a));
  }
}

/** What an older outcome counts, in that of the one after it. */
const MEMORY = 0.95;
