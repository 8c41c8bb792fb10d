/** What a leader learns of the other members: their answers, and the host's news of their connections. */
import { maybeCommit } from './leader.ts';
import type { AppendResponse, HeartbeatResponse } from './messages.ts';
import { voteResult } from './quorum.ts';
import { onReadsAnswered } from './reads.ts';
import type { Leading, RaftState } from './state.ts';
import { advanceTransfer } from './transfer.ts';
import type { MemberId } from './types.ts';

export function onAppendResponse(
  state: RaftState,
  leading: Leading,
  message: AppendResponse,
): void {
  const progress = leading.progress.get(message.from);
  if (progress === undefined) return; // Removed meanwhile.
  progress.recentActive = true;
  const { log } = state;
  if (message.rejected) {
    // The member's hint may lie in a term that this log left earlier: skip that whole term here.
    const hintIndex = log.lastIndexUpToTerm(message.hintIndex, message.hintTerm);
    progress.rejected(message.index, hintIndex);
    return;
  }
  if (!progress.accepted(message.index, log.firstIndex)) return;
  maybeCommit(state, leading);
  // The commit may have ended this leadership: of a member that is no voter any more.
  if (state.role === leading) advanceTransfer(state, leading);
}

export function onHeartbeatResponse(
  state: RaftState,
  leading: Leading,
  message: HeartbeatResponse,
): void {
  const progress = leading.progress.get(message.from);
  if (progress === undefined) return;
  progress.heartbeatAnswered(state.log.lastIndex);
  if (message.from === leading.transfer?.to) advanceTransfer(state, leading);
  onReadsAnswered(state, leading, message);
}

/** Once per election timeout: false when no quorum was heard from since the last check. */
export function hasQuorum(state: RaftState, leading: Leading): boolean {
  const heard = (id: MemberId) =>
    id === state.id || (leading.progress.get(id)?.recentActive ?? false);
  const result = voteResult(state.log.members, heard);
  for (const progress of leading.progress.values()) progress.recentActive = false;
  return result === 'won';
}
