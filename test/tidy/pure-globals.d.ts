// Types that interfaces used by pure code mention, though pure code never makes or awaits one.
interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
}
