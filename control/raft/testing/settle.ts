import type { Message, Raft } from '../raft.ts';

/** Takes what is due, as a disk without delay; returns what may leave. */
export function settle(raft: Raft): Message[] {
  const messages: Message[] = [];
  while (raft.hasReady) {
    const ready = raft.ready();
    raft.persisted(ready.sequence);
    messages.push(...ready.messages, ...ready.messagesAfterPersist);
  }
  return messages;
}
