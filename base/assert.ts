/**
 * Programmer errors. An assertion that fails ends the process that owns the state; a supervisor
 * starts it again from what is durable (style.md, "Errors"). Assertions stay on in production.
 */

export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/** Throws AssertionFailed unless `condition` holds. One condition per call. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** Closes a switch over a union: does not compile while a member is unhandled. */
export function assertNever(value: never, what = 'value'): never {
  throw new AssertionFailed(`unexpected ${what}: ${JSON.stringify(value)}`);
}

/** The value, or AssertionFailed when it is null or undefined: for what an invariant promises. */
export function must<T>(value: T | null | undefined, message: string): T {
  if (value === null || value === undefined) throw new AssertionFailed(message);
  return value;
}
