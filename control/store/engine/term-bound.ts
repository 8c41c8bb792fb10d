/**
 * A bound for the terms in which a member may have voted whose log has lost the record of it: it voted for
 * somebody, who stood in that term, and told others. So it asks the others which terms they know of, until
 * all other voters have answered, or of a larger group a quorum *without* this member: who won by a vote
 * that is forgotten won by another member of that quorum, too. (Who has not won yet must give up first, so
 * the question waits for as long: repair.ts.)
 *
 * As in start-terms.ts, answers come with the configuration that is committed there, and the newest says
 * who is to answer.
 */
import { everyone, isQuorum, isVoter } from '#control/raft/raft.ts';
import type { MemberId, Members } from '#control/raft/raft.ts';
import type { MembersNews, PeerMessage } from './peers.ts';
import type { Known } from './read-directory.ts';

export class TermBound {
  readonly #memberId: MemberId;
  readonly #send: (to: MemberId, message: PeerMessage) => void;
  readonly #heard = new Map<MemberId, number>();
  #news: MembersNews | undefined;

  constructor(memberId: MemberId, send: (to: MemberId, message: PeerMessage) => void) {
    this.#memberId = memberId;
    this.#send = send;
  }

  /** Asks all who may know; `own`: the configuration that this member has. */
  ask(own: Known): void {
    const named = new Set([...everyone(own.members), ...everyone(this.#newest(own))]);
    for (const to of named) if (to !== this.#memberId) this.#send(to, { kind: 'termRequest' });
  }

  heard(from: MemberId, term: number): void {
    this.#heard.set(from, Math.max(term, this.#heard.get(from) ?? 0));
  }

  told(news: MembersNews): void {
    if (news.index > (this.#news?.index ?? 0)) this.#news = news;
  }

  /** The highest term that those know who were heard; undefined while they are too few. */
  highest(own: Known): number | undefined {
    const members = this.#newest(own);
    const others = everyone(members).filter((id) => id !== this.#memberId && isVoter(members, id));
    const isHeard = (id: MemberId) => id !== this.#memberId && this.#heard.has(id);
    const isEnough = others.every(isHeard) || isQuorum(members, isHeard);
    if (members.voters.length === 0 || !isEnough) return undefined;
    return Math.max(0, ...this.#heard.values());
  }

  #newest({ index, members }: Known): Members {
    return this.#news !== undefined && this.#news.index >= index ? this.#news.members : members;
  }
}
