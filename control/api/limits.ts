/** Bounds of the API server, with the reason of each; upstream's values unless said otherwise. */

/** Larger request bodies are answered 413 (MaxRequestBodyBytes). */
export const REQUEST_BODY_BYTES_MAX = 3 * 1024 * 1024;
/** Requests that do not stream are answered 504 after this (--request-timeout). */
export const REQUEST_TIMEOUT_MS_MAX = 60_000;
/**
 * Requests over the network handled at the same time, streams and the cluster's admins apart; more are
 * answered 429 (--max-requests-inflight and --max-mutating-requests-inflight). Each may hold a body.
 */
export const REQUESTS_IN_FLIGHT_MAX = 600;
/**
 * What lists, and bodies with what they are decoded to, may hold together until they have left, as a share
 * of the machine's memory, but at least so much; more is answered 429. Ours: upstream counts seats instead.
 */
export const REQUEST_MEMORY_SHARE = 1 / 16;
export const REQUEST_MEMORY_BYTES_MIN = 64 * 1024 * 1024;
/** Objects of a list that are given another form without a turn of the event loop. */
export const LIST_SLICE_COUNT = 200;
/** Audit events that wait for the disk; more are dropped and counted. */
export const AUDIT_QUEUE_BYTES_MAX = 4 * 1024 * 1024;
/** Larger stored objects are refused, as etcd refuses them. */
export const OBJECT_BYTES_MAX = 1.5 * 1024 * 1024;
/** Watch caches keep events at least this long: bookmark period and some more. */
export const EVENT_WINDOW_MS = 90_000;
export const EVENTS_COUNT_MIN = 100;
export const EVENTS_COUNT_MAX = 100_000;
/** Of one resource, in former states of its objects: 100,000 of the largest would be 150 GB. */
export const EVENT_WINDOW_BYTES_MAX = 64 * 1024 * 1024;
/** Watch caches that nobody writes to any more forget their events so often. */
export const EVENT_TRIM_PERIOD_MS = 30_000;
/** A read that asks for a revision not reached yet waits this long, then gets 504. */
export const REVISION_WAIT_MS = 3_000;
/** While reads wait for a revision, the store's watch is asked so often how far it has come. */
export const PROGRESS_ASK_MS = 100;
/** A watcher that has this much unread is ended; it comes back and lists. */
export const WATCH_BUFFER_BYTES_MAX = 64 * 1024 * 1024;
/** While a watcher has this much unread, no further initial events are written to it. */
export const WATCH_INITIAL_BYTES_MAX = 1024 * 1024;
export const BOOKMARK_PERIOD_MS = 60_000;
/** Without timeoutSeconds a watch lasts between one and two of these. */
export const WATCH_SECONDS_MIN = 1_800;
/** Bodies above this are compressed for clients that accept gzip. */
export const GZIP_BYTES_MIN = 128 * 1024;
/** Names tried for one generateName. */
export const GENERATE_NAME_ATTEMPTS = 8;
/** Rounds of an update that has no resourceVersion and meets other writers. */
export const UPDATE_ATTEMPTS_MAX = 64;
/** Store history older than this is compacted; continue tokens live so long. */
export const COMPACTION_PERIOD_MS = 300_000;
/** Events (core/v1) vanish after this. */
export const EVENT_TTL_SECONDS = 3_600;
export const JSON_PATCH_OPERATIONS_MAX = 10_000;
/** What the `copy` operations of one JSON patch may add: they can double a document each. */
export const JSON_PATCH_COPY_BYTES_MAX = REQUEST_BODY_BYTES_MAX;
/** Objects loaded from the store in one range when caches are filled. */
export const LOAD_PAGE_COUNT = 500;
/** Between two attempts to fill the caches again, doubled while the store does not answer. */
export const RELOAD_PAUSE_MS_MIN = 100;
export const RELOAD_PAUSE_MS_MAX = 2_000;
/** Objects deleted at the same time by one deletecollection. */
export const DELETE_COLLECTION_PARALLEL = 8;
