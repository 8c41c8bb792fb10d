/** The follower: takes in appends, heartbeats and snapshots of the leader of its term. */
import { everyone } from './quorum.ts';
import { send } from './state.ts';
import type { RaftState } from './state.ts';
import type { Append, Heartbeat, InstallSnapshot, LogIndex } from './types.ts';

export function onAppend(state: RaftState, message: Append): void {
  const { log } = state;
  if (message.prevIndex < log.commitIndex) {
    // Committed entries match by definition: say how far this log agrees at least.
    accept(state, message.from, log.commitIndex);
    return;
  }
  if (!log.matches(message.prevIndex, message.prevTerm)) {
    const hintIndex = lastIndexUpToTerm(state, message);
    send(state, {
      kind: 'appendResponse',
      to: message.from,
      index: message.prevIndex,
      rejected: true,
      hintIndex,
      hintTerm: log.term(hintIndex) ?? 0,
    });
    return;
  }
  log.merge(message.entries);
  const matchIndex = message.prevIndex + message.entries.length;
  // Entries behind what this append proves may be of an older leader: never commit those.
  log.commitTo(Math.min(message.commitIndex, matchIndex));
  accept(state, message.from, matchIndex);
}

/** The last own entry that could match: in a term that is not above the leader's at that place. */
function lastIndexUpToTerm(state: RaftState, message: Append): LogIndex {
  const { log } = state;
  let index = Math.min(message.prevIndex, log.lastIndex);
  for (; index > log.snapshotIndex; index--) {
    const term = log.term(index);
    if (term === undefined || term <= message.prevTerm) break;
  }
  return index;
}

export function onHeartbeat(state: RaftState, message: Heartbeat): void {
  state.log.commitTo(message.commitIndex);
  const { readCounter } = message;
  send(state, { kind: 'heartbeatResponse', to: message.from, readCounter });
}

export function onSnapshot(state: RaftState, message: InstallSnapshot): void {
  const { log } = state;
  const { snapshot } = message;
  if (snapshot.index <= log.commitIndex || !everyone(snapshot.members).includes(state.id)) {
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
  state.members = snapshot.members;
  state.snapshot = snapshot;
  accept(state, message.from, log.lastIndex);
}

function accept(state: RaftState, to: number, index: LogIndex): void {
  send(state, { kind: 'appendResponse', to, index, rejected: false, hintIndex: 0, hintTerm: 0 });
}
