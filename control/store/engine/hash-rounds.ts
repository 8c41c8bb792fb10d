/**
 * Compares the state of the members while they run (reference/store.md section 8, rule 1), by the hash
 * behind an index that the asker applied. Once a quorum of voters agrees, whoever differs must end, the
 * leader too: to trust the leader would copy its fault to all good members. A quorum of equal members is
 * left by that, so nobody is fenced below one. Asked is
 *
 *   by the leader, again and again   where voters differ and no quorum agrees, the state is disputed: this
 *                                    leader may be the one who is wrong. It takes no writes until a member
 *                                    more has answered.
 *   by who was fenced                until it is found right again
 *   by anybody for a checkpoint      which counts only when a quorum has the state that is in it
 *                                    (checkpoints.ts): so what counts is right, whoever gets it
 *
 * A member that lags answers when it gets there. Its next process begins from its disk, and is compared
 * again.
 */
import { everyone, isQuorum, isVoter } from '#control/raft/raft.ts';
import type { Members } from '#control/raft/raft.ts';
import { HASH_ROUND_TICKS, HASH_ROUNDS_KEPT, MEMBERS_MAX } from '../limits.ts';
import { isSameHash } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import type { Fence, PeerMessage, StateHashAnswer } from './peers.ts';
import type { StateMachine } from './state-machine.ts';

/** By member. */
type Answers = Map<number, Lanes>;

