/** Mutants that no test can find, or need not, and why: each was looked at. */

export interface Survivor {
  readonly file: string;
  /** The innermost function or member with a name. */
  readonly within: string;
  /** The line with the change in it, as changeOf (subjects.ts) gives it. */
  readonly change: string;
  /** Mutants that look like this, within one function: 1 if not said. */
  readonly times?: number;
  readonly why: string;
}

export const survivors: readonly Survivor[] = [];
