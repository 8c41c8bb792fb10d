/**
 * The leader: appends proposals, replicates, commits by counting, checks that it still has a quorum.
 * An entry of an earlier term is committed only through one of the own term (paper figure 8); so the
 * first act of a term is an empty entry.
 */
import { assert } from '#base/assert.ts';
import { APPEND_BYTES_MAX, UNCOMMITTED_BYTES_MAX } from './limits.ts';
import { Progress } from './progress.ts';
import { committedIndex, voteResult } from './quorum.ts';
import { confirmReads, releaseEarlyReads } from './reads.ts';
import { others, reset, send } from './state.ts';
import type { RaftState } from './state.ts';
import type { AppendResponse, Entry, HeartbeatResponse, LogIndex, MemberId } from './types.ts';

const NO_DATA = new Uint8Array(0);

export function startLeading(state: RaftState): void {
  assert(state.role === 'candidate', 'a candidate becomes leader');
  const { term } = state;
  reset(state, term);
  state.role = 'leader';
  state.leader = state.id;
  for (const id of others(state)) {
    const progress = new Progress(state.log.lastIndex + 1);
    // Counted as heard from until the first quorum check: it just voted, or has yet to answer.
    progress.recentActive = true;
    state.progress.set(id, progress);
  }
  appendOwn(state, NO_DATA);
  broadcastAppend(state);
}

/** Appends a proposal; undefined when too much waits for commit already. */
export function propose(state: RaftState, data: Uint8Array): Entry | undefined {
  assert(state.role === 'leader', 'only a leader takes proposals');
  // One proposal always passes, whatever its size, or a large one could never be made.
  if (state.uncommittedBytes > 0 && state.uncommittedBytes + data.length > UNCOMMITTED_BYTES_MAX) {
    return undefined;
  }
  return appendOwn(state, data);
}

function appendOwn(state: RaftState, data: Uint8Array): Entry {
  const entry = { index: state.log.lastIndex + 1, term: state.term, data };
  state.log.append(entry);
  state.uncommittedBytes += data.length;
  return entry;
}

export function broadcastAppend(state: RaftState): void {
  for (const id of state.progress.keys()) replicate(state, id);
}

/** Sends what the member lacks, as far as its window allows. */
export function replicate(state: RaftState, to: MemberId): void {
  const progress = progressOf(state, to);
  while (!progress.isPaused) {
    const before = progress.nextIndex;
    sendAppend(state, to, { evenEmpty: progress.state === 'probe' });
    if (progress.nextIndex === before) return;
  }
}

export function sendAppend(state: RaftState, to: MemberId, options: { evenEmpty: boolean }): void {
  const progress = progressOf(state, to);
  const { log } = state;
  const prevIndex = progress.nextIndex - 1;
  const prevTerm = log.term(prevIndex);
  if (prevTerm === undefined || prevIndex < log.snapshotIndex) {
    sendSnapshot(state, to, progress);
    return;
  }
  if (log.lastIndex === prevIndex && !options.evenEmpty) return;
  const entries =
    log.lastIndex === prevIndex
      ? []
      : log.slice(progress.nextIndex, log.lastIndex, APPEND_BYTES_MAX);
  send(state, { kind: 'append', to, prevIndex, prevTerm, entries, commitIndex: log.commitIndex });
  const bytes = entries.reduce((sum, entry) => sum + entry.data.length, 0);
  if (entries.length > 0 || progress.state === 'probe') {
    progress.sent(prevIndex + entries.length, bytes);
  }
}

function sendSnapshot(state: RaftState, to: MemberId, progress: Progress): void {
  // A member that was never heard of would only drop it; the next heartbeat answer wakes this.
  if (!progress.recentActive) return;
  const { log } = state;
  const index = log.snapshotIndex;
  const term = log.term(index);
  assert(term !== undefined, 'the snapshot has a term');
  const snapshot = { index, term, members: state.members };
  send(state, { kind: 'snapshot', to, snapshot });
  progress.becomeSnapshot(index);
}

export function broadcastHeartbeat(state: RaftState): void {
  for (const [to, progress] of state.progress) {
    send(state, {
      kind: 'heartbeat',
      to,
      // The member may not hold more than it matched, and must not commit what it lacks.
      commitIndex: Math.min(progress.matchIndex, state.log.commitIndex),
      readCounter: state.readCounter,
    });
  }
}

