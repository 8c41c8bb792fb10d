/**
 * Compares the state of the members while they run (reference/store.md section 8, rule 1): the leader
 * asks everybody for the hash of the state behind an index that it applied. Once a quorum of voters
 * agrees, whoever differs must end, the leader too: to trust the leader would copy its fault to all good
 * members. A quorum of equal members is left by that, so nobody is fenced below one. Where voters differ and
 * no quorum agrees, the state is disputed: this leader may be the one who is wrong. It takes no writes and
 * gives its state to nobody, until a member more has answered.
 *
 * A member that lags answers when it gets there. Its next process begins from its disk, and is compared
 * again.
 */
import { isQuorum, isVoter } from '#control/raft/raft.ts';
import type { Members } from '#control/raft/raft.ts';
import { HASH_ROUND_TICKS, HASH_ROUNDS_KEPT } from '../limits.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import type { Fence, PeerMessage, StateHashAnswer } from './peers.ts';
import type { StateMachine } from './state-machine.ts';

export class HashRounds {
  readonly #memberId: number;
  readonly #state: StateMachine;
  readonly #send: (to: number, message: PeerMessage) => void;
  /** A leader's: answers by member, for the indexes asked about; oldest first. */
  readonly #rounds = new Map<number, Map<number, Lanes>>();
  #ticks = 0;
  #askedIndex = 0;
  #isDisputed = false;
  /** A question that waits until its index is applied here. */
  #waiting: { readonly from: number; readonly index: number } | undefined;

  constructor(parts: {
    readonly memberId: number;
    readonly state: StateMachine;
    readonly send: (to: number, message: PeerMessage) => void;
  }) {
    this.#memberId = parts.memberId;
    this.#state = parts.state;
    this.#send = parts.send;
  }

  /** A leader's: voters differ, and nobody can say who is wrong. */
  get isDisputed(): boolean {
    return this.#isDisputed;
  }

  /** Time passes for a leader of these others. */
  tick(others: readonly number[], members: Members): void {
    this.#isDisputed = this.#isSplit(members) ?? this.#isDisputed;
    const { appliedIndex } = this.#state;
    if (++this.#ticks % HASH_ROUND_TICKS !== 0 && appliedIndex === this.#askedIndex) return;
    const own = this.#state.hashes.at(appliedIndex);
    if (own === undefined || others.length === 0) return;
    this.#askedIndex = appliedIndex;
    this.#rounds.set(appliedIndex, new Map([[this.#memberId, own]]));
    for (const index of this.#rounds.keys()) {
      if (this.#rounds.size <= HASH_ROUNDS_KEPT) break;
      this.#rounds.delete(index);
    }
    for (const to of others) this.#send(to, { kind: 'stateHash', index: appliedIndex });
  }

  /** This member leads no more. */
  stop(): void {
    this.#rounds.clear();
    this.#isDisputed = false;
  }

  /** By the newest comparison that a voter has answered; undefined without any. */
  #isSplit(members: Members): boolean | undefined {
    const answers = [...this.#rounds.values()].findLast(
      (round) => [...round.keys()].filter((id) => isVoter(members, id)).length > 1,
    );
    if (answers === undefined) return undefined;
    const hashes = [...answers].filter(([id]) => isVoter(members, id)).map(([, hash]) => hash);
    const isAgreed = hashes.some((good) =>
      isQuorum(members, (id) => isEqual(answers.get(id), good)),
    );
    return !isAgreed && hashes.some((hash) => !isEqual(hash, hashes[0] ?? hash));
  }

  /** An answer: tells those that differ from a quorum, as far as is known. True = this member does. */
  answered(from: number, { index, hash }: StateHashAnswer, members: Members): boolean {
    const answers = this.#rounds.get(index);
    answers?.set(from, hash);
    for (const good of answers?.values() ?? []) {
      const agrees = (id: number) => isEqual(answers?.get(id), good);
      if (!isQuorum(members, agrees)) continue;
      const others = [...(answers?.keys() ?? [])].filter((id) => !agrees(id));
      for (const id of others) {
        if (id !== this.#memberId) this.#send(id, { kind: 'fence', index, hash: good });
      }
      return others.includes(this.#memberId);
    }
    return false;
  }

  /** A leader's word on what a quorum holds; true = this member differs. It may come late. */
  isFenced({ index, hash }: Fence): boolean {
    const own = this.#state.hashes.at(index);
    return own !== undefined && !isEqual(own, hash);
  }

  /** The leader asks; one question is answered after the other. */
  asked(from: number, index: number): void {
    this.#waiting ??= { from, index };
    this.answer();
  }

  /** Entries were applied. */
  answer(): void {
    const { from, index } = this.#waiting ?? { from: 0, index: Number.POSITIVE_INFINITY };
    if (index > this.#state.appliedIndex) return;
    this.#waiting = undefined;
    const hash = this.#state.hashes.at(index);
    if (hash !== undefined) this.#send(from, { kind: 'stateHashAnswer', index, hash });
  }
}

function isEqual(one: Lanes | undefined, other: Lanes): boolean {
  return one?.a === other.a && one.b === other.b;
}
