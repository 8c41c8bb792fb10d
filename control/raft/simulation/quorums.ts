/** Quorums by trying every set of members: slow, and independent of the code under test. */
import type { MemberId, Members } from '../raft.ts';

/** Whether those for whom `holds` is true are a majority of both halves. */
export function isQuorum(members: Members, holds: (id: MemberId) => boolean): boolean {
  return [members.voters, members.votersOutgoing].every(
    (half) => half.length === 0 || half.filter(holds).length * 2 > half.length,
  );
}

/**
 * Whether every quorum of one configuration shares a member with every quorum of the other: no set may
 * be a quorum of the one while the rest is a quorum of the other.
 */
export function quorumsMeet(one: Members, other: Members): boolean {
  const ids = [...new Set([one, other].flatMap((m) => [...m.voters, ...m.votersOutgoing]))];
  for (let set = 0; set < 2 ** ids.length; set++) {
    const isIn = (id: MemberId) => ((set >> ids.indexOf(id)) & 1) === 1;
    if (isQuorum(one, isIn) && isQuorum(other, (id) => !isIn(id))) return false;
  }
  return true;
}
