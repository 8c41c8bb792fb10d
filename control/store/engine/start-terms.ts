/**
 * Before a member that started votes, it asks the others which terms they have heard of, until a quorum
 * with itself has answered; then it votes only above the highest (reference/store.md section 8, rule 2).
 * Its disk may be an old copy: then it voted in terms that it knows nothing of. A leader that counts on
 * more log than this member holds shows the same.
 *
 * Who the others are may have changed while it was away, and those it knows may be gone for ever. So the
 * answers come with the configuration that is committed there: the newest one says what a quorum is. It is
 * newer than the own one when it was committed at or behind the index of that. Asked are all who are named,
 * and who asks for a vote: who came since is known by that alone.
 */
import { everyone, isQuorum } from '#control/raft/raft.ts';
import type { MemberId, Members, Raft } from '#control/raft/raft.ts';
import type { MembersNews, Peers, TermResponse } from './peers.ts';

/** Whether the group is more than this member. */
export function hasOthers(members: Members, id: MemberId): boolean {
  return everyone(members).some((other) => other !== id);
}

export class StartTerms {
  readonly #raft: Raft;
  readonly #memberId: MemberId;
  readonly #send: Peers['send'];
  readonly #heard: Set<MemberId>;
  /** They asked for a vote. */
  readonly #met = new Set<MemberId>();
  #news: MembersNews | undefined;
  #highest = 0;
  #isDone = false;

  constructor(raft: Raft, parts: { readonly memberId: MemberId; readonly send: Peers['send'] }) {
    this.#raft = raft;
    this.#memberId = parts.memberId;
    this.#send = parts.send;
    this.#heard = new Set([parts.memberId]);
  }

  /** Asks, also those that answered: they may know more by now. */
  tick(): void {
    // A sole voter has nobody to ask.
    if (this.#isDone || this.#raft.isSoleVoter) return;
    const { members } = this.#raft;
    const named = new Set([...everyone(members), ...everyone(this.#newest), ...this.#met]);
    for (const to of named) if (to !== this.#memberId) this.#send(to, { kind: 'termRequest' });
  }

  /** A member that started asks. `match`: what it acknowledged to this leader. */
  answer(to: MemberId, match: Pick<TermResponse, 'matchIndex' | 'matchTerm'>): void {
    const raft = this.#raft;
    const committed = raft.describe(raft.commitIndex);
    if (committed !== undefined && committed.members.voters.length > 0) {
      const { index, members } = committed;
      this.#send(to, { kind: 'membersNews', index, members });
    }
    this.#send(to, { kind: 'termResponse', term: raft.term, ...match });
  }

  /** A member asks for a vote. */
  met(id: MemberId): void {
    if (!this.#isDone && this.#met.size < MET_MAX) this.#met.add(id);
  }

  heard(from: MemberId, term: number): void {
    this.#highest = Math.max(this.#highest, term);
    this.#heard.add(from);
    this.#decide();
  }

  told(news: MembersNews): void {
    if (news.index > (this.#news?.index ?? 0)) this.#news = news;
    this.#decide();
  }

  #decide(): void {
    if (this.#isDone || this.#raft.isSoleVoter) return;
    const members = this.#newest;
    if (members.voters.length === 0 || !isQuorum(members, (id) => this.#heard.has(id))) return;
    this.#isDone = true;
    this.#raft.voteAbove(this.#highest);
  }

  get #newest(): Members {
    const { members, membersIndex } = this.#raft;
    const news = this.#news;
    return news !== undefined && news.index >= membersIndex ? news.members : members;
  }
}

/** More than a group has. */
const MET_MAX = 128;
