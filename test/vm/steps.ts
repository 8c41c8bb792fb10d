/**
 * Progress of a run: each step says when it begins, what it learns, and how long it took. A step that
 * fails ends the run with its name, the cause and the log that tells more.
 */
import { errorText } from '#base/errors.ts';

export class StepFailure extends Error {
  override readonly name = 'StepFailure';
}

export class Steps {
  readonly #print: (line: string) => void;
  readonly #startedAt = performance.now();
  /** Seconds by step, for reports. */
  readonly taken = new Map<string, number>();

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  /** `logFile` is what to read when the step fails. */
  async run<T>(name: string, logFile: string, work: () => Promise<T> | T): Promise<T> {
    const startedAt = performance.now();
    this.#print(`${this.#elapsed()} ${name}`);
    try {
      return await work();
    } catch (error) {
      throw new StepFailure(`${name}: ${errorText(error)}\nsee ${logFile}`);
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      this.taken.set(name, seconds);
      if (seconds >= 1) this.#print(`${this.#elapsed()}   (${seconds.toFixed(1)} s)`);
    }
  }

  note(text: string): void {
    this.#print(`${this.#elapsed()}   ${text}`);
  }

  #elapsed(): string {
    return `[${((performance.now() - this.#startedAt) / 1000).toFixed(1).padStart(6)} s]`;
  }
}
