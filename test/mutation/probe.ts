/** What probed sources (probes.ts) call: it tells which mutants would have made a difference. */
import { SWAPS } from './mutants.ts';

/** A number is `base` plus the index within mutantsOf. */
export interface Probe {
  /** `left operator right`. Its mutants have numbers from this one on, in the order of SWAPS. */
  binary(number: number, operator: string, left: number, right: number): unknown;
  /** A side of `&&`, `||` or `??`, where it was evaluated: its value. */
  side(number: number, value: unknown, same: boolean | undefined): unknown;
  /** A condition: its value. The numbers are of the mutants `true` and `false`; -1 is none. */
  test(numberTrue: number, numberFalse: number, value: unknown): unknown;
  /** Control passed here. */
  here(number: number): void;
}

type Operator = (a: number, b: number) => unknown;

/** Operands are numbers, or whatever else the source has: the operators do with it what they do there. */
const OPERATORS: Readonly<Record<string, Operator>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '===': (a, b) => a === b,
  '!==': (a, b) => a !== b,
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
  '&': (a, b) => a & b,
  '|': (a, b) => a | b,
  '<<': (a, b) => a << b,
  '>>': (a, b) => a >> b,
  '>>>': (a, b) => a >>> b,
};

/** Tells `found` of every mutant that would have made a difference, once. */
export function probeFor(found: (number: number) => void): Probe {
  const seen: boolean[] = [];
  const here = (number: number) => {
    if (number < 0 || seen[number] === true) return;
    seen[number] = true;
    found(number);
  };
  return {
    here,
    binary(number, operator, left, right) {
      const value = OPERATORS[operator]?.(left, right);
      const swaps = SWAPS[operator] ?? [];
      for (let i = 0; i < swaps.length; i++) {
        if (seen[number + i] === true) continue; // Inner loops come here often.
        if (isDifferent(swaps[i] ?? '', [left, right], value)) here(number + i);
      }
      return value;
    },
    side(number, value, same) {
      if (value !== same || same === undefined) here(number);
      return value;
    },
    test(numberTrue, numberFalse, value) {
      here(value ? numberFalse : numberTrue);
      return value;
    },
  };
}

function isDifferent(swap: string, operands: readonly [number, number], value: unknown): boolean {
  try {
    return !Object.is(OPERATORS[swap]?.(...operands), value);
  } catch {
    return true; // A bigint shifted by a fraction, for example.
  }
}
