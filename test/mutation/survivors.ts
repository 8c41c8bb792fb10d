/** Mutants that no test can find, or need not, and why: each was looked at. */

export interface Survivor {
  readonly file: string;
  readonly original: string;
  readonly replacement: string;
  readonly why: string;
}

export const survivors: readonly Survivor[] = [];
