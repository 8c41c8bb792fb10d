/** Bounds of the Raft core, with their reasons. Bytes of entries include ENTRY_OVERHEAD_BYTES each. */

export interface Limits {
  /** Of entries in one append; one message must not hold up the connection. */
  readonly appendBytesMax: number;
  /** Appends to one member without an answer; hides the round trip at a thousand writes a batch. */
  readonly inflightAppendsMax: number;
  /** Bytes of those; what a leader may have to send again. */
  readonly inflightBytesMax: number;
  /** Proposed and not yet committed; beyond it proposals are refused, so that memory has a bound. */
  readonly uncommittedBytesMax: number;
  /** Committed entries in one Ready; keeps one turn of the state machine short. */
  readonly committedBytesPerReadyMax: number;
  /** Reads that wait for confirmation (etcd PR #12762: unbounded during an election). */
  readonly readsPendingMax: number;
}

const MEBIBYTE = 1024 * 1024;

export const LIMITS: Limits = {
  appendBytesMax: MEBIBYTE,
  inflightAppendsMax: 256,
  inflightBytesMax: 16 * MEBIBYTE,
  uncommittedBytesMax: 64 * MEBIBYTE,
  committedBytesPerReadyMax: MEBIBYTE / 8,
  readsPendingMax: 65_536,
};

/** What an entry costs beside its data, in memory and on the wire; so that empty ones count too. */
export const ENTRY_OVERHEAD_BYTES = 32;
