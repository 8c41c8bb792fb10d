/**
 * The configurations that a log holds, by the index of their entry: the newest is in force, older
 * ones come back when their successor is cut off (thesis 4.1: in force when appended, not when
 * committed). The first one is that of the snapshot, or of the founding.
 *
 * Invariant: indexes ascend; the first index <= snapshotIndex of the log.
 */
import { assert, must } from '#base/assert.ts';
import { everyone, isVoter } from './members.ts';
import type { LogIndex, MemberId, Members } from './types.ts';

interface Stage {
  readonly index: LogIndex;
  readonly members: Members;
}

export class MemberHistory {
  #stages: Stage[];

  constructor(index: LogIndex, members: Members) {
    this.#stages = [{ index, members: checked(members) }];
  }

  /** In force. */
  get members(): Members {
    return this.#newest.members;
  }

  /** Where the configuration in force stands in the log. */
  get index(): LogIndex {
    return this.#newest.index;
  }

  /** In force at `index`. */
  at(index: LogIndex): Members {
    const stage = this.#stages.findLast((candidate) => candidate.index <= index);
    return must(stage, `members at ${index} are known`).members;
  }

  /** Whether the member votes in the configuration committed last or in any behind it. */
  isVoterSince(commitIndex: LogIndex, id: MemberId): boolean {
    return this.#since(commitIndex).some(({ members }) => isVoter(members, id));
  }

  /** Everyone who receives the log by the configuration committed last or by any behind it. */
  everyoneSince(commitIndex: LogIndex): ReadonlySet<MemberId> {
    return new Set(this.#since(commitIndex).flatMap(({ members }) => everyone(members)));
  }

  push(index: LogIndex, members: Members): void {
    assert(index > this.index, `members at ${index} follow those at ${this.index}`);
    this.#stages.push({ index, members: checked(members) });
  }

  /** The log lost its entries from `from` on. */
  cut(from: LogIndex): void {
    const firstLost = this.#stages.findIndex(({ index }) => index >= from);
    assert(firstLost !== 0, 'the first configuration is never cut off');
    if (firstLost !== -1) this.#stages.length = firstLost;
  }

  /** The log begins behind `index`; what is in force there is kept. */
  compactTo(index: LogIndex): void {
    const kept = this.#stages.findLastIndex((stage) => stage.index <= index);
    this.#stages = this.#stages.slice(kept);
  }

  #since(commitIndex: LogIndex): readonly Stage[] {
    const committed = this.#stages.findLastIndex(({ index }) => index <= commitIndex);
    return this.#stages.slice(Math.max(0, committed));
  }

  get #newest(): Stage {
    return must(this.#stages.at(-1), 'there is a configuration');
  }
}

/** Members come from disks and from other members: what breaks their rules must not decide anything. */
function checked(members: Members): Members {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = members;
  const isJoint = votersOutgoing.length > 0;
  assert(isJoint || (learnersNext.length === 0 && !autoLeave), 'only a joint change can be left');
  assert(!isJoint || voters.length > 0, 'a joint change has voters to come');
  for (const id of learnersNext) assert(votersOutgoing.includes(id), `learner ${id} to come votes`);
  for (const id of learners) assert(!isVoter(members, id), `learner ${id} does not vote`);
  return members;
}
