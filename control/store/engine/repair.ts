/**
 * A member whose directory is damaged, between the start of its process and that of its engine: it takes
 * part in nothing, neither votes nor acknowledges, and asks the other members for what it cannot read
 * (reference/store.md section 8, rule 3):
 *
 *   a checkpoint, when none can be read    chunks of the same checkpoint, which equal members have
 *   entries in a hole of the log           from any log that holds the entry behind the hole (wal/join.ts)
 *   whether and in which terms it voted    a bound: the highest term that others know of (term-bound.ts)
 *
 * Meanwhile it gives others who are in the same need what it holds whole itself; it refuses nothing, for
 * when it is repaired it may hold more. When all is there, the log is written anew and the engine can be
 * opened. What nobody has any more is not made up for: then the member has to come in anew (rejoin.ts),
 * which needs a quorum of the others, so an entry that a quorum may hold is never dropped here.
 *
 *   asking -> repaired | stuck (all have refused, or one has, and the others help no further for long)
 *
 * Where nobody answers, as after a power cut, it goes on asking: who gives up its id then may leave the
 * group without a quorum for ever.
 */
import { everyone } from '#control/raft/raft.ts';
import { checkpointName } from '../checkpoint/format.ts';
import { listCheckpoints } from '../checkpoint/read.ts';
import {
  ENTRY_RESPONSE_BYTES_MAX,
  REPAIR_RETRY_TICKS,
  REPAIR_TICKS_MAX,
  REPAIR_TICK_MS,
} from '../limits.ts';
import { SOFTWARE } from '../software.ts';
import { VERSION_MIN } from '../versions.ts';
import type { SpokenVersions } from '../versions.ts';
import type { Gap } from '../wal/join.ts';
import { BulkRate } from './bulk-rate.ts';
import type { EntryResponse, PeerMessage, Peers } from './peers.ts';
import {
  DamagedDirectory,
  isBeyondRepair,
  membersOfLog,
  readDirectory,
  rewrite,
  stateOptions,
} from './read-directory.ts';
import type { DirectoryIo, DirectorySettings } from './read-directory.ts';
import type { RosterRow } from './roster.ts';
import { rosterOfLog } from './roster-of-log.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { TermBound } from './term-bound.ts';
import { TIMERS_DEFAULT } from './tick-plan.ts';

export interface RepairIo extends DirectoryIo {
  readonly peers: Peers;
}

export interface RepairSettings extends DirectorySettings {
  /** Of the group; absent = TIMERS_DEFAULT. */
  readonly electionMs?: number | undefined;
}

export type RepairState = 'asking' | 'repaired' | 'stuck';

export class Repair {
  readonly #io: RepairIo;
  readonly #settings: RepairSettings;
  readonly #receiver: SnapshotReceiver;
  readonly #terms: TermBound;
  /** Of its own checkpoints, to another that is damaged. */
  readonly #sender: SnapshotSender;
  #damage: DamagedDirectory;
  /** Whom to ask. */
  #others: readonly number[] = [];
  /** Members that refused what is asked for now. */
  readonly #refused = new Set<number>();
  #next = 0;
  #ticks = 0;
  #askedAt = 0;
  #progressAt = 0;
  #state: RepairState = 'asking';

