/** Bounds of net/proxy, with their reasons. */

/** Default life of an affinity entry; every chain states its service's own. */
export const AFFINITY_TIMEOUT_MS = 10_800_000;

/** Clients remembered per map, 100 bytes each; beyond, services balance without memory. */
export const AFFINITY_ENTRIES_MAX = 262_144;

/** Pause between two commits: a burst of changes costs one commit instead of hundreds. */
export const SYNC_INTERVAL_MS_MIN = 10;

/** Full comparison with the kernel, in case somebody else changed the table. */
export const RESYNC_INTERVAL_MS = 600_000;

/** Wait after a refused commit, doubling. */
export const RETRY_MS_MIN = 100;
export const RETRY_MS_MAX = 30_000;
