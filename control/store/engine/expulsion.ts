/** How a member ends that may not go on as who it is, and what it leaves behind (outcast.ts). */
import type { Disk } from '../disk/disk.ts';
import { StoreError } from '../port.ts';
import type { Identity } from '../wal/format.ts';
import type { EngineLog } from './engine-log.ts';
import {
  Outcast,
  fencedIndex,
  forgetFence,
  noteFence,
  removeFormer,
  writeNote,
} from './outcast.ts';
import type { StateMachine } from './state-machine.ts';

export class Expulsion {
  readonly #disk: Disk;
  readonly #log: EngineLog;
  readonly #state: StateMachine;
  readonly #identity: Identity;
  /** Nothing is left of a former member with this key. */
  #isSettled = false;
  /** Behind which entry a process before this one differed from a quorum. */
  #fencedIndex: number | undefined;

  constructor(parts: {
    readonly disk: Disk;
    readonly log: EngineLog;
    readonly state: StateMachine;
    readonly identity: Identity;
    /** Of the log at the start. */
    readonly lastIndex: number;
  }) {
    this.#disk = parts.disk;
    this.#log = parts.log;
    this.#state = parts.state;
    this.#identity = parts.identity;
    this.#fencedIndex = fencedIndex(parts.disk, parts.lastIndex);
  }

  /** A process before this one was fenced, and nobody has said yet that this one is right. */
  get isDoubted(): boolean {
    return this.#fencedIndex !== undefined;
  }

  /** A quorum has this member's state behind this index. */
  agreed(index: number): void {
    if (this.#fencedIndex === undefined || index < this.#fencedIndex) return;
    this.#fencedIndex = undefined;
    forgetFence(this.#disk);
    this.#log.info('state is that of a quorum again, no fence is held against it', { index });
  }

  /** Leaves a note, and throws Outcast. */
  expel(reason: string): never {
    const { groupId, memberId } = this.#identity;
    const others = this.#state.roster.all().filter(({ id }) => id !== memberId);
    const note = { groupId, memberId, reason, others };
    try {
      writeNote(this.#disk, note);
    } catch (error) {
      // Without the note the next process finds out again.
      this.#log.error('no note can be left of what happened', { error });
    }
    throw new Outcast(note);
  }

  /** The log has not what was acknowledged of it, up to entry `promised`. */
  setBack(promised: number, lastIndex: number): never {
    const what =
      promised > lastIndex
        ? `log ends at entry ${lastIndex}, but ${promised} were acknowledged`
        : `log has another entry ${promised} than was acknowledged`;
    return this.expel(`${what}: it was set back`);
  }

  /** The state differs from a quorum's: the memory is wrong, or else the disk. */
  fenced(index: number): never {
    const text = `state behind entry ${index} differs from that of a quorum of members`;
    if (noteFence(this.#disk, index)) this.expel(text);
    throw new StoreError('CORRUPT', text);
  }

  /** Once this member votes, what it was before is of no use any more. */
  tick(): void {
    const { voters } = this.#state.members;
    if (this.#isSettled || !voters.includes(this.#identity.memberId)) return;
    this.#isSettled = true;
    if (removeFormer(this.#disk)) this.#log.info('files of the former member removed');
  }
}
