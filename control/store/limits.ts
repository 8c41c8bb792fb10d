/** Every bound of the store, with its reason. */

/** Largest encoded transaction; etcd's default request limit. */
export const TXN_BYTES_MAX = 1.5 * 1024 * 1024;

/** Operations in one branch of a transaction; etcd's default. */
export const TXN_OPS_MAX = 128;

/** One slab of keys or values. A block never spans slabs, so this also bounds a value. */
export const SLAB_BYTES = 4 * 1024 * 1024;

/** Columns of the key space from this size on grow in place; smaller ones are copied in no time. */
export const COLUMN_BYTES_IN_PLACE_MIN = 128 * 1024;

/** Room for a column in the address space: 2^28 rows and more. Beyond it growing copies again. */
export const COLUMN_BYTES_MAX = 2 * 1024 * 1024 * 1024;

/** Longest key. etcd has no limit of its own; object names are far shorter. */
export const KEY_BYTES_MAX = 4096;

/** Of the watches of one client; it and the engine go by the same. */
export interface WatchLimits {
  /** Undelivered bytes that the client may hold before its watches become cursors. */
  readonly inflightBytes: number;
  /** Events encoded for lagging watches in one turn, so that writes are not held up behind them. */
  readonly catchUpEvents: number;
}

export const WATCH_LIMITS: WatchLimits = { inflightBytes: 8 * 1024 * 1024, catchUpEvents: 512 };

/** Batches that wait in one Watch for their reader; beyond it the watch re-reads history later. */
export const WATCH_QUEUE_BATCHES_MAX = 4096;

/** Watches of one client. */
export const WATCHES_MAX = 100_000;

/** Requests of one client that have no answer yet; beyond it UNAVAILABLE. */
export const REQUESTS_IN_FLIGHT_MAX = 65_536;

/** Sessions of clients; beyond it the one unused for longest ends. API servers and tools are few. */
export const SESSIONS_MAX = 256;

/** Commands of a session that are remembered, and so the most that a client has under way. */
export const SESSION_WINDOW = 1024;

/**
 * How long a client asks for the outcome of a write that a change of leader hides, before it is unknown:
 * twice the longest fail-over.
 */
export const OUTCOME_MS_MAX = 5000;

/** A session that executed nothing for this many log entries has ended: days of a busy store. */
export const SESSION_IDLE_ENTRIES = 2 ** 24;

/** Members of a group, learners too: far more than ever pay. */
export const MEMBERS_MAX = 64;

/** Longest key hash and address of a member. */
export const MEMBER_TEXT_BYTES_MAX = 256;

/** Longest lease: etcd's 9e9 seconds would not survive conversion to milliseconds as an integer. */
export const LEASE_TTL_SECONDS_MAX = 9_000_000_000;

/** Keys looked at in one slice of physical compaction: well under a millisecond. */
export const COMPACTION_KEYS_PER_SLICE = 500;

/** Bytes of slab scanned in one slice of relocation. */
export const RELOCATION_BYTES_PER_SLICE = 256 * 1024;

/** Quota on live bytes where none is set: this, or a share of the smallest voter's memory. */
export const QUOTA_BYTES_DEFAULT = 2 * 1024 * 1024 * 1024;
export const QUOTA_MEMORY_SHARE = 0.25;

/** Ticks between statements of a member about itself to its leader. */
export const STATEMENT_TICKS = 50;

/** A log segment is closed when it has grown to this. */
export const SEGMENT_BYTES = 16 * 1024 * 1024;

/** Largest segment file: one that took in the largest batch just before it was full. */
export const SEGMENT_FILE_BYTES_MAX = 256 * 1024 * 1024;

/** Step by which a segment is filled with zeros ahead of the writes. */
export const PREALLOCATE_BYTES = 1024 * 1024;

/**
 * Hashes of the state kept behind the last entries, for members that compare theirs later: about a second
 * of writes. Those behind which a checkpoint was due are kept for members that catch up.
 */
export const STATE_HASHES_KEPT = 16_384;
export const STATE_HASHES_MARKED_MAX = 16;

/**
 * Ticks for which a checkpoint that is written waits for a quorum with the same state before a newer one
 * may take its place: nobody may know any more what was behind its index.
 */
export const CHECKPOINT_WAIT_TICKS = 50;

/** Ballast on the store's disk, in files of this size: what deletes and elections may use up. */
export const BALLAST_PIECE_BYTES = 1024 * 1024;
export const BALLAST_PIECES = 8;

/** A checkpoint is due after this much log, or after as much log as there is live data. */
export const CHECKPOINT_LOG_BYTES_MIN = 16 * 1024 * 1024;

/** Chunks of a checkpoint: usual, least and most bytes. A record never spans two of them. */
export const CHECKPOINT_CHUNK_BYTES = 256 * 1024;
export const CHECKPOINT_CHUNK_BYTES_MIN = 64 * 1024;
export const CHECKPOINT_CHUNK_BYTES_MAX = 512 * 1024;

