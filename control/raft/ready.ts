/**
 * What the core asks of its host, as data: the host, or a simulator in its place, decides how long
 * each step takes. This file states the contract and builds a Ready from the state.
 */
import { flush, isAppendDue } from './replication.ts';
import { isReadRoundDue, startReadRound } from './reads.ts';
import type { RaftState } from './state.ts';
import type { Message } from './messages.ts';
import type { Entry, HardState, ReadState, SnapshotMeta } from './types.ts';

/**
 * One portion of work. Writes are numbered without gaps and the order that safety needs is this:
 *
 * 1. `messages` may leave at once, beside the disk write: a leader replicates in parallel with it.
 * 2. Write number `sequence` consists of `snapshot`, then `hardState` and `entries`, and takes effect
 *    as a whole or not at all; an entry replaces what stood at its index and all behind it. It may be
 *    empty. Without `mustSync`, losing it costs only time.
 * 3. Writes take effect in the order of their numbers. A disk may finish them in any order, but one
 *    counts as durable only when all before it are: a later write may overwrite entries of an earlier
 *    one, so recovery must return a prefix of the writes, never a selection.
 * 4. `messagesAfterPersist` leave when write `sequence` counts as durable. They promise what it holds:
 *    votes and acknowledged entries. Rejections wait with them; sending those early would be safe,
 *    but one rule is easier to keep than two.
 * 5. The host reports each write by `persisted(sequence)`, in any order, empty ones too (a write that
 *    is not reported for an election timeout is taken for a hung disk); the result is the number up to
 *    which all count as durable.
 * 6. `snapshot` is installed in the state machine after all `committed` of earlier Readys, before
 *    those of later ones. `committed` is applied in order at any time, then `applied(index)`. These
 *    entries are durable here already, so applying never runs ahead of the disk.
 *
 * What is not persisted when the member crashes may be there afterwards or not; both are safe.
 */
export interface Ready {
  readonly messages: readonly Message[];
  readonly sequence: number;
  readonly snapshot: SnapshotMeta | undefined;
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly mustSync: boolean;
  readonly messagesAfterPersist: readonly Message[];
  readonly committed: readonly Entry[];
  readonly readStates: readonly ReadState[];
}

/** Whether members are told of commits by an append of their own, or with the next entries. */
export type CommitNews = 'now' | 'later';

export function hasReady(state: RaftState, news: CommitNews): boolean {
  const { log, output } = state;
  return (
    log.takenIndex < log.lastIndex ||
    output.messages.length > 0 ||
    output.messagesAfterPersist.length > 0 ||
    output.readStates.length > 0 ||
    output.snapshot !== undefined ||
    log.hasUnhandedCommitted ||
    isHardStateChanged(state) ||
    (state.role.kind === 'leader' &&
      (isAppendDue(state, state.role, news) || isReadRoundDue(state)))
  );
}

/** Takes out the work that is due. Appends and read rounds start here, so that they come in batches. */
export function takeReady(state: RaftState, news: CommitNews): Ready {
  const { log, output, role } = state;
  if (role.kind === 'leader') {
    startReadRound(state, role);
    flush(state, role, news);
  }
  const isChanged = isHardStateChanged(state);
  const entries = log.takeUnwritten();
  // The commit index is no promise and rides along with what is, but for that of a configuration.
  const hardState = isChanged || entries.length > 0 ? hardStateOf(state) : undefined;
  if (hardState !== undefined) state.takenHardState = hardState;
  const { snapshot } = output;
  const { term, ticks } = state;
  const ready: Ready = {
    messages: output.messages,
    sequence: log.writes.take({ index: log.lastIndex, term, atTick: ticks }),
    snapshot,
    hardState,
    entries,
    mustSync: hardState !== undefined || snapshot !== undefined,
    messagesAfterPersist: output.messagesAfterPersist,
    committed: log.handCommitted(state.limits.committedBytesPerReadyMax),
    readStates: output.readStates,
  };
  state.output = { messages: [], messagesAfterPersist: [], readStates: [], snapshot: undefined };
  return ready;
}

function isHardStateChanged(state: RaftState): boolean {
  const { term, vote, log, takenHardState } = state;
  if (term !== takenHardState.term || vote !== takenHardState.vote) return true;
  // A member that starts says by it which configuration is committed: others wait for whom that names,
  // and somebody who was removed may be gone for ever.
  const { membersIndex } = log;
  return membersIndex <= log.commitIndex && membersIndex > takenHardState.commitIndex;
}

function hardStateOf(state: RaftState): HardState {
  const { term, vote, log } = state;
  return { term, vote, commitIndex: log.commitIndex };
}
