/**
 * Configurations and how one follows from another. Pure functions: a change gives a whole new
 * configuration or the reason why not, never half of one. Thesis chapter 4; the names of the joint
 * variants are etcd's.
 *
 * Two configurations in a row must not be able to decide apart: every majority of one shares a member
 * with every majority of the next. One voter more or fewer keeps that; anything larger goes through a
 * joint configuration, in which both decide together.
 */
import { assert } from '#base/assert.ts';
import type { MemberId, Members } from './types.ts';

/** Nobody yet: a member that waits to be told. */
export const NO_MEMBERS: Members = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** A configuration of these voters and nobody else. */
export function membersOf(voters: readonly MemberId[]): Members {
  return { ...NO_MEMBERS, voters: sorted(new Set(voters)) };
}

export function isJoint(members: Members): boolean {
  return members.votersOutgoing.length > 0;
}

export function isVoter(members: Members, id: MemberId): boolean {
  return members.voters.includes(id) || members.votersOutgoing.includes(id);
}

/** Everyone who receives the log, each once. */
export function everyone(members: Members): readonly MemberId[] {
  return [...new Set([...members.voters, ...members.votersOutgoing, ...members.learners])];
}

/**
 * `addVoter` promotes a learner, `addLearner` demotes a voter. Changes are idempotent: to add who is
 * there and to remove who is not is fine.
 */
export interface MemberChange {
  readonly kind: 'addVoter' | 'addLearner' | 'remove';
  readonly id: MemberId;
}

/**
 *   auto           directly when at most one voter changes, else joint
 *   simple         directly, or refused
 *   joint          through a joint configuration that the leader leaves by itself
 *   jointExplicit  the same, left only by `leaveJoint`
 */
export type Transition = 'auto' | 'simple' | 'joint' | 'jointExplicit';

export type PlanRefusal =
  | 'alreadyJoint'
  | 'notJoint'
  | 'noVoterLeft'
  | 'noVoterYet'
  /** More than one voter changes, and the transition is `simple`. */
  | 'needsJoint'
  | 'badMemberId';

/** The configuration after `changes`, applied in order. */
export function planChange(
  members: Members,
  changes: readonly MemberChange[],
  transition: Transition,
): Members | PlanRefusal {
  if (isJoint(members)) return 'alreadyJoint';
  if (!changes.every(({ id }) => Number.isSafeInteger(id) && id > 0)) {
    return 'badMemberId';
  }
  if (transition === 'joint' || transition === 'jointExplicit') {
    return planJoint(members, changes, transition === 'joint');
  }
  const next = withChanges(members, changes);
  if (next.voters.length === 0) return 'noVoterLeft';
  if (countChangedVoters(members, next) <= 1) return next;
  return transition === 'auto' ? planJoint(members, changes, true) : 'needsJoint';
}

/** The configuration in which the new voters decide alone. */
export function planLeave(members: Members): Members | PlanRefusal {
  if (!isJoint(members)) return 'notJoint';
  const { voters, learners, learnersNext } = members;
  return { ...NO_MEMBERS, voters, learners: sorted(new Set([...learners, ...learnersNext])) };
}

function planJoint(
  members: Members,
  changes: readonly MemberChange[],
  autoLeave: boolean,
): Members | PlanRefusal {
  if (members.voters.length === 0) return 'noVoterYet';
  const next = withChanges({ ...members, votersOutgoing: members.voters, autoLeave }, changes);
  return next.voters.length === 0 ? 'noVoterLeft' : next;
}

function withChanges(members: Members, changes: readonly MemberChange[]): Members {
  const voters = new Set(members.voters);
  const learners = new Set(members.learners);
  const learnersNext = new Set(members.learnersNext);
  const outgoing = members.votersOutgoing;
  for (const { kind, id } of changes) {
    voters.delete(id);
    learners.delete(id);
    learnersNext.delete(id);
    if (kind === 'addVoter') voters.add(id);
    // Who votes in the old half becomes a learner only when that half has no say any more.
    else if (kind === 'addLearner') (outgoing.includes(id) ? learnersNext : learners).add(id);
    else assert(kind === 'remove', `change ${kind} is known`);
  }
  return {
    ...members,
    voters: sorted(voters),
    learners: sorted(learners),
    learnersNext: sorted(learnersNext),
  };
}

function countChangedVoters(before: Members, after: Members): number {
  const added = after.voters.filter((id) => !before.voters.includes(id));
  const removed = before.voters.filter((id) => !after.voters.includes(id));
  return added.length + removed.length;
}

function sorted(ids: ReadonlySet<MemberId>): readonly MemberId[] {
  return [...ids].sort((a, b) => a - b);
}