/** Largest chunk that is read: one that took in the largest record, or all sessions. */
export const CHECKPOINT_CHUNK_BYTES_LIMIT = 8 * 1024 * 1024;

/** Largest manifest that is read: that of hundreds of gigabytes. */
export const CHECKPOINT_MANIFEST_BYTES_LIMIT = 64 * 1024 * 1024;

/** Keys written to a checkpoint in one slice. */
export const CHECKPOINT_KEYS_PER_SLICE = 512;

/** Sessions written to it in one, a thousand commands each. */
export const CHECKPOINT_SESSIONS_PER_SLICE = 8;

/** Records of a checkpoint put into place in one slice, and bytes of it read: about a millisecond. */
export const RESTORE_SLICE_RECORDS = 512;
export const RESTORE_SLICE_BYTES = 128 * 1024;

/** Bytes of the disk read again in a tick, 10 MB/s; the first time, and how long between rounds. */
export const SCRUB_BYTES_PER_TICK = 1024 * 1024;
export const SCRUB_FIRST_TICKS = 10 * 60 * 10;
export const SCRUB_PAUSE_TICKS = 3 * 24 * 3600 * 10;

/** After a round that found damage: until the next, which must find none. */
export const SCRUB_AGAIN_TICKS = 600;

/** Bytes of requests of one client taken in one turn; the rest waits for the next. */
export const REQUEST_BYTES_PER_PUMP = 4 * 1024 * 1024;

/** Turns that take in no requests while committed entries wait to be applied. */
export const HELD_BACK_PUMPS_MAX = 8;

/** Messages of other members taken in one turn. */
export const PEER_MESSAGES_PER_PUMP = 1024;

/** Applied entries that stay in memory behind the applied index. */
export const LOG_TAIL_ENTRIES = 256;

/**
 * Log that a member of a group keeps in memory for those that lag; beyond it they get a snapshot. Also
 * bounds what waits for a receiver of one.
 */
export const LOG_MEMORY_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The same while a member fetches a snapshot or catches up behind one: 1 GB at 10 MB/s takes 100 s, and
 * 2,000 writes of 1 KB a second are 200 MB meanwhile.
 */
export const LOG_CATCH_UP_BYTES_MAX = 256 * 1024 * 1024;

/** Ticks until a request that no leader can take, or no quorum can confirm, is given up: 5 s. */
export const REQUEST_TICKS_MAX = 50;

/**
 * Ticks without a known leader after which watches end, and requests for a leader are refused at once:
 * this member may be cut off from the others, and its silence would look like calm (etcd's
 * require-leader).
 */
export const LEADERLESS_TICKS_MAX = 30;

/** Ticks until an unanswered question for a read is asked again. */
export const READ_RETRY_TICKS = 5;

/** Bytes of requests that wait for a leader, or for its answer. */
export const LEADER_CALLS_BYTES_MAX = 64 * 1024 * 1024;

/** Requests of each other member's clients that a leader knows again when they come doubled. */
export const ASKS_REMEMBERED = 4096;

/** Bytes of chunks sent or asked for in a tick, at most: 80 MB/s. Less where the log would feel it. */
export const SNAPSHOT_BYTES_PER_TICK = 8 * 1024 * 1024;

/** The least that is left to bulk traffic, 1 MB/s, and the step by which it grows again. */
export const BULK_BYTES_PER_TICK_MIN = 100 * 1024;
export const BULK_BYTES_PER_TICK_STEP = 256 * 1024;

/** Syncs of the log whose duration is remembered, with and without bulk traffic each. */
export const BULK_SYNCS_KEPT = 256;

/** Chunks asked for and not yet there. */
export const CHUNKS_IN_FLIGHT_MAX = 8;

/** Ticks until a transfer without a sign of life is offered, or asked for, again. */
export const SNAPSHOT_OFFER_TICKS = 10;

/** Ticks until a silent receiver keeps a checkpoint from going no more, and a silent sender is left. */
export const SNAPSHOT_SILENT_TICKS = 100;

/** Snapshots that clients of a member read at a time: each keeps a checkpoint from going. */
export const SNAPSHOTS_OPEN_MAX = 8;

/** Ticks until a snapshot that nobody reads on is given up, and until a wait for one is. */
export const SNAPSHOT_IDLE_TICKS = 600;
export const SNAPSHOT_WAIT_TICKS = 3000;

/** Bytes of a snapshot in one answer. */
export const SNAPSHOT_PIECE_BYTES_MAX = 1024 * 1024;
export const SNAPSHOT_PIECE_BYTES = 256 * 1024;

/** Wait before a scheduled snapshot that failed is tried again. */
export const BACKUP_RETRY_MS = 15 * 60_000;

/** Live bytes, times this, that stay free beside a scheduled snapshot: log and checkpoints go first. */
export const BACKUP_FREE_FACTOR = 3;

