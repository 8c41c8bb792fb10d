/** Bounds of the gateway, which strangers reach. */

/** Operators and their tools; a node's own peers come later. */
export const CONNECTIONS_MAX = 256;
export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** A connection that says nothing for this long is pinged, and closed when it stays silent. */
export const IDLE_PING_MS = 20_000;
/** How long calls that are under way may go on when the gateway ends; followers of logs are cut off. */
export const DRAIN_MS = 2_000;
