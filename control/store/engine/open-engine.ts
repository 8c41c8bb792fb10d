/**
 * Puts an engine together from a disk: checkpoint, log, Raft, in that order. A member that is its
 * group's only voter leads when this returns, and has applied everything that its log holds.
 */
import { assert } from '#base/assert.ts';
import type { EngineLog } from './engine-log.ts';
import { NO_MEMBERS, Raft, isQuorum, membersOf } from '#control/raft/raft.ts';
import { Checkpoints } from '../checkpoint/checkpoints.ts';
import type { Crc32, Sha256 } from '../codec/digest.ts';
import { Scrubber } from '../checkpoint/scrub.ts';
import type { ScrubTimes } from '../checkpoint/scrub.ts';
import { Ballast } from '../disk/ballast.ts';
import { removeUnfinished } from '../disk/disk.ts';
import type { Disk } from '../disk/disk.ts';
import {
  BALLAST_PIECES,
  BALLAST_PIECE_BYTES,
  LOG_TAIL_ENTRIES,
  QUOTA_BYTES_DEFAULT,
  QUOTA_MEMORY_SHARE,
  SNAPSHOT_BYTES_PER_TICK,
} from '../limits.ts';
import { SOFTWARE } from '../software.ts';
import type { Software } from '../software.ts';
import type { Identity } from '../wal/format.ts';
import type { LogContent } from '../wal/record.ts';
import type { Recovered } from '../wal/recover.ts';
import type { BatchWriter } from '../wal/batch-writer.ts';
import { Wal } from '../wal/wal.ts';
import { Backups } from './backups.ts';
import { BulkRate } from './bulk-rate.ts';
import { DiskRoom } from './disk-room.ts';
import { Engine } from './engine.ts';
import { HashRounds } from './hash-rounds.ts';
import { NO_PEERS } from './peers.ts';
import type { Peers } from './peers.ts';
import { Outcast, putAside, readNote } from './outcast.ts';
import { RaftConsensus } from './raft-consensus.ts';
import { readDirectory, stateOptions } from './read-directory.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import type { StateMachine } from './state-machine.ts';
import { Statements } from './statements.ts';
import type { Stated } from './statements.ts';
import { ROUND_MS, TIMERS_DEFAULT, planTicks } from './tick-plan.ts';
import type { TickPlan } from './tick-plan.ts';

/** What an engine needs of the world; the simulator brings its own. */
export interface EngineIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly sha256: Sha256;
  readonly log: EngineLog;
  readonly monotonicMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Writes batches of the log; absent = on this thread. */
  readonly batchWriter?: BatchWriter | undefined;
  /** The way to other members; a group of one needs none. */
  readonly peers?: Peers;
}

export interface EngineSettings {
  /** Bytes of live keys and values; absent: by the memory of the voters. */
  readonly quotaBytes?: number | undefined;
  /** Of the machine that this member runs on; absent = not known, as of a machine with plenty. */
  readonly memoryBytes?: number | undefined;
  /** What is known of versions; absent = what ships. */
  readonly software?: Software | undefined;
  /**
   * Acts as an earlier version of this software: says so to other members, refuses what later ones write,
   * and so keeps its group from being raised above it. Absent = the software's own.
   */
  readonly runsAsVersion?: number | undefined;
  /** The system that this software runs on will not go back to the one before; absent = it will not. */
  readonly isVersionConfirmed?: boolean | undefined;
  /** Timers of the core; absent = TIMERS_DEFAULT (tick-plan.ts). */
  readonly heartbeatMs?: number | undefined;
  readonly electionMs?: number | undefined;
  /** A directory without a log joins this group, which has added it under this id; else it founds one. */
  readonly join?: { readonly groupId: number; readonly memberId: number } | undefined;
  /**
   * A member that is alone by its log does not lead before `leadAlone`: its disk may have been set back
   * to a time when it was alone, and who opens the engine asks around first.
   */
  readonly isPatient?: boolean | undefined;
  /** What a founder is to the members to come. */
  readonly founder?: { readonly key: string; readonly address: string } | undefined;
  /** For checkpoints, written, sent or fetched, at most; less where the log would feel it. */
  readonly bulkBytesPerSecondMax?: number | undefined;
  /** When what lies on the disk is read again; absent = every few days. */
  readonly scrub?: ScrubTimes | undefined;
  /** The rest is for tests that want joint changes, checkpoints, new segments or a full disk often. */
  readonly transition?: 'auto' | 'joint' | undefined;
  readonly checkpointLogBytes?: number | undefined;
  readonly segmentBytes?: number | undefined;
  readonly preallocateBytes?: number | undefined;
  readonly ballastPieceBytes?: number | undefined;
  readonly logTailEntries?: number | undefined;
}

