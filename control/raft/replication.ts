/**
 * What a leader sends to the other members: appends, snapshots, heartbeats. Events only change a
 * member's Progress; what is due then leaves with the next Ready, so that proposals, commits and
 * answers of one turn share messages.
 */
import { assert } from '#base/assert.ts';
import { bytesOf } from './log.ts';
import type { Progress } from './progress.ts';
import type { CommitNews } from './ready.ts';
import { send } from './state.ts';
import type { Leading, RaftState } from './state.ts';
import type { Entry, MemberId, SnapshotMeta } from './types.ts';

export function isAppendDue(state: RaftState, leading: Leading, news: CommitNews): boolean {
  for (const progress of leading.progress.values()) {
    if (dueTo(state, progress, news) !== undefined) return true;
  }
  return false;
}

/** Sends each member what it lacks, as far as its window allows. */
export function flush(state: RaftState, leading: Leading, news: CommitNews): void {
  for (const [to, progress] of leading.progress) {
    for (;;) {
      const due = dueTo(state, progress, news);
      if (due === undefined) break;
      if (due === 'append') sendAppend(state, to, progress);
      else sendSnapshot(state, { to, progress, snapshot: due });
    }
  }
}

/** An append, the snapshot that must come first, or nothing. */
function dueTo(
  state: RaftState,
  progress: Progress,
  news: CommitNews,
): 'append' | SnapshotMeta | undefined {
  const { log, offered } = state;
  if (!progress.wantsAppend(log, news)) return undefined;
  if (log.term(progress.nextIndex - 1) !== undefined) return 'append';
  // Who was never heard of would only drop it; the next sign of life wakes this.
  if (!progress.recentActive) return undefined;
  // One that ends before the log begins would not help; the host is to offer a newer one.
  return offered !== undefined && offered.index >= log.snapshotIndex ? offered : undefined;
}

/** A member waits for a snapshot, and none that was offered reaches the log. */
export function isSnapshotLacking(state: RaftState, leading: Leading): boolean {
  const { log, offered } = state;
  for (const progress of leading.progress.values()) {
    if (!progress.recentActive || !progress.wantsAppend(log, 'now')) continue;
    if (log.term(progress.nextIndex - 1) !== undefined) continue;
    if ((offered?.index ?? -1) < log.snapshotIndex) return true;
  }
  return false;
}

function sendAppend(state: RaftState, to: MemberId, progress: Progress): void {
  const { log, limits } = state;
  const { lastIndex, commitIndex } = log;
  const { nextIndex } = progress;
  const prevIndex = nextIndex - 1;
  const prevTerm = log.term(prevIndex);
  assert(prevTerm !== undefined, `entry ${prevIndex} is kept`);
  // A full window still lets an empty append through: its refusal shows that all in it was lost.
  const isRoom = progress.state === 'probe' || !progress.isWindowFull;
  const entries: readonly Entry[] =
    isRoom && nextIndex <= lastIndex ? log.slice(nextIndex, lastIndex, limits.appendBytesMax) : [];
  send(state, { kind: 'append', to, prevIndex, prevTerm, entries, commitIndex });
  const bytes = entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
  progress.sent({ count: entries.length, bytes, commitIndex });
}

function sendSnapshot(
  state: RaftState,
  sent: { to: MemberId; progress: Progress; snapshot: SnapshotMeta },
): void {
  const { to, progress, snapshot } = sent;
  send(state, { kind: 'snapshot', to, snapshot });
  progress.sentSnapshot(snapshot.index);
}

export function broadcastHeartbeat(state: RaftState, leading: Leading): void {
  const { log } = state;
  for (const [to, progress] of leading.progress) {
    // The member must not commit what it lacks; what it matched it holds for good.
    const commitIndex = Math.min(progress.matchIndex, log.commitIndex);
    send(state, {
      kind: 'heartbeat',
      to,
      commitIndex,
      commitTerm: log.term(commitIndex) ?? 0,
      readCounter: leading.reads.counter,
    });
  }
}
