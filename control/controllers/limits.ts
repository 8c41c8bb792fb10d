/** Bounds of the controllers, and where they come from. */

/** Pods one ReplicaSet or Job creates or deletes in one pass (upstream's BurstReplicas). */
export const BURST_REPLICAS_MAX = 500;

/** Expectations older than this are given up: a watch event was lost (client-go's timeout). */
export const EXPECTATION_TTL_MS = 5 * 60_000;

/** Objects deleted by garbage collector and namespace controller at the same time. */
export const DELETE_CONCURRENCY_MAX = 20;

/** A controller that fails is started again after 1 s, doubling up to this. */
export const RESTART_BACKOFF_MS_MIN = 1_000;
export const RESTART_BACKOFF_MS_MAX = 60_000;

/** Characters of deployment.kubernetes.io/revision-history. */
export const REVISION_HISTORY_CHARS_MAX = 2000;

/** Pods one DaemonSet creates or deletes in one pass (upstream's BurstReplicas of daemon sets). */
export const DAEMON_BURST_MAX = 250;

/** Failed daemon pods of one node are replaced after 1 s, doubling up to this (upstream's). */
export const FAILED_DAEMON_BACKOFF_MS_MIN = 1_000;
export const FAILED_DAEMON_BACKOFF_MS_MAX = 15 * 60_000;
