/**
 * Handing leadership to a chosen member (thesis 3.10). The leader takes no proposals meanwhile, lets
 * the member catch up and tells it to campaign at once; if that has not happened within an election
 * timeout the leader goes on. Also the way out for a leader that must not lead any longer.
 */
import type { Progress } from './progress.ts';
import { flush } from './replication.ts';
import { becomeFollower, send } from './state.ts';
import type { Leading, RaftState } from './state.ts';
import type { MemberId } from './types.ts';

export type TransferRefusal = 'notLeader' | 'notVoter';

/** Starts a transfer, in place of a running one; to itself means to end that. */
export function transferLeadership(state: RaftState, to: MemberId): TransferRefusal | undefined {
  const { role, log } = state;
  if (role.kind !== 'leader') return 'notLeader';
  // Not to the old half of a joint change: it would have to be handed on.
  if (!log.members.voters.includes(to)) return 'notVoter';
  if (role.transfer?.to === to) return undefined;
  role.transfer = to === state.id ? undefined : { to, elapsed: 0 };
  advanceTransfer(state, role);
  return undefined;
}

/** Tells the member to campaign once it holds the whole log; again if that may have been lost. */
export function advanceTransfer(state: RaftState, leading: Leading): void {
  const to = leading.transfer?.to;
  if (to === undefined) return;
  if (leading.progress.get(to)?.matchIndex !== state.log.lastIndex) return;
  send(state, { kind: 'timeoutNow', to });
}

/**
 * Stops leading, by own insight: the member is no voter any more, or its disk hangs. The voter that
 * holds most is asked to campaign; if it cannot win, an election follows by itself.
 */
export function handOver(state: RaftState, leading: Leading): void {
  flush(state, leading, 'now');
  const successor = bestSuccessor(state, leading);
  if (successor !== undefined) send(state, { kind: 'timeoutNow', to: successor });
  becomeFollower(state, state.term, 0);
}

function bestSuccessor(state: RaftState, leading: Leading): MemberId | undefined {
  let best: [MemberId, Progress] | undefined;
  for (const id of state.log.members.voters) {
    const progress = leading.progress.get(id);
    if (progress === undefined || !progress.recentActive) continue;
    if (best === undefined || progress.matchIndex > best[1].matchIndex) best = [id, progress];
  }
  return best?.[0];
}
