/** Bounds of net/netlink, with their reasons. */

/** SO_SNDBUF and SO_RCVBUF: a first sync of 10,000 services is 2 MB, a burst of its events 8 MB. */
export const SOCKET_BUFFER_BYTES = 32 * 1024 * 1024;

/** The kernel never builds a dump datagram longer than 32 KiB; acknowledgements are capped. */
export const RECEIVE_BYTES_MAX = 64 * 1024;

/** One read of an event socket: a notification is one message of at most a page or so. */
export const EVENT_BYTES_MAX = 64 * 1024;