/** What a restored store adds to its revisions, so that no client knows one that is yet to come. */
export const RESTORE_REVISION_STEP = 1_000_000_000;

/** Entries that a learner may lack when it is made a voter. */
export const PROMOTE_LAG_ENTRIES = 64;

/** Ticks between comparisons of the members' state while nothing is written. */
export const HASH_ROUND_TICKS = 10;

/** Comparisons under way: members that lag answer late. */
export const HASH_ROUNDS_KEPT = 16;

/** Entries of one append: the core puts a MiB into one, in which each counts 32 bytes at least. */
export const APPEND_ENTRIES_MAX = 32_768;

/** Messages of other members that wait for a turn; beyond it they are lost, as on a network. */
export const PEER_INBOX_MAX = 16_384;

/** Connections to a member's port: three to each other member, and clients. */
export const CONNECTIONS_MAX = 1024;

/** TLS, upgrade, hello: each of them. A socket that says nothing is closed (GHSA-6vch-q96h-7gc3). */
export const HANDSHAKE_MS_MAX = 5000;

/** Largest message on a socket: a manifest of many gigabytes; a batch of a client's requests. */
export const SOCKET_MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

/** Sockets of keys that are no member's nor client's, and the longest message on them: a join token. */
export const STRANGERS_MAX = 64;
export const STRANGER_MESSAGE_BYTES_MAX = 64 * 1024;

/** How long who is not of the group may ask: longer than an attempt to come in. */
export const OUTSIDER_MS_MAX = 15_000;

/** Longest message to a client on a socket; what is longer comes in several. */
export const SOCKET_PIECE_BYTES = 256 * 1024;

/** Largest frame to a client over a network: a range is answered in one. */
export const REPLY_BYTES_MAX = 1024 * 1024 * 1024;

/** Requests of a client over a network that the engine has not taken, beyond which its socket is not read. */
export const CLIENT_INBOX_BYTES_MAX = 16 * 1024 * 1024;

/** Answers that a client over a network has not taken, beyond which its socket is closed. */
export const CLIENT_BUFFERED_BYTES_MAX = 256 * 1024 * 1024;

/** Time between pings of a client to its member, and how many may stay unanswered: 3 to 4 s of silence. */
export const CLIENT_PING_MS = 1000;
export const CLIENT_PINGS_UNANSWERED_MAX = 3;

/**
 * The same of a member to its clients: who is gone without a word is cut within 20 s, or 2 min where bytes
 * for it wait.
 */
export const SERVER_PING_MS = 5000;
export const SERVER_PINGS_UNANSWERED_MAX = 3;
export const SERVER_PINGS_UNANSWERED_BACKLOG_MAX = 24;

/** A member that hears of no leader sends its clients away so often. */
export const LEADERLESS_CHECK_MS = 1000;

/** Unsent bytes on a socket to a member, beyond which messages are dropped. */
export const SOCKET_BUFFERED_BYTES_MAX = {
  control: 4 * 1024 * 1024,
  append: 32 * 1024 * 1024,
  bulk: 16 * 1024 * 1024,
} as const;

/** Waits between attempts to reach a member: doubling from the one to the other. */
export const DIAL_RETRY_MS_MIN = 50;
export const DIAL_RETRY_MS_MAX = 1000;

/** A socket that does not answer a ping before the next one is closed. */
export const PING_MS = 2000;

/** Rounds of work before the worker looks at timers again. */
export const PUMPS_PER_TURN_MAX = 16;
/** From the last word of a leader that ends in good order to the end: what its successor is sent leaves. */
export const RESIGN_MS = 100;

/** Entries in one answer to a member whose log is damaged: one more may pass it. */
export const ENTRY_RESPONSE_BYTES_MAX = 1024 * 1024;

/** Bytes of segments read for it in one turn: a batch more may pass it. About a millisecond. */
export const ENTRIES_READ_BYTES_PER_SLICE = 256 * 1024;

/** Ticks for which entries read from segments are kept for the next question. */
export const ENTRY_SOURCE_TICKS = 50;

/** A tick of a member whose directory is damaged. */
export const REPAIR_TICK_MS = 100;

/** Ticks until a member whose directory is damaged asks another member. */
export const REPAIR_RETRY_TICKS = 5;

/** Ticks without progress, once a member has refused, after which a directory counts as beyond repair. */
export const REPAIR_TICKS_MAX = 100;

/** A member that wants to come in anew asks one other for so long, and after this time the next. */
export const REJOIN_ATTEMPT_MS_MAX = 10_000;
export const REJOIN_RETRY_MS = 1000;

/** A member that is alone by its log asks others for so long before it leads. */
export const LOOK_AROUND_MS_MAX = 3000;

/** And again, when a stranger dials it, no more often than this. */
export const LOOK_AROUND_PAUSE_MS = 10_000;

export const JOIN_TOKEN_BYTES_MAX = 200;
