/** Bounds of the Raft core, with their reasons. */

/** Bytes of entries in one append; one message must not hold up the connection. */
export const APPEND_BYTES_MAX = 1024 * 1024;

/** Appends to one follower without an answer; hides the round trip at a thousand writes a batch. */
export const INFLIGHT_APPENDS_MAX = 256;

/** Bytes of those; what a leader may have to send again. */
export const INFLIGHT_BYTES_MAX = 16 * 1024 * 1024;

/** Proposed and not yet committed; beyond it proposals are refused, so that memory has a bound. */
export const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024;

/** Bytes of committed entries in one Ready; keeps one turn of the state machine short. */
export const COMMITTED_BYTES_PER_READY_MAX = 4 * 1024 * 1024;

/** Reads that wait for confirmation (etcd PR #12762: unbounded during an election). */
export const READS_PENDING_MAX = 65_536;