/** Throws Outcast, DamagedDirectory, or another StoreError that says what is wrong. */
export function openEngine(io: EngineIo, given: EngineSettings): Engine {
  const ticks = planTicks({
    heartbeatMs: given.heartbeatMs ?? TIMERS_DEFAULT.heartbeatMs,
    electionMs: given.electionMs ?? TIMERS_DEFAULT.electionMs,
  });
  removeUnfinished(io.disk);
  const note = readNote(io.disk);
  if (note !== undefined) {
    if (note.next === undefined) throw new Outcast(note);
    putAside(io.disk, io.crc32, note);
  }
  const next = note?.next;
  const settings = next === undefined ? given : { ...given, join: next };
  const { state, recovered } = readDirectory(io, settings);
  if (recovered.torn !== undefined) {
    io.log.warn('log ended in an unfinished write, never acknowledged: cut', recovered.torn);
  }
  const ballast = new Ballast(io.disk, {
    pieceBytes: settings.ballastPieceBytes ?? BALLAST_PIECE_BYTES,
    pieces: BALLAST_PIECES,
  });
  const { bulkBytesPerSecondMax: perSecond = Number.POSITIVE_INFINITY } = settings;
  const perTick = Math.min(SNAPSHOT_BYTES_PER_TICK, (perSecond * ROUND_MS) / 1000);
  const bulk = new BulkRate(perTick);
  const wal = openWal(io, settings, { recovered, ballast, bulk });
  try {
    const log = { identity: wal.identity, content: recovered.content };
    const raft = openRaft(io, settings, { state, log, ticks });
    const engine = assemble(io, settings, { state, wal, raft, ballast, ticks, bulk });
    if (!raft.isSoleVoter || settings.isPatient === true) return engine;
    const applyAll = () => {
      do engine.pump();
      while (raft.hasCommitted);
    };
    raft.campaign();
    applyAll();
    assert(raft.isLeader, 'a sole voter elects itself');
    engine.settle();
    applyAll();
    return engine;
  } catch (error) {
    wal.abort();
    throw error;
  }
}

function assemble(
  io: EngineIo,
  settings: EngineSettings,
  parts: {
    state: StateMachine;
    wal: Wal;
    raft: Raft;
    ballast: Ballast;
    ticks: TickPlan;
    bulk: BulkRate;
  },
): Engine {
  const { state, wal, raft, ballast, ticks, bulk } = parts;
  const { groupId } = wal.identity;
  const peers = io.peers ?? NO_PEERS;
  const send: Peers['send'] = (to, message) => peers.send(to, message);
  const options = stateOptions(settings);
  const room = new DiskRoom({ wal, ballast, log: io.log });
  const failed = (to: number) => raft.snapshotEnded(to, 'failed');
  const sender = new SnapshotSender(io, { send, failed, bulk });
  const receiver = new SnapshotReceiver(io, { groupId, options, send, bulk });
  const backups = new Backups(io, drawId(io));
  const { memberId } = wal.identity;
  const hashes = new HashRounds({ memberId, state, members: () => raft.members, send });
  const checkpoints = new Checkpoints(io, {
    groupId,
    state,
    room,
    release: (index) => wal.release(index),
    agreement: hashes,
    bulk,
    written: (index) => consensus.checkpointed(index),
    isInUse: (index) => sender.uses(index) || backups.uses(index),
  });
  backups.attach(checkpoints);
  const { disk, crc32 } = io;
  const scrubber = new Scrubber(io, {
    isAtRest: (name) => wal.isClosed(name),
    damaged: (name, error) => {
      io.log.error('found damaged where it lies, and replaced', { name, error });
      checkpoints.replaceDamaged();
    },
    times: settings.scrub,
  });
  const consensus = new RaftConsensus({
    raft,
    wal,
    state,
    disk,
    crc32,
    log: io.log,
    checkpoints,
    hashes,
    room,
    peers,
    sender,
    receiver,
    transition: settings.transition ?? 'auto',
    bulk,
    scrubber,
    tailEntries: settings.logTailEntries ?? LOG_TAIL_ENTRIES,
  });
  const { key, address } = settings.founder ?? { key: '', address: '' };
  return new Engine({
    state,
    consensus,
    peers,
    electionMs: ticks.electionTicks * ticks.tickMs,
    ticks,
    monotonicMs: io.monotonicMs,
    newId: () => drawId(io),
    quotaBytes: settings.quotaBytes,
    log: io.log,
    backups,
    statements: new Statements({ memberId: consensus.memberId, own: statementOf(settings), send }),
    founder: { key, address, isToVote: true },
  });
}

