/** Bounds of everything in daemon/runtime that is fed from outside, each with its reason. */

/** Manifests, indexes and configs; registries refuse larger manifests too (4 MiB is customary). */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024;
/** Extended headers and long names of a tar archive; real ones are below 64 KiB. */
export const TAR_META_BYTES_MAX = 1024 * 1024;
/** overlayfs takes 500 lower directories; images end at 127 layers elsewhere too. */
export const LAYER_COUNT_MAX = 127;
/** Members of an archive outside of its layers: blobs, manifests, `VERSION`, `json`. */
export const ARCHIVE_MEMBER_COUNT_MAX = 4096;
/** Layers fetched at once for one pull. */
export const LAYER_FETCH_COUNT_MAX = 3;
/** A pull begins again when layers that it counted on were removed meanwhile. */
export const PULL_ATTEMPT_COUNT_MAX = 5;
/** Attempts for one blob; each goes on where the one before broke off. */
export const BLOB_ATTEMPT_COUNT_MAX = 5;
/** First wait between two attempts; doubles. */
export const BLOB_BACKOFF_MS = 500;
/** A registry that says nothing for this long is given up. */
export const REGISTRY_IDLE_MS_MAX = 30_000;
/** Downloads untouched for longer than this are dropped, at start and before a pull. */
export const PARTIAL_AGE_MS_MAX = 24 * 60 * 60 * 1000;
/** Output of execSync kept per stream. */
export const EXEC_OUTPUT_BYTES_MAX = 1024 * 1024;
/** Output of one stream waiting for its reader; the source is paused there. */
export const STREAM_BYTES_MAX = 256 * 1024;
/** conmon reads attach input in messages of at most this size. */
export const ATTACH_MESSAGE_BYTES_MAX = 8192;
/** Attach sessions of the whole node: each is one descriptor of the poll set. */
export const ATTACH_SESSION_COUNT_MAX = 512;
/** The exit directory is read this often even when no event came: a lost event costs time only. */
export const EXIT_SWEEP_MS = 5_000;
/**
 * Containers started or deleted at once: one per processor, and at least this many. Starting a program
 * stops this thread until the program runs, which takes the longer the more of them want processors.
 */
export const RUNC_COUNT_MIN = 2;
/** For the last processes (monitors that are ending) to leave the cgroup of a pod. */
export const CGROUP_LEAVE_MS_MAX = 1_000;
/** conmon and runc create together; 30 to 50 ms are usual, emulation and full machines take longer. */
export const CREATE_MS_MAX = 240_000;
/** Text of runc and conmon kept in errors. */
export const ERROR_TEXT_BYTES_MAX = 4096;
/** /etc/passwd and /etc/group of an image. */
export const USER_FILE_BYTES_MAX = 1024 * 1024;
