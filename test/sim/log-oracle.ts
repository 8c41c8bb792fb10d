/**
 * The invariants of the replicated log, checked on each member after every event on it (paper figure 3,
 * thesis 4.3; the core alone is held to the same in control/raft/simulation):
 *
 *   election safety       one leader in each term, and one vote of each member, which a restart keeps
 *   log matching          entries of equal index and term are equal, and follow entries of equal term
 *   leader completeness   who comes to lead a term holds all that was committed before it
 *   commitment            what is committed is held by a quorum, and is the same everywhere; by counting
 *                         a leader commits up to an entry of its own term alone (paper 5.4.2)
 *   monotony              terms and commit indexes do not fall; what was durable when a process ended is
 *                         there when the next one starts
 */
import { crc32 } from 'node:zlib';
import { assert } from '#base/assert.ts';
import { isQuorum } from '#control/raft/raft.ts';
import type { Entry, Members } from '#control/raft/raft.ts';
import type { Durable } from '#control/store/engine/consensus.ts';
import type { PeerMessage } from '#control/store/engine/peers.ts';
import type { SimMember } from './member.ts';

/** What was seen of a member after its last event. */
interface Seen {
  life: number;
  term: number;
  /** The term that it led; 0 = it did not lead. */
  ledTerm: number;
  /** Up to it a damaged disk may have forgotten votes: it gives none there any more. */
  spentTerm: number;
  commitIndex: number;
  durable: Durable;
  /** By index; entries that it holds, or held behind its snapshot. */
  readonly log: Entry[];
  /** Of the last entry that names them, or as applied. */
  members: Members | undefined;
  applied: Members | undefined;
}

/** An entry that some leader made. */
interface Made {
  readonly term: number;
  readonly sum: number;
  prevTerm: number | undefined;
}

const NOTHING: Durable = { term: 0, lastTerm: 0, lastIndex: 0 };

export class LogOracle {
  readonly #seen = new Map<number, Seen>();
  readonly #leaders = new Map<number, number>();
  /** By member and term: whom it voted for. */
  readonly #votes = new Map<string, number>();
  /** By index; in each term one. */
  readonly #made: Made[][] = [];
  /** By index, of the committed entries: their term, and in which one they were committed. */
  readonly #committed: { readonly term: number; readonly inTerm: number }[] = [];

  /** Terms that had a leader. */
  get leaderCount(): number {
    return this.#leaders.size;
  }

  observe(member: SimMember): void {
    const { engine, id, life } = member;
    if (engine === undefined) return;
    const { tail, commitIndex, term } = engine;
    const seen = this.#of(member);
    const termBefore = seen.life === life ? seen.term : seen.durable.term;
    assert(term >= termBefore, `member ${id}: its term ${termBefore} does not fall to ${term}`);
    if (seen.life === life) {
      assert(commitIndex >= seen.commitIndex, `member ${id}: its commit index does not fall`);
    } else {
      assert(!isBehind(tail, seen.durable), `member ${id}: what was durable is there`);
      seen.commitIndex = 0;
    }
    this.#observeVote(member, seen);
    const before = seen.members;
    this.#observeLog(member, seen);
    this.#observeCommit(member, seen, before);
    if (engine.isLeader) this.#observeLeader(member, term);
    seen.life = life;
    seen.term = term;
    seen.durable = engine.durable;
    seen.ledTerm = engine.isLeader ? term : 0;
    seen.commitIndex = commitIndex;
  }

  /** The process ends within an event: what its log holds may be durable, and others be told so. */
  ending(member: SimMember): void {
    if (member.engine !== undefined) this.#observeLog(member, this.#of(member));
  }

  /** The member's disk was damaged: what was durable need not be. */
  forget({ id, promised }: SimMember): void {
    const seen = this.#seen.get(id);
    if (seen === undefined) return;
    seen.spentTerm = Math.max(seen.spentTerm, promised.term);
    seen.life = 0;
    seen.term = 0;
    seen.durable = NOTHING;
  }

  /** A message leaves the member. */
  says(member: SimMember, to: number, message: PeerMessage): void {
    if (message.kind === 'voteResponse' && !message.rejected) {
      this.#vote(member.id, message.term, to);
    }
  }

