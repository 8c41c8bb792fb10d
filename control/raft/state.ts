/**
 * The state of one Raft member, shared by the role modules (election.ts, leader.ts, follower.ts,
 * reads.ts), which are functions over it. Only they and raft.ts change it.
 */
import type { RaftLog } from './log.ts';
import type { Progress } from './progress.ts';
import { everyone } from './quorum.ts';
import type {
  HardState,
  LogIndex,
  MemberId,
  Members,
  Message,
  RaftConfig,
  ReadState,
  SnapshotMeta,
  Term,
} from './types.ts';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** A read that waits: for the first commit of the term, then for a round of heartbeats. */
export interface PendingRead {
  readonly from: MemberId;
  readonly context: number;
  readonly index: LogIndex;
  readonly counter: number;
}

export interface RaftState {
  readonly config: RaftConfig;
  readonly id: MemberId;
  members: Members;
  readonly log: RaftLog;
  term: Term;
  vote: MemberId;
  role: Role;
  leader: MemberId;
  electionElapsed: number;
  heartbeatElapsed: number;
  /** In [electionTicks, 2 electionTicks), drawn anew at each change of role. */
  electionTimeout: number;
  /** Votes of the running (pre-)election. */
  votes: Map<MemberId, boolean>;
  /** Leader only: every other member that receives the log. */
  progress: Map<MemberId, Progress>;
  uncommittedBytes: number;
  /** Leader only: made anew for each round, so no late answer can confirm a later read. */
  readCounter: number;
  reads: PendingRead[];
  /** Leader only: reads before its first commit in the term. */
  earlyReads: { from: MemberId; context: number }[];
  /** Highest read counter that each member answered. */
  readAcks: Map<MemberId, number>;

  // Output, collected until the next Ready.
  messages: Message[];
  messagesAfterPersist: Message[];
  readStates: ReadState[];
  snapshot: SnapshotMeta | undefined;
  /** What the host has persisted or is about to. */
  takenHardState: HardState;
}

export type Outgoing = Message extends infer M
  ? M extends Message
    ? Omit<M, 'from' | 'term'> & { readonly term?: Term }
    : never
  : never;

/**
 * Answers that promise durability wait for the disk: (pre-)votes and accepted appends. Requests do
 * not, so that a leader's followers write in parallel with its own disk.
 */
export function send(state: RaftState, message: Outgoing): void {
  const full = { term: state.term, ...message, from: state.id } as Message; // Completed Outgoing.
  if (full.kind === 'appendResponse' || full.kind === 'voteResponse') {
    state.messagesAfterPersist.push(full);
  } else if (full.kind === 'preVoteResponse') {
    state.messagesAfterPersist.push(full);
  } else {
    state.messages.push(full);
  }
}

export function others(state: RaftState): readonly MemberId[] {
  return everyone(state.members).filter((id) => id !== state.id);
}

/** Starts a term (or stays in it) with timers and elections forgotten. */
export function reset(state: RaftState, term: Term): void {
  if (state.term !== term) {
    state.term = term;
    state.vote = 0;
  }
  state.leader = 0;
  state.electionElapsed = 0;
  state.heartbeatElapsed = 0;
  const { electionTicks, random } = state.config;
  state.electionTimeout = electionTicks + Math.floor(random() * electionTicks);
  state.votes = new Map();
  state.progress = new Map();
  state.uncommittedBytes = 0;
  // Reads of the old leadership are dropped: their callers time out or ask again.
  state.reads = [];
  state.earlyReads = [];
  state.readAcks = new Map();
}
