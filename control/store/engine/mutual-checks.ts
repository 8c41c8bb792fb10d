/**
 * What the members know of each other's promises, and what follows where one has not kept them
 * (reference/store.md section 8, rules 1 and 2):
 *
 *   a member that starts      asks which terms there were, and is told what it had acknowledged
 *                             (start-terms.ts)
 *   a log that lacks that     its disk was set back: the member is expelled (expulsion.ts)
 *   a state that differs      from a quorum's: it is fenced (hash-rounds.ts)
 */
import type { Raft } from '#control/raft/raft.ts';
import type { EngineLog } from './engine-log.ts';
import type { Expulsion } from './expulsion.ts';
import type { HashRounds } from './hash-rounds.ts';
import type { LogTail, PeerMessage, Peers, TermResponse } from './peers.ts';
import { StartTerms } from './start-terms.ts';

type Check = Extract<
  PeerMessage,
  {
    readonly kind:
      | 'termRequest'
      | 'termResponse'
      | 'membersNews'
      | 'stateHash'
      | 'stateHashAnswer'
      | 'fence';
  }
>;

export class MutualChecks {
  readonly #raft: Raft;
  readonly #hashes: HashRounds;
  readonly #expulsion: Expulsion;
  readonly #startTerms: StartTerms;
  readonly #send: Peers['send'];
  readonly #log: EngineLog;

  constructor(parts: {
    readonly raft: Raft;
    readonly memberId: number;
    readonly hashes: HashRounds;
    readonly expulsion: Expulsion;
    readonly send: Peers['send'];
    readonly log: EngineLog;
  }) {
    this.#raft = parts.raft;
    this.#hashes = parts.hashes;
    this.#expulsion = parts.expulsion;
    this.#startTerms = new StartTerms(parts.raft, parts);
    this.#send = parts.send;
    this.#log = parts.log;
  }

  /** A leader's: voters differ, and nobody can say who is wrong. */
  get isDisputed(): boolean {
    return this.#hashes.isDisputed;
  }

  tick(): void {
    this.#startTerms.tick();
  }

  round(): void {
    this.#expulsion.tick();
    const wasDisputed = this.isDisputed;
    const { isDoubted } = this.#expulsion;
    this.#hashes.tick({ isLeader: this.#raft.isLeader, isDoubted });
    this.#expulsion.agreed(this.#hashes.agreedIndex);
    if (this.isDisputed && !wasDisputed) {
      this.#log.error("states of the members differ, and none is a quorum's: no writes");
    }
  }

  /** Throws Outcast, or StoreError CORRUPT, when this member is the one that cannot go on. */
  receive(from: number, message: Check): void {
    switch (message.kind) {
      case 'termRequest':
        return this.#startTerms.answer(from, this.#matchOf(from));
      case 'membersNews':
        return this.#startTerms.told(message);
      case 'termResponse':
        return this.#heardTerm(from, message);
      case 'stateHash':
        return this.#hashes.asked(from, message.index);
      case 'stateHashAnswer':
        if (this.#hashes.answered(from, message)) this.#expulsion.fenced(message.index);
        return;
      case 'fence':
        if (this.#hashes.isFenced(message)) this.#expulsion.fenced(message.index);
    }
  }

  /** A member said where its log ends: it must hold what it acknowledged. */
  greeted(from: number, { lastIndex, lastTerm }: LogTail): void {
    const match = this.#matchOf(from);
    if (match.matchIndex <= lastIndex && match.matchTerm <= lastTerm) return;
    this.#send(from, { kind: 'termResponse', term: this.#raft.term, ...match });
  }

  /** A member asks for a vote. */
  met(id: number): void {
    this.#startTerms.met(id);
  }

  /** Entries were applied. */
  applied(): void {
    this.#hashes.answer();
  }

  /** Throws Outcast when the core found that this member's log was set back. */
  checkLog(): void {
    const { lostLog } = this.#raft;
    if (lostLog !== undefined) this.#expulsion.setBack(lostLog.commitIndex, lostLog.lastIndex);
  }

  #heardTerm(from: number, { term, matchIndex, matchTerm }: TermResponse): void {
    // A leader of an older term may have counted on what was overwritten since.
    if (term >= this.#raft.term && this.#raft.isWithout(matchIndex, matchTerm)) {
      this.#expulsion.setBack(matchIndex, this.#raft.lastIndex);
    }
    this.#startTerms.heard(from, term);
  }

  /** What a member acknowledged to this leader. */
  #matchOf(member: number): Pick<TermResponse, 'matchIndex' | 'matchTerm'> {
    const { matchIndex = 0 } = this.#raft.progress.find(({ id }) => id === member) ?? {};
    return { matchIndex, matchTerm: this.#raft.termOf(matchIndex) ?? 0 };
  }
}