export class HashRounds {
  readonly #memberId: number;
  readonly #state: StateMachine;
  readonly #members: () => Members;
  readonly #send: (to: number, message: PeerMessage) => void;
  /** A leader's, by the indexes asked about; oldest first. */
  readonly #rounds = new Map<number, Answers>();
  #ticks = 0;
  #askedIndex = 0;
  #isDisputed = false;
  /** The last one behind which a quorum, with this member, had one state. */
  #agreedIndex = 0;
  /** Of the checkpoint that is written, or was last. */
  #checked: { readonly index: number; readonly answers: Answers } = {
    index: 0,
    answers: new Map(),
  };
  /** Questions that wait until their index is applied here: one of each member. */
  readonly #waiting = new Map<number, number>();

  constructor(parts: {
    readonly memberId: number;
    readonly state: StateMachine;
    /** In force. */
    readonly members: () => Members;
    readonly send: (to: number, message: PeerMessage) => void;
  }) {
    this.#memberId = parts.memberId;
    this.#state = parts.state;
    this.#members = parts.members;
    this.#send = parts.send;
  }

  /** A leader's: voters differ, and nobody can say who is wrong. */
  get isDisputed(): boolean {
    return this.#isDisputed;
  }

  /** Behind this index a quorum has the state that this member has; 0 = not known yet. */
  get agreedIndex(): number {
    return this.#agreedIndex;
  }

  /** Asks who has this state behind this index, until the next such question. */
  check(index: number, hash: Lanes): void {
    this.#checked = { index, answers: new Map([[this.#memberId, hash]]) };
    this.#askOn();
  }

  /** Whether a quorum has the state that `check` asked about. A sole voter is one by itself. */
  isAgreed(index: number): boolean {
    const { index: checked, answers } = this.#checked;
    const own = answers.get(this.#memberId);
    return index === checked && own !== undefined && this.#isOfQuorum(answers, own);
  }

  /** Time passes, for who leads or was fenced before. */
  tick({ isLeader, isDoubted }: { readonly isLeader: boolean; readonly isDoubted: boolean }): void {
    if (!this.isAgreed(this.#checked.index)) this.#askOn();
    if (!isLeader) this.#isDisputed = false;
    if (isLeader || isDoubted) this.#ask(isLeader);
    else this.#rounds.clear();
  }

  #ask(isLeader: boolean): void {
    const members = this.#members();
    if (isLeader) this.#isDisputed = this.#isSplit(members) ?? this.#isDisputed;
    const { appliedIndex } = this.#state;
    if (++this.#ticks % HASH_ROUND_TICKS !== 0 && appliedIndex === this.#askedIndex) return;
    const own = this.#state.hashes.at(appliedIndex);
    const others = everyone(members).filter((id) => id !== this.#memberId);
    if (own === undefined || others.length === 0) return;
    this.#askedIndex = appliedIndex;
    this.#rounds.set(appliedIndex, new Map([[this.#memberId, own]]));
    for (const index of this.#rounds.keys()) {
      if (this.#rounds.size <= HASH_ROUNDS_KEPT) break;
      this.#rounds.delete(index);
    }
    for (const to of others) this.#send(to, { kind: 'stateHash', index: appliedIndex });
  }

  /** Those who have not said what they hold behind the checkpoint's index. */
  #askOn(): void {
    const { index, answers } = this.#checked;
    const members = this.#members();
    if (index === 0) return;
    for (const to of everyone(members)) {
      if (isVoter(members, to) && !answers.has(to)) this.#send(to, { kind: 'stateHash', index });
    }
  }

  /** By the newest comparison that a voter has answered; undefined without any. */
  #isSplit(members: Members): boolean | undefined {
    const answers = [...this.#rounds.values()].findLast(
      (round) => [...round.keys()].filter((id) => isVoter(members, id)).length > 1,
    );
    if (answers === undefined) return undefined;
    const hashes = [...answers].filter(([id]) => isVoter(members, id)).map(([, hash]) => hash);
    const isAgreed = hashes.some((good) => this.#isOfQuorum(answers, good));
    return !isAgreed && hashes.some((hash) => !isSameHash(hash, hashes[0] ?? hash));
  }

  #isOfQuorum(answers: Answers, hash: Lanes): boolean {
    const members = this.#members();
    // Who does not know yet who the members are cannot know what they agree on.
    if (members.voters.length === 0) return false;
    return isQuorum(members, (id) => isSameHash(answers.get(id), hash));
  }

  /** An answer: tells those that differ from a quorum, as far as is known. True = this member does. */
  answered(from: number, { index, hash }: StateHashAnswer): boolean {
    const { index: checked, answers: ofCheckpoint } = this.#checked;
    let differs = false;
    for (const answers of [this.#rounds.get(index), checked === index ? ofCheckpoint : undefined]) {
      answers?.set(from, hash);
      if (answers !== undefined && this.#differs(answers, index)) differs = true;
    }
    return differs;
  }

  #differs(answers: Answers, index: number): boolean {
    const good = [...answers.values()].find((hash) => this.#isOfQuorum(answers, hash));
    if (good === undefined) return false;
    if (isSameHash(answers.get(this.#memberId), good)) {
      this.#agreedIndex = Math.max(this.#agreedIndex, index);
    }
    const wrong = [...answers.keys()].filter((id) => !isSameHash(answers.get(id), good));
    for (const id of wrong) {
      if (id !== this.#memberId) this.#send(id, { kind: 'fence', index, hash: good });
    }
    return wrong.includes(this.#memberId);
  }

  /** Another's word on what a quorum holds; true = this member differs. It may come late. */
  isFenced({ index, hash }: Fence): boolean {
    const own = this.#state.hashes.at(index);
    return own !== undefined && !isSameHash(own, hash);
  }

  /** Somebody asks; what comes while its last question waits is dropped, it asks again. */
  asked(from: number, index: number): void {
    if (index <= this.#state.appliedIndex) this.#answer(from, index);
    else if (!this.#waiting.has(from) && this.#waiting.size < MEMBERS_MAX) {
      this.#waiting.set(from, index);
    }
  }

  /** Entries were applied. */
  answer(): void {
    for (const [from, index] of this.#waiting) {
      if (index > this.#state.appliedIndex) continue;
      this.#waiting.delete(from);
      this.#answer(from, index);
    }
  }

  #answer(to: number, index: number): void {
    const hash = this.#state.hashes.at(index);
    if (hash !== undefined) this.#send(to, { kind: 'stateHashAnswer', index, hash });
  }
}
