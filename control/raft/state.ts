/**
 * The state of one Raft member, shared by the role modules, which are functions over it. What belongs
 * to a role lives and ends with it: a transfer, a read or a vote count cannot outlast a leadership.
 */
import { assert } from '#base/assert.ts';
import type { Limits } from './limits.ts';
import type { RaftLog } from './log.ts';
import type { Message } from './messages.ts';
import type { Progress } from './progress.ts';
import type { ReadRounds } from './read-rounds.ts';
import type {
  HardState,
  LogIndex,
  MemberId,
  RaftConfig,
  ReadState,
  SnapshotMeta,
  Term,
} from './types.ts';

export interface Following {
  readonly kind: 'follower';
}

/** Successors: follower, candidate (won), itself (timed out). */
export interface Polling {
  readonly kind: 'preCandidate' | 'candidate';
  readonly votes: Map<MemberId, boolean>;
}

export interface Leading {
  readonly kind: 'leader';
  /** Every other member that receives the log. */
  readonly progress: Map<MemberId, Progress>;
  readonly reads: ReadRounds;
  heartbeatElapsed: number;
  /** Of the entries behind the commit index. */
  uncommittedBytes: number;
  /** The configuration in the log at this index is committed and nothing is left to do for it. */
  settledIndex: LogIndex;
  transfer: { readonly to: MemberId; elapsed: number } | undefined;
}

export type Role = Following | Polling | Leading;
export type RoleKind = Role['kind'];

const NEXT = {
  follower: ['follower', 'preCandidate', 'candidate'],
  preCandidate: ['follower', 'preCandidate', 'candidate'],
  candidate: ['follower', 'preCandidate', 'leader'],
  leader: ['follower'],
} as const satisfies Record<RoleKind, readonly RoleKind[]>;

/** The leader counts on entries that this member acknowledged and does not hold any more. */
export interface LostLog {
  readonly leader: MemberId;
  readonly term: Term;
  /** Acknowledged and committed, says the leader. */
  readonly commitIndex: LogIndex;
  readonly lastIndex: LogIndex;
}

/** Collected until the next Ready. */
export interface Output {
  readonly messages: Message[];
  readonly messagesAfterPersist: Message[];
  readonly readStates: ReadState[];
  snapshot: SnapshotMeta | undefined;
}

export interface RaftState {
  readonly config: RaftConfig;
  readonly id: MemberId;
  readonly limits: Limits;
  readonly log: RaftLog;
  voteAboveTerm: Term;
  term: Term;
  vote: MemberId;
  role: Role;
  leader: MemberId;
  /** Since start. */
  ticks: number;
  /** Ticks since the leader was heard of, or a vote was given; a leader's: since the last check. */
  electionElapsed: number;
  /** In [electionTicks, 2 electionTicks), drawn anew at each change of role. */
  electionTimeout: number;
  /** The newest snapshot that the host can send. */
  offered: SnapshotMeta | undefined;
  /** Reads passed to the leader that is known now, by the id given to them; oldest first. */
  forwardedReads: Map<number, number>;
  nextReadId: number;
  /** Set for good: this member takes part in nothing any more. */
  lostLog: LostLog | undefined;
  output: Output;
  /** What the host has persisted or is about to. */
  takenHardState: HardState;
}

type Outgoing = Message extends infer M
  ? M extends Message
    ? Omit<M, 'from' | 'term'> & { readonly term?: Term }
    : never
  : never;

/**
 * Answers that promise durability wait for the disk: (pre-)votes and acknowledged appends. Requests do
 * not, so that a leader's followers write in parallel with its own disk. An answer to a heartbeat
 * promises nothing beyond the moment: were its term forgotten in a crash, the leader of that term
 * would still be the only one, by votes that are durable.
 */
export function send(state: RaftState, message: Outgoing): void {
  assert(message.to !== state.id, 'a member does not write to itself');
  const full = { term: state.term, ...message, from: state.id } as Message; // Completed Outgoing.
  const { kind } = full;
  const isPromise =
    kind === 'appendResponse' || kind === 'voteResponse' || kind === 'preVoteResponse';
  (isPromise ? state.output.messagesAfterPersist : state.output.messages).push(full);
}

/** The only way from one role to the next. */
export function move(state: RaftState, role: Role): void {
  const from = state.role.kind;
  const allowed: readonly RoleKind[] = NEXT[from];
  assert(allowed.includes(role.kind), `member ${state.id}: no transition ${from} -> ${role.kind}`);
  state.role = role;
}

/** Starts a term (or stays in it) with timers and the leader forgotten. */
export function reset(state: RaftState, term: Term): void {
  assert(term >= state.term, 'terms never fall');
  if (state.term !== term) {
    state.term = term;
    state.vote = 0;
  }
  state.leader = 0;
  state.electionElapsed = 0;
  const { electionTicks, random } = state.config;
  state.electionTimeout = electionTicks + Math.floor(random() * electionTicks);
  // Answers of another leader than the asked one are not waited for: their callers ask again.
  state.forwardedReads = new Map();
}

export function becomeFollower(state: RaftState, term: Term, leader: MemberId): void {
  reset(state, term);
  move(state, { kind: 'follower' });
  state.leader = leader;
}
