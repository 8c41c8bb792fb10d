/** Every bound of the store over an external etcd, with its reason. */

/** Connecting to one endpoint and asking for its version. */
export const CONNECT_MS_MAX = 5000;

/**
 * One request, waiting for a connection included. etcd itself gives up after 5 s and two election
 * timeouts (7 s by default), and its answer says more than ours would.
 */
export const REQUEST_MS_MAX = 10_000;

/** Between attempts to bring a broken watch back: doubles from the first to the second. */
export const WATCH_RETRY_MS_MIN = 100;
export const WATCH_RETRY_MS_MAX = 2000;

/** etcd drops a progress request while the watch catches up, in rounds of 100 ms: ask again. */
export const PROGRESS_RETRY_MS = 50;

/** Silence on a connection with calls before it is tested. etcd cuts who asks each 5 s or more often. */
export const KEEPALIVE_MS = 10_000;
export const KEEPALIVE_ANSWER_MS_MAX = 5000;

/** Largest message taken in. A page aims far below it; one value or transaction cannot exceed it. */
export const RECEIVE_BYTES_MAX = 32 * 1024 * 1024;

/** Key-values of the first page of a range; the following ones aim at PAGE_BYTES. */
export const PAGE_COUNT_FIRST = 500;
export const PAGE_COUNT_MAX = 10_000;
export const PAGE_BYTES = 4 * 1024 * 1024;

/** A range over the latest state begins again when compaction overtakes its pages. */
export const RANGE_RESTARTS_MAX = 3;

/** Decoded events that wait in one watch for their reader before its stream is held up. */
export const WATCH_QUEUE_BYTES_MAX = 8 * 1024 * 1024;