function statementOf(settings: EngineSettings): Stated {
  return {
    version: settings.runsAsVersion ?? (settings.software ?? SOFTWARE).version,
    isConfirmed: settings.isVersionConfirmed ?? true,
    memoryBytes: settings.memoryBytes ?? QUOTA_BYTES_DEFAULT / QUOTA_MEMORY_SHARE,
  };
}

/** Of a group or a member: positive and below 2^53. */
function drawId(io: EngineIo): number {
  return 1 + Math.floor(io.random() * (2 ** 53 - 1));
}

function openWal(
  io: EngineIo,
  settings: EngineSettings,
  { recovered, ballast, bulk }: { recovered: Recovered; ballast: Ballast; bulk: BulkRate },
): Wal {
  const { join } = settings;
  const options = {
    disk: io.disk,
    crc32: io.crc32,
    // Kept in every segment.
    identity: () =>
      join === undefined
        ? { groupId: drawId(io), memberId: drawId(io), isJoined: false }
        : { ...join, isJoined: true },
    seed: () => Math.floor(io.random() * 2 ** 32),
    spare: () => ballast.release(0),
    writer: io.batchWriter,
    timed: { nowMs: io.monotonicMs, took: (ms: number) => bulk.synced(ms) },
    segmentBytes: settings.segmentBytes,
    preallocateBytes: settings.preallocateBytes,
  };
  return new Wal(options, recovered);
}

function openRaft(
  io: EngineIo,
  settings: EngineSettings,
  parts: {
    state: StateMachine;
    log: { identity: Identity; content: LogContent };
    ticks: TickPlan;
  },
): Raft {
  const { state, log, ticks } = parts;
  const { appliedIndex, appliedTerm } = state;
  const { memberId, isJoined } = log.identity;
  // Before its log names any members, a group is its founder.
  const first = isJoined ? NO_MEMBERS : membersOf([memberId]);
  const members = state.members.voters.length > 0 ? state.members : first;
  const entries = log.content.entries.filter((entry) => entry.index > appliedIndex);
  const inForce = entries.findLast((entry) => entry.members !== undefined)?.members ?? members;
  // Without members it has lost what it knew, or was not told yet.
  const isAlone = inForce.voters.length > 0 && isQuorum(inForce, (id) => id === memberId);
  return new Raft(
    {
      id: memberId,
      members,
      heartbeatTicks: ticks.heartbeatTicks,
      electionTicks: ticks.electionTicks,
      random: io.random,
    },
    {
      hardState: log.content.hardState ?? { term: appliedTerm, vote: 0, commitIndex: 0 },
      snapshot:
        appliedIndex === 0 ? undefined : { index: appliedIndex, term: appliedTerm, members },
      entries,
      appliedIndex,
      // The others are asked first (start-terms.ts).
      voteAboveTerm: isAlone && settings.isPatient !== true ? 0 : Number.POSITIVE_INFINITY,
    },
  );
}
