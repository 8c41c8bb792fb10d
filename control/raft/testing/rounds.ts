/**
 * Time for a group, in rounds: every member ticks once and does what is due, then all messages arrive.
 * For what needs many ticks and no surprises.
 */
import type { Message } from '../raft.ts';
import type { TestMember } from './member.ts';

export interface RoundFaults {
  /** Messages that do not arrive. */
  readonly isCut?: (message: Message) => boolean;
  /** Members whose disk finishes nothing. */
  readonly hung?: readonly number[];
}

export function runRounds(
  members: readonly TestMember[],
  count: number,
  faults: RoundFaults = {},
): void {
  const { isCut = () => false, hung = [] } = faults;
  let network: Message[] = [];
  for (let round = 0; round < count; round++) {
    const arriving = network.filter((message) => !isCut(message));
    network = [];
    for (const message of arriving) members.find(({ id }) => id === message.to)?.raft.step(message);
    for (const member of members) {
      member.raft.tick();
      network.push(...(member.take()?.messages ?? []));
      while (member.isWriting && !hung.includes(member.id)) network.push(...member.persist());
      while (member.unapplied.length > 0) member.apply();
    }
  }
}
