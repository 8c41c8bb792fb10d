// Globals that pure code may mention: types of interfaces that it never makes or awaits, and functions of
// the platform whose result depends on their arguments alone.
interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
}

/** WHATWG HTML, "Base64 utility methods". */
declare function atob(data: string): string;
