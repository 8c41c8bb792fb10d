/**
 * Before a member that started votes, it asks the other voters which terms they have heard of, until a
 * quorum with itself has answered; then it votes only above the highest (reference/store.md section 8,
 * rule 2). Its disk may be an old copy: then it voted in terms that it knows nothing of. A leader that
 * counts on more log than this member holds shows the same.
 */
import { everyone, isQuorum, isVoter } from '#control/raft/raft.ts';
import type { MemberId, Members } from '#control/raft/raft.ts';

/** Whether the group is more than this member. */
export function hasOthers(members: Members, id: MemberId): boolean {
  return everyone(members).some((other) => other !== id);
}

export class StartTerms {
  readonly #heard = new Set<MemberId>();
  #highest = 0;
  #isDone = false;

  constructor(id: MemberId) {
    this.#heard.add(id);
  }

  /** Whom to ask now. */
  open(members: Members): readonly MemberId[] {
    if (this.#isDone) return [];
    return everyone(members).filter((id) => isVoter(members, id) && !this.#heard.has(id));
  }

  /** The highest term heard of, once this answer completes the quorum. */
  heard(from: MemberId, term: number, members: Members): number | undefined {
    this.#highest = Math.max(this.#highest, term);
    this.#heard.add(from);
    if (this.#isDone || !isQuorum(members, (id) => this.#heard.has(id))) return undefined;
    this.#isDone = true;
    return this.#highest;
  }
}