  /** What it said of its vote it knows in its next life. */
  #observeVote({ engine, id, life }: SimMember, seen: Seen): void {
    if (engine === undefined || seen.life === life) return;
    const { term, vote } = engine;
    if (term <= seen.spentTerm) return;
    const known = this.#votes.get(`${id}/${term}`);
    const isKept = known === undefined || known === vote;
    assert(isKept, `member ${id} knows in its next life that it voted in term ${term}`);
  }

  #vote(id: number, term: number, of: number): void {
    const key = `${id}/${term}`;
    const known = this.#votes.get(key);
    assert(known === undefined || known === of, `member ${id} votes once in term ${term}`);
    this.#votes.set(key, of);
  }

  #of({ id, life }: SimMember): Seen {
    const known = this.#seen.get(id);
    if (known !== undefined) return known;
    const none = { members: undefined, applied: undefined };
    const terms = { term: 0, ledTerm: 0, spentTerm: -1 };
    const seen: Seen = { life, ...terms, commitIndex: 0, durable: NOTHING, log: [], ...none };
    this.#seen.set(id, seen);
    return seen;
  }

  #observeLog({ engine, id }: SimMember, seen: Seen): void {
    if (engine === undefined) return;
    const { log } = seen;
    const { lastIndex } = engine.tail;
    const { members } = engine.state;
    const isSame = log.length === lastIndex + 1 && log[lastIndex] === engine.entry(lastIndex);
    if (isSame && seen.applied === members) return;
    log.length = Math.min(log.length, lastIndex + 1);
    let index = lastIndex;
    for (; index > 0; index--) {
      const entry = engine.entry(index);
      if (entry === undefined || log[index] === entry) break;
      log[index] = entry;
    }
    for (index++; index <= lastIndex; index++) {
      const prevTerm = engine.entry(index - 1)?.term;
      this.#checkMade(log[index] as Entry, prevTerm, id); // Just put there.
    }
    // What is in memory no more is applied, and the state says it.
    seen.members = members;
    seen.applied = members;
    for (let at = lastIndex; at > 0; at--) {
      const entry = engine.entry(at);
      if (entry?.members !== undefined) seen.members = entry.members;
      if (entry === undefined || entry.members !== undefined) break;
    }
  }

  #checkMade(entry: Entry, prevTerm: number | undefined, id: number): void {
    const { index, term, members, data } = entry;
    const ofData = crc32(data);
    const sum = members === undefined ? ofData : crc32(JSON.stringify(members), ofData);
    const ofIndex = (this.#made[index] ??= []);
    const made = ofIndex.find((other) => other.term === term);
    if (made === undefined) {
      ofIndex.push({ term, sum, prevTerm });
      return;
    }
    const of = `entry ${index}/${term} of member ${id}`;
    assert(made.sum === sum, `${of} is the one that was made`);
    made.prevTerm ??= prevTerm;
    const isSame = prevTerm === undefined || made.prevTerm === prevTerm;
    assert(isSame, `${of} follows the same`);
  }

  #observeCommit({ engine, id }: SimMember, seen: Seen, before: Members | undefined): void {
    if (engine === undefined) return;
    const { term: raftTerm, commitIndex } = engine;
    const hasCounted =
      engine.isLeader && seen.ledTerm === raftTerm && seen.commitIndex < commitIndex;
    const counted = hasCounted ? seen.log[commitIndex] : undefined;
    const isOwn = counted === undefined || counted.term === raftTerm;
    assert(
      isOwn,
      `leader ${id} of term ${raftTerm} does not count an entry of term ${counted?.term}`,
    );
    for (let index = seen.commitIndex + 1; index <= engine.commitIndex; index++) {
      const entry = seen.log[index];
      if (entry === undefined || engine.entry(index) === undefined) continue; // In a snapshot.
      const known = this.#committed[index];
      if (known !== undefined) {
        assert(known.term === entry.term, `member ${id} commits the same at ${index}`);
        continue;
      }
      this.#committed[index] = { term: entry.term, inTerm: raftTerm };
      const isHeld = (other: number) => this.#isHeld(other, entry);
      const configurations = [seen.members, before].filter((members) => members !== undefined);
      const isHeldByOne = configurations.some((members) => isQuorum(members, isHeld));
      assert(isHeldByOne, `entry ${index}, committed by ${id}, is held by a quorum`);
    }
  }

  #isHeld(id: number, { index, term }: Entry): boolean {
    const seen = this.#seen.get(id);
    return seen !== undefined && (seen.log[index]?.term === term || seen.commitIndex >= index);
  }

  #observeLeader({ engine, id }: SimMember, term: number): void {
    const known = this.#leaders.get(term);
    assert(known === undefined || known === id, `term ${term} has one leader`);
    if (known !== undefined || engine === undefined) return;
    this.#leaders.set(term, id);
    this.#vote(id, term, id);
    const { lastIndex } = engine.tail;
    for (let index = this.#committed.length - 1; index > 0; index--) {
      const committed = this.#committed[index];
      // Who wins an election late, in a term that is over, need not know what came after it.
      if (committed === undefined || committed.inTerm >= term) continue;
      assert(lastIndex >= index, `member ${id} leads term ${term} and holds ${index}`);
      const entry = engine.entry(index);
      if (entry === undefined) return;
      assert(entry.term === committed.term, `member ${id} leads term ${term}, ${index} is right`);
    }
  }
}

type Tail = Omit<Durable, 'term'>;

function isBehind(one: Tail, other: Tail): boolean {
  if (one.lastTerm !== other.lastTerm) return one.lastTerm < other.lastTerm;
  return one.lastIndex < other.lastIndex;
}
