/** How scenarios write down messages, entries and what a Ready asks for. */
import type { Entry, MemberProgress, Message, Raft, Ready } from '../raft.ts';
import { showMembers } from './member.ts';

/** Index, term and data: `3/2 "x"`; a change of members: `3/2 voters=1,2`. */
export function showEntry(entry: Entry): string {
  const place = `${entry.index}/${entry.term}`;
  const data = JSON.stringify(String.fromCharCode(...entry.data));
  if (entry.members === undefined) return `${place} ${data}`;
  const members = showMembers(entry.members);
  return entry.data.length === 0 ? `${place} ${members}` : `${place} ${members} ${data}`;
}

export function showReady(ready: Ready): string[] {
  const lines = ready.messages.map((message) => `send ${showMessage(message)}`);
  if (ready.snapshot !== undefined) {
    const { index, term, members } = ready.snapshot;
    lines.push(`install snapshot ${index}/${term} ${showMembers(members)}`);
  }
  if (ready.hardState !== undefined) {
    const { term, vote, commitIndex } = ready.hardState;
    lines.push(`write term=${term} vote=${vote} commit=${commitIndex}`);
  }
  for (const entry of ready.entries) lines.push(`write ${showEntry(entry)}`);
  for (const entry of ready.committed) lines.push(`apply ${showEntry(entry)}`);
  for (const read of ready.readStates) lines.push(`read ${read.context} at ${read.index}`);
  return lines.length === 0 ? ['only messages that wait for the disk'] : lines;
}

export function showStatus(raft: Raft): string {
  const { role, term, leader, commitIndex, appliedIndex, persistedIndex, lastIndex, transferTo } =
    raft.status;
  const indexes = `commit=${commitIndex} applied=${appliedIndex} persisted=${persistedIndex}`;
  const transfer = transferTo === 0 ? '' : ` transferTo=${transferTo}`;
  return `${role} term=${term} leader=${leader} ${indexes} last=${lastIndex}${transfer}`;
}

export function showProgress(progress: MemberProgress): string {
  const { id, state, matchIndex, nextIndex, snapshotIndex, inflightCount } = progress;
  const words = [`${id}: ${state} match=${matchIndex} next=${nextIndex}`];
  if (snapshotIndex > 0) words.push(`snapshot=${snapshotIndex}`);
  if (inflightCount > 0) words.push(`inflight=${inflightCount}`);
  if (progress.isPaused) words.push('paused');
  if (!progress.recentActive) words.push('inactive');
  return words.join(' ');
}

export function showMessage(message: Message): string {
  return `${message.from}->${message.to} ${message.kind} term=${message.term}${details(message)}`;
}

function details(message: Message): string {
  switch (message.kind) {
    case 'vote':
    case 'preVote':
      return ` last=${message.lastIndex}/${message.lastTerm}${message.isTransfer ? ' transfer' : ''}`;
    case 'voteResponse':
    case 'preVoteResponse':
      return message.rejected ? ' rejected' : ' granted';
    case 'append': {
      const entries = message.entries.map(showEntry).join(' ');
      const prev = `${message.prevIndex}/${message.prevTerm}`;
      return ` prev=${prev} commit=${message.commitIndex} [${entries}]`;
    }
    case 'appendResponse':
      return message.rejected
        ? ` index=${message.index} rejected hint=${message.hintIndex}/${message.hintTerm}`
        : ` index=${message.index}`;
    case 'heartbeat':
      return ` commit=${message.commitIndex}/${message.commitTerm} round=${message.readCounter}`;
    case 'heartbeatResponse':
      return ` round=${message.readCounter}`;
    case 'snapshot': {
      const { index, term, members } = message.snapshot;
      return ` snapshot=${index}/${term} ${showMembers(members)}`;
    }
    case 'timeoutNow':
      return '';
    case 'read':
      return ` id=${message.readId}`;
    case 'readResponse':
      return ` id=${message.readId} index=${message.index}`;
    default:
      return message satisfies never;
  }
}
