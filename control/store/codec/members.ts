/**
 * Encoding of a group's configuration, as it stands in log records, manifests and messages:
 *
 *   members = u8 flags (1 leaves a joint change by itself), voters, outgoing voters, learners,
 *             learners to come; each list = n, id{n}, ascending
 *
 * The reader takes nothing that the Raft core would not: members decide who decides.
 */
import type { MemberId, Members } from '#control/raft/raft.ts';
import { MEMBERS_MAX } from '../limits.ts';
import type { ByteReader, ByteWriter } from './bytes.ts';

const AUTO_LEAVE = 1;

export function writeMembers(out: ByteWriter, members: Members): void {
  out.u8(members.autoLeave ? AUTO_LEAVE : 0);
  for (const list of listsOf(members)) {
    out.varint(list.length);
    for (const id of list) out.varint(id);
  }
}

/** Throws RangeError for what is no configuration. */
export function readMembers(input: ByteReader): Members {
  const autoLeave = (input.u8() & AUTO_LEAVE) !== 0;
  const voters = readIds(input);
  const votersOutgoing = readIds(input);
  const learners = readIds(input);
  const members = { voters, votersOutgoing, learners, learnersNext: readIds(input), autoLeave };
  const wrong = wrongOf(members);
  if (wrong !== undefined) throw new RangeError(`members ${wrong}`);
  return members;
}

function listsOf(members: Members): readonly (readonly MemberId[])[] {
  return [members.voters, members.votersOutgoing, members.learners, members.learnersNext];
}

function readIds(input: ByteReader): MemberId[] {
  const count = input.varint();
  if (count > MEMBERS_MAX) throw new RangeError(`${count} members are too many`);
  const ids: MemberId[] = [];
  for (let i = 0; i < count; i++) {
    const id = input.varint();
    if (id <= (ids.at(-1) ?? 0) || !Number.isSafeInteger(id)) {
      throw new RangeError('member ids do not ascend');
    }
    ids.push(id);
  }
  return ids;
}

function wrongOf(members: Members): string | undefined {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = members;
  const isJoint = votersOutgoing.length > 0;
  if (!isJoint && (learnersNext.length > 0 || autoLeave)) return 'leave a change that is none';
  if (isJoint && voters.length === 0) return 'change to no voters';
  if (!learnersNext.every((id) => votersOutgoing.includes(id))) return 'demote who does not vote';
  const isVoting = (id: MemberId) => voters.includes(id) || votersOutgoing.includes(id);
  return learners.some(isVoting) ? 'have a learner that votes' : undefined;
}