  constructor(io: RepairIo, settings: RepairSettings, damage: DamagedDirectory) {
    this.#io = io;
    this.#settings = settings;
    this.#damage = damage;
    // Nothing else is to be done here.
    const bulk = new BulkRate(Number.POSITIVE_INFINITY);
    this.#receiver = new SnapshotReceiver(io, {
      groupId: damage.identity.groupId,
      options: stateOptions(settings),
      bulk,
      send: (to, message) => io.peers.send(to, message),
    });
    this.#sender = new SnapshotSender(io, {
      bulk,
      failed: () => {}, // Who asks for a checkpoint asks again.
      send: (to, message) => {
        if (message.kind !== 'snapshotFailed') io.peers.send(to, message);
      },
    });
    this.#terms = new TermBound(damage.identity.memberId, (to, message) =>
      io.peers.send(to, message),
    );
    this.#look();
  }

  get groupId(): number {
    return this.#damage.identity.groupId;
  }

  get memberId(): number {
    return this.#damage.identity.memberId;
  }

  /** What is wrong, as far as it is not repaired. */
  get damage(): DamagedDirectory {
    return this.#damage;
  }

  get versions(): SpokenVersions {
    const { software = SOFTWARE, runsAsVersion: version = software.version } = this.#settings;
    const groupVersion = this.#damage.state?.version ?? VERSION_MIN;
    return { version, versionMin: VERSION_MIN, groupVersion };
  }

  get state(): RepairState {
    return this.#state;
  }

  /** Where the others are reached, as far as the directory says. */
  get roster(): readonly RosterRow[] {
    const { join, state } = this.#damage;
    return join === undefined || state === undefined ? [] : rosterOfLog(state, join.entries);
  }

  receive(from: number, message: PeerMessage): void {
    if (this.#state === 'repaired') return;
    if (message.kind === 'entryResponse') this.#entries(from, message);
    else if (message.kind === 'snapshotOffer') this.#offered(from, message);
    else if (message.kind === 'chunk') this.#receiver.received(message);
    else if (message.kind === 'snapshotFailed') this.#refuse(from);
    else if (message.kind === 'termResponse') this.#heardTerm(from, message.term);
    else if (message.kind === 'membersNews') this.#terms.told(message);
    else this.#heard(from, message);
  }

  /** It may be a question of another that is damaged. */
  #heard(from: number, message: PeerMessage): void {
    if (!this.#areMembersKnown && !this.#others.includes(from)) {
      // Nothing here says who the members are; whoever speaks is one.
      this.#others = [...this.#others, from];
    }
    const { join } = this.#damage;
    if (message.kind === 'checkpointRequest') {
      if (join !== undefined) this.#sender.asked(from, message.index, join.hardState.term);
    } else if (message.kind === 'chunkRequest') this.#sender.requested(from, message);
    else if (message.kind === 'entryRequest') {
      const { after, to } = message;
      const known = join?.stretch(after, to, ENTRY_RESPONSE_BYTES_MAX);
      if (known === undefined) return;
      const answer = { kind: 'entryResponse', after, to, refusal: 'none', ...known } as const;
      this.#io.peers.send(from, answer);
    }
  }

  tick(): void {
    if (this.#state === 'repaired') return;
    this.#sender.tick();
    this.#sender.retain(NOBODY);
    this.#ticks++;
    this.#receiver.tick();
    if (this.#ticks - this.#progressAt >= REPAIR_TICKS_MAX) this.#waited();
    if (this.#ticks - this.#askedAt >= REPAIR_RETRY_TICKS) this.#ask();
  }

  /** Goes on; true = more to do at once. */
  pump(): boolean {
    if (this.#state === 'repaired') return false;
    const isSending = this.#sender.pump();
    const received = this.#receiver.pump();
    if (typeof received === 'boolean') return received || isSending;
    const { disk, log } = this.#io;
    const { index } = received.snapshot;
    disk.rename(received.name, checkpointName(index));
    disk.syncDirectory();
    log.info('checkpoint repaired', { index });
    this.#look();
    return true;
  }

  close(): void {
    this.#sender.close();
    this.#receiver.close();
  }

  /** Reads the directory anew: what is missing by now? */
  #look(): void {
    this.#refused.clear();
    this.#progressAt = this.#ticks;
    try {
      readDirectory(this.#io, this.#settings);
      this.#state = 'repaired';
      this.close();
      return;
    } catch (error) {
      if (!(error instanceof DamagedDirectory)) throw error;
      this.#damage = error;
    }
    const { join, state, identity } = this.#damage;
    if (join !== undefined && state !== undefined) {
      const { members } = membersOfLog(join, state);
      if (members.voters.length > 0) {
        this.#others = everyone(members).filter((id) => id !== identity.memberId);
      }
      const isUnknown = join.gaps.length === 0 && members.voters.length === 0;
      if (isBeyondRepair(join) || isUnknown) this.#state = 'stuck';
    }
    this.#io.peers.setMembers(this.roster);
    this.#ask();
  }

  /** A hole may have swallowed all entries that say so, before there was a checkpoint. */
  get #areMembersKnown(): boolean {
    const { join, state } = this.#damage;
    if (join === undefined || state === undefined) return false;
    return membersOfLog(join, state).members.voters.length > 0;
  }

  /** Asks the next member that has not refused. */
  #ask(): void {
    const open = this.#others.filter((id) => !this.#refused.has(id));
    const { join } = this.#damage;
    const gap = join?.open;
    if (join !== undefined && gap === undefined) {
      this.#askTerms();
      return;
    }
    const to = open[this.#next++ % Math.max(1, open.length)];
    if (to === undefined) return;
    this.#askedAt = this.#ticks;
    if (gap !== undefined) this.#askEntries(to, gap);
    else if (join === undefined) {
      const [index] = listCheckpoints(this.#io.disk);
      if (index !== undefined) this.#io.peers.send(to, { kind: 'checkpointRequest', index });
    }
  }

  #askEntries(to: number, gap: Gap): void {
    this.#io.peers.send(to, { kind: 'entryRequest', after: gap.after.index, to: gap.to });
  }

  #askTerms(): void {
    const { join, state } = this.#damage;
    if (join === undefined || state === undefined || !this.#mayHearTerms) return;
    this.#askedAt = this.#ticks;
    this.#terms.ask(membersOfLog(join, state));
  }

  /** Not before a candidate that may count on a forgotten vote has given up. */
  get #mayHearTerms(): boolean {
    const { electionMs = TIMERS_DEFAULT.electionMs } = this.#settings;
    return this.#ticks * REPAIR_TICK_MS >= 2 * electionMs;
  }

  #heardTerm(from: number, term: number): void {
    if (!this.#mayHearTerms) return;
    this.#progressAt = this.#ticks;
    this.#terms.heard(from, term);
    this.#finish();
  }

  #entries(from: number, { after, to, refusal, prevTerm, entries }: EntryResponse): void {
    const { join } = this.#damage;
    const gap = join?.open;
    const isWanted = gap?.after.index === after && gap.to.index === to.index;
    if (join === undefined || !isWanted || gap.to.term !== to.term) return; // Late.
    const last = entries.at(-1);
    const isOther = last?.index === to.index && last.term !== to.term;
    // At the base both have what is committed.
    const isOtherBase = prevTerm !== gap.after.term && after === join.base.index;
    if (refusal !== 'none' || last === undefined || isOther || isOtherBase) {
      this.#refuse(from);
      return;
    }
    this.#progressAt = this.#ticks;
    if (this.#state === 'stuck' && join.isEndKnown) this.#state = 'asking';
    join.fill(gap, prevTerm, entries);
    const { open } = join;
    if (open !== undefined) {
      this.#askedAt = this.#ticks;
      this.#askEntries(from, open);
    } else {
      this.#refused.clear();
      this.#finish();
    }
  }

  /** Writes the log anew when nothing is missing any more. */
  #finish(): void {
    const { join, state, identity, lastSegment } = this.#damage;
    if (join === undefined || state === undefined) return;
    if (join.gaps.length > 0 || isBeyondRepair(join)) return;
    if (!join.isVoteKnown) {
      const bound = this.#terms.highest(membersOfLog(join, state));
      if (bound === undefined) return;
      join.votedBy(bound, identity.memberId);
    }
    rewrite(this.#io, this.#settings, { join, identity, lastSegment });
    this.#io.log.info('log repaired', { lastIndex: join.last.index });
    this.#look();
  }

  #offered(from: number, message: Extract<PeerMessage, { kind: 'snapshotOffer' }>): void {
    if (this.#damage.join !== undefined) return;
    const [index] = listCheckpoints(this.#io.disk);
    if (message.snapshot.index !== index) return;
    this.#progressAt = this.#ticks;
    this.#receiver.offered(from, message);
  }

  /** For as long as it is to be waited for the rest when somebody has refused. */
  #waited(): void {
    if (this.#refused.size > 0) {
      this.#state = 'stuck';
      return;
    }
    this.#io.log.warn('no member answers, they are asked on', { members: this.#others });
    this.#progressAt = this.#ticks;
  }

  #refuse(from: number): void {
    if (this.#refused.size === 0) this.#progressAt = this.#ticks;
    this.#refused.add(from);
    if (this.#others.every((id) => this.#refused.has(id))) this.#state = 'stuck';
    else this.#ask();
  }
}

/** No transfer of a leader's is under way. */
const NOBODY: ReadonlyMap<number, number> = new Map();
