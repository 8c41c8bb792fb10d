/** Bounds of what the kubelet queues, caches and runs at once, each with its reason. */

/** Image pulls at a time: more would only share the same link and disk. */
export const PULLS_MAX = 5;
/** Pods on this node; upstream's default, and what the pod network's address range allows. */
export const PODS_MAX = 110;
/** Images shown in the node's status, as upstream limits them. */
export const NODE_IMAGES_MAX = 50;
/** Bytes of a termination message that the API shows. */
export const TERMINATION_MESSAGE_BYTES_MAX = 4096;
/** Bytes and lines taken from the end of the log in place of a message. */
export const TERMINATION_LOG_BYTES_MAX = 2048;
export const TERMINATION_LOG_LINES_MAX = 80;
/** A container's log file is rotated at this size; so many files are kept, as upstream. */
export const LOG_FILE_BYTES_MAX = 10 * 1024 * 1024;
export const LOG_FILES_MAX = 5;
/** Bytes of a probe's output that events and logs show. */
export const PROBE_OUTPUT_BYTES_MAX = 10 * 1024;
/** Answer of a gRPC health check: an enum in seven bytes, and room for fields of later versions. */
export const HEALTH_ANSWER_BYTES_MAX = 4096;
/** Exec and attach sessions at a time: each holds a process and two sockets. */
export const STREAM_SESSIONS_MAX = 256;
/** Bytes of an environment file: what a ConfigMap may hold. */
export const ENV_FILE_BYTES_MAX = 1024 * 1024;
