/** The state of a member that starts, new or with what its disk kept. */
import { assert } from '#base/assert.ts';
import { LIMITS } from './limits.ts';
import { RaftLog } from './log.ts';
import { reset } from './state.ts';
import type { RaftState } from './state.ts';
import type { RaftConfig, Restored } from './types.ts';

/** How far apart two lives of a member begin to number their reads, at most. */
const READ_ID_START_MAX = 2 ** 52;

export function initialState(config: RaftConfig, restored: Restored): RaftState {
  const { id, random, electionTicks, heartbeatTicks } = config;
  assert(electionTicks > heartbeatTicks, 'an election timeout spans several heartbeats');
  const log = startLog(config, restored);
  const { hardState, snapshot } = restored;
  const state: RaftState = {
    config,
    id,
    limits: { ...LIMITS, ...config.limits },
    log,
    voteAboveTerm: restored.voteAboveTerm ?? 0,
    term: hardState.term,
    vote: hardState.vote,
    role: { kind: 'follower' },
    leader: 0,
    ticks: 0,
    electionElapsed: 0,
    electionTimeout: electionTicks,
    offered: snapshot,
    forwardedReads: new Map(),
    // Answers to reads of a former life must not look like answers to new ones.
    nextReadId: Math.floor(random() * READ_ID_START_MAX),
    lostLog: undefined,
    output: { messages: [], messagesAfterPersist: [], readStates: [], snapshot: undefined },
    takenHardState: hardState,
  };
  reset(state, hardState.term);
  return state;
}

function startLog(config: RaftConfig, restored: Restored): RaftLog {
  const { hardState, entries, appliedIndex } = restored;
  const snapshot = restored.snapshot ?? { index: 0, term: 0, members: config.members };
  const log = new RaftLog(snapshot, entries);
  // The commit index is written with the entries that it covers, or after them: more of it than of
  // the log means that the disk lost what it had promised.
  assert(
    hardState.commitIndex <= log.lastIndex,
    `committed ${hardState.commitIndex} is in the log`,
  );
  assert(hardState.term >= log.lastTerm, `term ${hardState.term} reaches the last entry's`);
  log.commitTo(hardState.commitIndex);
  log.resumeAt(appliedIndex);
  return log;
}
