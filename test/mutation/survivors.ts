/** Mutants that no test can find, or need not, and why: each was looked at. */

export interface Survivor {
  readonly file: string;
  /** The innermost function or member with a name. */
  readonly within: string;
  /** The line with the change in it, as changeOf (subjects.ts) gives it. */
  readonly change: string;
  /** Mutants that look like this, within one function: 1 if not said. */
  readonly times?: number;
  readonly why: string;
}

const ADMIT = 'control/raft/admit.ts';
const JOIN = 'control/store/wal/join.ts';
const LEADER = 'control/raft/leader.ts';
const LOG = 'control/raft/log.ts';
const RECOVER = 'control/store/wal/recover.ts';
const REWRITE = 'control/store/wal/rewrite.ts';

const SLOW_WAY =
  'The usual case, found in one step; the way for all cases gives the same, by a search.';

const HEADER_PAST_END =
  'parseBatchHeader() refuses what ends behind the bytes; behind them there is no magic byte either.';

const MAGIC_BYTE_FIRST =
  'Saves the call for what cannot be a header: parseBatchHeader() compares all of the magic number.';

export const survivors: readonly Survivor[] = [
  {
    file: ADMIT,
    within: 'admit',
    change:
      'becomeFollower(state, message.term, [isFromLeader(message) -> false] ? message.from : 0);',
    why: 'Raft.step() makes it follow the sender right after; here that saves a second reset.',
  },
  {
    file: 'control/raft/follower.ts',
    within: 'onSnapshot',
    change: 'if (snapshot.index [<= -> <] log.commitIndex) {',
    why: 'At its commit index the log matches, and the branch for that says the same.',
  },
  {
    file: LEADER,
    within: 'maybeCommit',
    change: 'if (index [<= -> <] log.commitIndex || log.term(index) !== state.term) return;',
    why: 'Commits nothing, and settles members that are settled.',
  },
  {
    file: LEADER,
    within: 'settleMembers',
    change: 'if ([!hasCommittedInTerm(state) -> false]) return;',
    why: 'Only a transfer that fails before the first commit comes here; proposals are refused then.',
  },
  {
    file: LOG,
    within: 'handCommitted',
    change: 'if ([!this.hasUnhandedCommitted -> false]) return NO_ENTRIES;',
    why: 'An empty slice is made then.',
  },
  {
    file: LOG,
    within: 'compactTo',
    change: 'if (index [<= -> <] this.#snapshotIndex) return;',
    why: 'Compacts nothing.',
  },
  {
    file: LOG,
    within: 'compactTo',
    change: '[this.#history.compactTo(index); -> ;]',
    why: 'It frees memory; members before the first entry in memory are never asked for.',
  },
  {
    file: 'control/raft/progress.ts',
    within: '#isPoked',
    change: '#isPoked = [false -> true];',
    why: 'It is looked at outside probes alone, and the way there clears it.',
  },
  {
    file: 'control/raft/quorum.ts',
    within: 'majorityIndex',
    change:
      'if ([voters.length === 1 -> false]) return matchOf(voters[0] as MemberId); // Length checked.',
    why: SLOW_WAY,
  },
  {
    file: 'control/raft/raft.ts',
    within: 'offerSnapshot',
    change:
      'if (index [> -> >=] (this.#state.offered?.index ?? 0)) this.#state.offered = snapshot;',
    why: 'What is committed at an index has one term and one configuration: both are equal.',
  },
  {
    file: 'control/raft/reads.ts',
    within: 'finishConfirmed',
    change: 'if ([reads.count === 0 -> false]) return;',
    why: 'Without reads takeUpTo() takes none, whatever the counter is.',
  },
  {
    file: 'control/raft/responses.ts',
    within: 'hasQuorum',
    change: 'id === state.id || (leading.progress.get(id)?.recentActive ?? [false -> true]);',
    why: 'Every voter has a Progress.',
  },
  {
    file: 'control/raft/status.ts',
    within: 'statusOf',
    change: "transferTo: [role.kind === 'leader' -> true] ? (role.transfer?.to ?? 0) : 0,",
    why: 'The other roles have no transfer, which gives 0, too; the types alone want it told apart.',
  },
  {
    file: 'control/raft/ticks.ts',
    within: 'tick',
    change: "if ([state.role.kind === 'follower' -> true]) state.leader = 0;",
    why: 'A candidate knows no leader, and campaign() makes none: the own vote must be durable first.',
  },
  {
    file: 'control/raft/transfer.ts',
    within: 'advanceTransfer',
    change: 'if ([to === undefined -> false]) return;',
    why: 'There is no Progress of undefined, and the next line returns; the types alone want it.',
  },
  {
    file: JOIN,
    within: 'stretch',
    change: 'if ([entry === undefined -> false]) return undefined;',
    why: 'A second line of defence: an entry that is lacking lies in a gap, and that either hides it, or ends behind `to`, which is not known then.',
  },
  {
    file: JOIN,
    within: '#append',
    change:
      'if ([index === this.#last.index + 1 && (isSure || term === this.#last.term) -> false]) {',
    why: SLOW_WAY,
  },
  {
    file: JOIN,
    within: '#append',
    change: 'if (index === this.#last.index + 1 && (isSure [|| -> &&] term === this.#last.term)) {',
    why: SLOW_WAY,
  },
  {
    file: JOIN,
    within: '#append',
    change:
      'if (index === this.#last.index + 1 && (isSure || term === this.#last.term)) [{ ... -> {}]',
    why: SLOW_WAY,
  },
  {
    file: JOIN,
    within: '#lastKnown',
    change:
      'for (const entry of this.#entries.values()) if (entry.index [> -> >=] best.index) best = idOf(entry);',
    why: 'The entry at the end of a gap is the one that the gap names.',
  },
  {
    file: 'control/store/wal/read-segment.ts',
    within: 'readSegment',
    change: 'for (let at = SEGMENT_HEADER_BYTES; at [+ -> -] BATCH_HEADER_BYTES <= file.size; ) {',
    why: 'What is read behind the end is empty, and ends the reading as zeros do.',
  },
  {
    file: 'control/store/wal/record.ts',
    within: '#entry',
    change: 'const before = this.#last?.index ?? index [- -> +] 1;',
    why: 'Behind a hole any index may come: neither number makes a gap.',
  },
  {
    file: RECOVER,
    within: 'result',
    change:
      'content: [isWhole -> false] ? content : (this.#pieces[0]?.content ?? new RecordFold(start).content()),',
    why: 'The one piece of a log without holes is its content.',
  },
  {
    file: RECOVER,
    within: '#batches',
    change: 'let beforeLast = this.#position [?? -> &&] header.start;',
    why: '#enter() came before: the position is where the header says that the segment starts.',
  },
  {
    file: RECOVER,
    within: '#isProved',
    change: 'return [true -> false];',
    why: 'The hole is noted. All that the answer leads to is a torn tail, which result() does not tell of a log with holes.',
  },
  {
    file: RECOVER,
    within: '#validBatch',
    change: 'if ([bodyAt + header.bodyBytes > bytes.length -> false]) return undefined;',
    why: 'A body that ends early has another checksum.',
  },
  {
    file: RECOVER,
    within: '#validBatch',
    change: 'if (bodyAt [+ -> -] header.bodyBytes > bytes.length) return undefined;',
    why: 'The header lies within the bytes, so this is never so; a body that ends early has another checksum.',
  },
  {
    file: RECOVER,
    within: '#laterBatch',
    change: 'for (let at = from; at [+ -> -] BATCH_HEADER_BYTES <= bytes.length; at += 8) {',
    why: HEADER_PAST_END,
  },
  {
    file: RECOVER,
    within: '#laterBatch',
    change: 'if ([bytes[at] !== BATCH_MAGIC_BYTE -> false]) continue;',
    why: MAGIC_BYTE_FIRST,
  },
  {
    file: RECOVER,
    within: 'endOf',
    change: 'const index = known + (ahead [< -> <=] 2 ** 31 ? ahead : ahead - 2 ** 32);',
    why: 'A hole of 2^31 entries: half of the numbers are as far off as can be told.',
  },
  {
    file: RECOVER,
    within: 'laterHeader',
    change: 'for (let at = from; at [+ -> -] BATCH_HEADER_BYTES <= bytes.length; at += 8) {',
    why: HEADER_PAST_END,
  },
  {
    file: RECOVER,
    within: 'laterHeader',
    change: 'if ([bytes[at] !== BATCH_MAGIC_BYTE -> false]) continue;',
    why: MAGIC_BYTE_FIRST,
  },
  {
    file: REWRITE,
    within: 'fill',
    change: 'const out = new ByteWriter(64 [* -> /] 1024);',
    why: 'Room to begin with: it grows.',
  },
  {
    file: REWRITE,
    within: 'parseWaitingName',
    change: 'if (number === undefined [|| -> &&] first === undefined) return undefined;',
    why: 'Two groups of one match that neither leaves out: both are there, or there is no match.',
  },
  {
    file: 'control/store/wal/segment-file.ts',
    within: 'readWhole',
    change: 'for (let at = 0; at [< -> <=] size; at += READ_BYTES) {',
    why: 'One more read, of no bytes, where the file has ended.',
  },
  {
    file: 'control/store/wal/wal.ts',
    within: 'constructor',
    change: 'this.#out = new ByteWriter(64 [* -> /] 1024, allocate);',
    why: 'The room to begin with: it grows with what is written.',
  },
  {
    file: 'control/store/wal/wal.ts',
    within: '#prepare',
    change: 'if ([!isFull && this.#current.hasRoom(bytes) -> false]) return true;',
    why: 'Where there is room allocate() does nothing, or fills up a step that a full disk broke off.',
  },
];
