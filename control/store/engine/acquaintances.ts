/**
 * Whom this member lets in, and where it reaches them: whom its own state names, or whom a member of that
 * state names by a newer one. A member that was away may meet a leader that came in meanwhile, whose entries
 * alone would tell it who that is. So when somebody of its group knocks whom it does not know, it asks those
 * that it knows; what they say counts as a whole, removals too, until its own state has come as far.
 *
 *   own state -> told (of a higher index) -> told (higher still) | own state (applied as far)
 *
 * Nobody vouches for himself: only who has proved a key that is in force already is asked, or heard.
 */
import { isSameHash } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import type { Peers, RosterNews } from './peers.ts';
import type { RosterRow } from './roster.ts';
import type { StateMachine } from './state-machine.ts';

export class Acquaintances {
  readonly #state: Pick<StateMachine, 'appliedIndex' | 'roster'>;
  readonly #memberId: number;
  readonly #peers: Peers;
  #news: RosterNews | undefined;
  #hasMetStranger = false;
  /** As last told to the peers' port. */
  #told: { readonly hash: Lanes; readonly news: RosterNews | undefined } = {
    hash: { a: 0, b: 0 },
    news: undefined,
  };

  constructor(parts: {
    readonly state: Pick<StateMachine, 'appliedIndex' | 'roster'>;
    readonly memberId: number;
    readonly peers: Peers;
  }) {
    this.#state = parts.state;
    this.#memberId = parts.memberId;
    this.#peers = parts.peers;
  }

  /** Somebody knocked whom these rows do not name. */
  metStranger(): void {
    this.#hasMetStranger = true;
  }

  /** Strangers may knock as often as they like: it is asked once a round. */
  round(): void {
    if (!this.#hasMetStranger) return;
    this.#hasMetStranger = false;
    for (const { id } of this.#rows()) {
      if (id !== this.#memberId) this.#peers.send(id, { kind: 'rosterRequest' });
    }
  }

  asked(from: number): void {
    const { appliedIndex: index, roster } = this.#state;
    this.#peers.send(from, { kind: 'rosterNews', index, rows: roster.all() });
  }

  told(news: RosterNews): void {
    const { index, rows } = news;
    const known = Math.max(this.#state.appliedIndex, this.#news?.index ?? 0);
    if (index > known && rows.length > 0) this.#news = news;
  }

  /** Tells the peers' port when something has changed; returns the members' ids then. */
  update(): readonly number[] | undefined {
    if (this.#news !== undefined && this.#news.index <= this.#state.appliedIndex) {
      this.#news = undefined;
    }
    const { a, b } = this.#state.roster.hash;
    const hash = { a, b }; // As it is now.
    if (isSameHash(this.#told.hash, hash) && this.#told.news === this.#news) return undefined;
    this.#told = { hash, news: this.#news };
    const rows = this.#rows();
    this.#peers.setMembers(rows);
    return rows.map(({ id }) => id);
  }

  #rows(): readonly RosterRow[] {
    return this.#news?.rows ?? this.#state.roster.all();
  }
}