export function onAppendResponse(state: RaftState, message: AppendResponse): void {
  const progress = state.progress.get(message.from);
  if (progress === undefined) return; // Removed meanwhile.
  progress.recentActive = true;
  if (message.rejected) {
    // The member's hint may lie in a term that this log left earlier: skip that whole term here.
    const hintIndex = lastIndexUpToTerm(state, message.hintIndex, message.hintTerm);
    if (!progress.rejected(message.index, hintIndex)) return;
    if (progress.state === 'replicate') progress.becomeProbe();
    replicate(state, message.from);
    return;
  }
  const wasPaused = progress.isPaused;
  const isNews = progress.accepted(message.index);
  if (isNews || (message.index === progress.matchIndex && progress.state === 'probe')) {
    leaveProbe(state, progress);
    if (maybeCommit(state)) broadcastCommit(state);
    else if (wasPaused) sendAppend(state, message.from, { evenEmpty: true });
  }
  replicate(state, message.from);
}

/** A matching answer proves a probe, and one at or behind the snapshot ends its transfer. */
function leaveProbe(state: RaftState, progress: Progress): void {
  if (progress.state === 'probe') {
    progress.becomeReplicate();
  } else if (progress.state === 'snapshot' && progress.matchIndex + 1 >= state.log.firstIndex) {
    // Also when the member got there by other means than the snapshot that was sent.
    progress.becomeProbe();
    progress.becomeReplicate();
  }
}

/** After a commit everybody hears of it at once, with an empty append when nothing else goes. */
function broadcastCommit(state: RaftState): void {
  releaseEarlyReads(state);
  for (const [to, progress] of state.progress) {
    if (!progress.isPaused) sendAppend(state, to, { evenEmpty: true });
  }
}

function lastIndexUpToTerm(state: RaftState, from: LogIndex, term: number): LogIndex {
  let index = Math.min(from, state.log.lastIndex);
  for (; index > state.log.snapshotIndex; index--) {
    const own = state.log.term(index);
    if (own === undefined || own <= term) break;
  }
  return index;
}

export function onHeartbeatResponse(state: RaftState, message: HeartbeatResponse): void {
  const progress = state.progress.get(message.from);
  if (progress === undefined) return;
  progress.recentActive = true;
  progress.probeSent = false;
  // All appends in flight may have been lost; without this nothing would ever go out again.
  if (progress.state === 'replicate' && progress.inflightFull) progress.freeOne();
  if (progress.matchIndex < state.log.lastIndex || progress.state === 'probe') {
    sendAppend(state, message.from, { evenEmpty: true });
  }
  confirmReads(state, message.from, message.readCounter);
}

/** The own disk holds more: counts for commit like any other member's answer. */
export function onOwnPersisted(state: RaftState): void {
  if (maybeCommit(state)) broadcastCommit(state);
}

function maybeCommit(state: RaftState): boolean {
  const { log } = state;
  const matchOf = (id: MemberId) =>
    id === state.id ? log.persistedIndex : (state.progress.get(id)?.matchIndex ?? 0);
  const index = committedIndex(state.members, matchOf);
  if (index <= log.commitIndex || log.term(index) !== state.term) return false;
  // Entries of earlier terms were not counted when they came; hence the floor.
  const bytes = log.bytesBetween(log.commitIndex + 1, index);
  state.uncommittedBytes = Math.max(0, state.uncommittedBytes - bytes);
  return log.commitTo(index);
}

/** Messages to the member do not get through: stop streaming ahead of answers. */
export function onUnreachable(state: RaftState, id: MemberId): void {
  const progress = state.progress.get(id);
  if (progress?.state === 'replicate') progress.becomeProbe();
}

/** A snapshot for the member was not installed: try again at its next sign of life. */
export function onSnapshotFailed(state: RaftState, id: MemberId): void {
  const progress = state.progress.get(id);
  if (progress?.state !== 'snapshot') return;
  progress.snapshotIndex = 0;
  progress.becomeProbe();
  progress.probeSent = true;
}

/** Once per election timeout: false when no quorum was heard from since the last check. */
export function hasQuorum(state: RaftState): boolean {
  const heard = (id: MemberId) =>
    id === state.id || (state.progress.get(id)?.recentActive ?? false);
  const result = voteResult(state.members, heard);
  for (const progress of state.progress.values()) progress.recentActive = false;
  return result === 'won';
}

function progressOf(state: RaftState, id: MemberId): Progress {
  const progress = state.progress.get(id);
  assert(progress !== undefined, `member ${id} has a progress`);
  return progress;
}
