/** Bounds of net/dns, with their reasons. */

/** Of cluster records: changes of endpoints show within this time in clients that cache. */
export const RECORD_TTL_SECONDS = 5;

/** Upstream answers, a few hundred bytes each. */
export const CACHE_ENTRIES_MAX = 10_000;
/** As upstream's cluster DNS: a cluster should not outlive changes of the outside by much. */
export const CACHE_SECONDS_MAX = 30;

/** EDNS payload that passes every network unfragmented (DNS flag day 2020). */
export const UDP_PAYLOAD_BYTES = 1232;
/** Without EDNS (RFC 1035 2.3.4). */
export const UDP_PAYLOAD_BYTES_PLAIN = 512;

/** The length before a message in TCP is 16 bits. */
export const TCP_MESSAGE_BYTES_MAX = 65_535;

/** Queries waiting for upstream servers; beyond, SERVFAIL at once. Each holds a socket. */
export const FORWARDS_MAX = 1000;
export const FORWARD_TIMEOUT_MS = 2000;
/** After so many queries in a row without an answer a server counts as silent. */
export const SILENT_QUERIES = 3;
export const FORWARD_TIMEOUT_MS_SILENT = 300;
/** Rounds through the list of upstream servers. */
export const FORWARD_ATTEMPTS = 2;

export const TCP_CONNECTIONS_MAX = 256;
/** Answers that a client of one connection has not read; four of the largest. */
export const TCP_UNSENT_BYTES_MAX = 4 * TCP_MESSAGE_BYTES_MAX;
/** RFC 7766 6.2.3: a few seconds. */
export const TCP_IDLE_MS = 10_000;

/** How long a read /etc/resolv.conf counts. */
export const RESOLV_CONF_SECONDS = 5;

/** Steps of a chain of CNAMEs inside the cluster. */
export const CNAME_STEPS_MAX = 8;

/** Until another try, when the address or port is taken. */
export const LISTEN_RETRY_MS = 2000;
