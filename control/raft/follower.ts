/** The follower: takes in appends, heartbeats and snapshots of the leader of its term. */
import { campaign } from './election.ts';
import type { Append, Heartbeat, InstallSnapshot } from './messages.ts';
import { send } from './state.ts';
import type { RaftState } from './state.ts';
import type { LogIndex, MemberId } from './types.ts';

export function onAppend(state: RaftState, message: Append): void {
  const { log } = state;
  const { prevIndex, prevTerm } = message;
  if (prevIndex < log.commitIndex) {
    // Committed entries match by definition: say how far this log agrees at least.
    accept(state, message.from, log.commitIndex);
    return;
  }
  if (!log.matches(prevIndex, prevTerm)) {
    const hintIndex = log.lastIndexUpToTerm(prevIndex, prevTerm);
    const hintTerm = log.term(hintIndex) ?? 0;
    const hint = { hintIndex, hintTerm };
    send(state, {
      kind: 'appendResponse',
      to: message.from,
      index: prevIndex,
      rejected: true,
      ...hint,
    });
    return;
  }
  log.merge(message.entries);
  const matchIndex = prevIndex + message.entries.length;
  // Entries behind what this append proves may be of an older leader: never commit those.
  log.commitTo(Math.min(message.commitIndex, matchIndex));
  accept(state, message.from, matchIndex);
}

export function onHeartbeat(state: RaftState, message: Heartbeat): void {
  const { log } = state;
  const { commitIndex, commitTerm, readCounter, from, term } = message;
  if (log.isWithout(commitIndex, commitTerm)) {
    // The leader heard from this member that it holds so much, durably. It does not: its disk was set
    // back, maybe to a longer log of older terms. What else it forgot, votes for instance, it cannot know,
    // so it must not go on.
    state.lostLog = { leader: from, term, commitIndex, lastIndex: log.lastIndex };
    return;
  }
  log.commitTo(commitIndex);
  send(state, { kind: 'heartbeatResponse', to: from, readCounter });
}

/**
 * The snapshot's content has arrived. It need not name this member: the entry that adds it may follow
 * behind the snapshot, and until then it votes for nobody by itself.
 */
export function onSnapshot(state: RaftState, message: InstallSnapshot): void {
  const { log } = state;
  const { snapshot } = message;
  if (snapshot.index <= log.commitIndex) {
    accept(state, message.from, log.commitIndex);
    return;
  }
  if (log.matches(snapshot.index, snapshot.term)) {
    // The log holds all of it: nothing to install, only to commit.
    log.commitTo(snapshot.index);
    accept(state, message.from, log.commitIndex);
    return;
  }
  log.restore(snapshot);
  state.output.snapshot = snapshot;
  // Should this member come to lead, it has this one to send.
  state.offered = snapshot;
  accept(state, message.from, log.lastIndex);
}

/** The leader asks this member to take over. */
export function onTimeoutNow(state: RaftState): void {
  campaign(state, { isTransfer: true });
}

function accept(state: RaftState, to: MemberId, index: LogIndex): void {
  const noHint = { hintIndex: 0, hintTerm: 0 };
  send(state, { kind: 'appendResponse', to, index, rejected: false, ...noHint });
}
