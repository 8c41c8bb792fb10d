/** Bounds of everything in base/kube that grows with what comes from outside, and why. */

/** Bytes that may be on their way through a MessagePort, per response, before the sender waits. */
export const PORT_WINDOW_BYTES = 4 * 1024 * 1024;

/** A watch line longer than this is no API object (requests are bounded at 3 MiB). */
export const WATCH_LINE_BYTES_MAX = 32 * 1024 * 1024;

/** Events waiting to be written; the newest are dropped beyond it: events are best effort. */
export const EVENT_QUEUE_MAX = 1000;

/** Events remembered to count repetitions, as client-go's cache. */
export const EVENT_CACHE_MAX = 4096;

/** Reconnection of a reflector: fast at first, since the server may be a restarting child. */
export const REFLECTOR_BACKOFF_MS_MIN = 100;
export const REFLECTOR_BACKOFF_MS_MAX = 10_000;

/** Work queue back-off per key, as client-go: 5 ms doubling to 1000 s. */
export const QUEUE_BACKOFF_MS_MIN = 5;
export const QUEUE_BACKOFF_MS_MAX = 1_000_000;

/** HTTP/2 keep-alive: a dead server is noticed within interval + timeout. */
export const PING_INTERVAL_MS = 5_000;
export const PING_TIMEOUT_MS = 8_000;
export const CONNECT_TIMEOUT_MS = 10_000;
