/** Bounds of the gateway, which strangers reach. */

/** Operators and their tools; a node's own peers come later. */
export const CONNECTIONS_MAX = 256;
export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** A connection that says nothing for this long is pinged, and closed when it stays silent. */
export const IDLE_PING_MS = 20_000;
/** How long calls that are under way may go on when the gateway ends; followers of logs are cut off. */
export const DRAIN_MS = 2_000;
/** Calls under way in all, each with up to two windows (base/protocol/frames.ts) of unread bytes. */
export const CALLS_MAX = 128;
/** Of these, calls that only an administrator may open: followers of logs must not lock the machine's owner out. */
export const CALLS_RESERVED = 32;
