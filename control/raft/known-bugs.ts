/**
 * Which known bugs of other implementations are tested where, by their numbers in reference/store.md
 * section 2. coverage.test.ts holds the tests to this table.
 */

/**
 * core       a test named `raft bug N` in bugs-*.test.ts beside this file
 * wal        control/store/wal: what is synced before what, and what recovery makes of it
 * store      control/store beside its log: state machine, checkpoints, members' identity
 * transport  the handshake between members
 */
export type Place = 'core' | 'wal' | 'store' | 'transport';

interface KnownBug {
  readonly what: string;
  /** Several where the core cannot prevent it alone. */
  readonly places: readonly Place[];
}

export const KNOWN_BUGS: Readonly<Record<number, KnownBug>> = {
  1: { what: 'a new leader answers reads before it committed in its term', places: ['core'] },
  2: { what: 'a late answer to a heartbeat confirms a later read', places: ['core'] },
  3: { what: 'the result of a read is used after a change of leader', places: ['core'] },
  4: { what: 'the quorum of a read is one too small', places: ['core'] },
  5: { what: 'pre-votes leave members stuck or never elect', places: ['core'] },
  6: { what: 'a partial partition makes endless elections', places: ['core'] },
  7: { what: 'two leaders change the same members apart', places: ['core'] },
  8: { what: 'a voter that takes itself for a learner does not vote', places: ['core'] },
  9: { what: 'a joint configuration is forgotten at restart or commit', places: ['core'] },
  10: { what: 'a quorum is counted on a list that lost its order', places: ['core'] },
  11: { what: 'an append cuts the log without a conflict', places: ['core'] },
  12: { what: 'logs are compared by term and index one by one', places: ['core'] },
  13: { what: 'the vote of a member without a log is not kept', places: ['core'] },
  14: { what: 'the end of a write counts for what replaced its entries', places: ['core'] },
  15: { what: 'a member is never sent anything again', places: ['core'] },
  16: { what: 'a group of one acknowledges before its disk', places: ['core', 'wal'] },
  17: { what: 'a segment goes before the hard state is safe elsewhere', places: ['wal'] },
  18: { what: 'the applied index is kept apart from the data', places: ['store'] },
  19: { what: 'two snapshots, or a snapshot and applying, overtake', places: ['core', 'store'] },
  20: { what: 'a snapshot or compaction loses the members', places: ['core', 'store'] },
  21: { what: 'a transfer of leadership outlasts the leadership', places: ['core'] },
  22: { what: 'a leader whose disk hangs keeps its followers', places: ['core'] },
  23: { what: 'pipelining makes commits wait behind a long queue', places: ['core'] },
  24: { what: 'a disk is set back', places: ['core', 'store', 'transport'] },
  25: { what: 'a member behind a purged log gets no snapshot', places: ['core'] },
  26: { what: 'reads pile up while there is no leader', places: ['core'] },
};
