/** The passing of time, one tick at a time: the only clock that the core has. */
import { campaign, isDiskHung } from './election.ts';
import { settleMembers } from './leader.ts';
import { hasQuorum } from './responses.ts';
import { broadcastHeartbeat } from './replication.ts';
import { becomeFollower } from './state.ts';
import type { Leading, RaftState } from './state.ts';
import { handOver } from './transfer.ts';

export function tick(state: RaftState): void {
  state.ticks++;
  state.electionElapsed++;
  const { role } = state;
  if (role.kind === 'leader') tickLeader(state, role);
  else if (state.electionElapsed >= state.electionTimeout) {
    campaign(state, { isTransfer: false });
    // Who may not campaign, a learner or a removed member, must not believe in that leader for ever.
    if (state.role.kind === 'follower') state.leader = 0;
  }
}

function tickLeader(state: RaftState, leading: Leading): void {
  const { electionTicks, heartbeatTicks } = state.config;
  // Heartbeats do not wait for the disk, so a leader whose disk hangs would lead for ever and commit
  // nothing (hashicorp/raft #503). Where nobody else could lead, staying costs nothing.
  if (isDiskHung(state) && state.log.members.voters.some((id) => id !== state.id)) {
    handOver(state, leading);
    return;
  }
  if (state.electionElapsed >= electionTicks) {
    state.electionElapsed = 0;
    // A leader that nobody hears must stop saying so, or its callers would wait for ever.
    if (!hasQuorum(state, leading)) {
      becomeFollower(state, state.term, 0);
      return;
    }
  }
  tickTransfer(state, leading);
  leading.heartbeatElapsed++;
  if (leading.heartbeatElapsed < heartbeatTicks) return;
  leading.heartbeatElapsed = 0;
  broadcastHeartbeat(state, leading);
}

function tickTransfer(state: RaftState, leading: Leading): void {
  const { transfer } = leading;
  if (transfer === undefined) return;
  transfer.elapsed++;
  if (transfer.elapsed < state.config.electionTicks) return;
  leading.transfer = undefined;
  settleMembers(state, leading);
}
