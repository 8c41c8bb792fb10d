/**
 * What members say of themselves to whoever leads: which version they run, whether they will stay with it,
 * how much memory they have. Said at once to a new leader, when it changes, and again and again, since any
 * message may be lost. A leader counts on what was said in its term alone.
 */
import { STATEMENT_TICKS } from '../limits.ts';
import { VERSION_FACTS } from '../versions.ts';
import type { PeerMessage, Statement } from './peers.ts';

export type Stated = Omit<Statement, 'kind'>;

export class Statements {
  readonly #memberId: number;
  readonly #send: (to: number, message: PeerMessage) => void;
  #own: Stated;
  #heard = new Map<number, Stated>();
  #heardTerm = 0;
  #toldLeader = 0;
  #ticks = 0;

  constructor(parts: {
    readonly memberId: number;
    readonly own: Stated;
    readonly send: (to: number, message: PeerMessage) => void;
  }) {
    this.#memberId = parts.memberId;
    this.#own = parts.own;
    this.#send = parts.send;
  }

  /** The operating system that this member runs on was found good: it will not go back. */
  confirm(): void {
    this.#own = { ...this.#own, isConfirmed: true };
    this.#toldLeader = 0;
  }

  tick(leader: number): void {
    if (leader === this.#memberId || this.#own.version < VERSION_FACTS) return;
    if (leader === this.#toldLeader && this.#ticks++ < STATEMENT_TICKS) return;
    this.#toldLeader = leader;
    this.#ticks = 0;
    if (leader !== 0) this.#send(leader, { kind: 'statement', ...this.#own });
  }

  /** A member said this to this one, which leads in `term`. */
  heard(from: number, term: number, { version, isConfirmed, memoryBytes }: Stated): void {
    if (term !== this.#heardTerm) this.#heard = new Map();
    this.#heardTerm = term;
    this.#heard.set(from, { version, isConfirmed, memoryBytes });
  }

  /** What a member said in this term; undefined = nothing. */
  of(id: number, term: number): Stated | undefined {
    if (id === this.#memberId) return this.#own;
    return term === this.#heardTerm ? this.#heard.get(id) : undefined;
  }
}
