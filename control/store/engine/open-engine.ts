/**
 * Puts an engine together from a disk: checkpoint, log, Raft, in that order. Returns when this
 * member, being its group's only voter, leads and has applied everything that its log holds.
 */
import { assert } from '#base/assert.ts';
import type { EngineLog } from './engine-log.ts';
import { Raft, membersOf } from '#control/raft/raft.ts';
import { Checkpoints, loadNewest } from '../checkpoint/checkpoints.ts';
import type { Manifest } from '../checkpoint/format.ts';
import type { Crc32, Sha256 } from '../codec/digest.ts';
import { Ballast } from '../disk/ballast.ts';
import { removeUnfinished } from '../disk/disk.ts';
import type { Disk } from '../disk/disk.ts';
import {
  BALLAST_PIECES,
  BALLAST_PIECE_BYTES,
  CHECKPOINT_LOG_BYTES_MIN,
  QUOTA_BYTES_DEFAULT,
} from '../limits.ts';
import { StoreError } from '../port.ts';
import type { LogContent } from '../wal/record.ts';
import { recoverLog } from '../wal/recover.ts';
import type { Recovered } from '../wal/recover.ts';
import { Wal } from '../wal/wal.ts';
import { DiskRoom } from './disk-room.ts';
import { Engine } from './engine.ts';
import { RaftConsensus } from './raft-consensus.ts';
import type { StateMachine } from './state-machine.ts';

/** What an engine needs of the world; the simulator brings its own. */
export interface EngineIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly sha256: Sha256;
  readonly log: EngineLog;
  readonly monotonicMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

export const TICK_MS = 100;
const ELECTION_TICKS = 10;

export interface EngineSettings {
  readonly quotaBytes?: number | undefined;
  /** The rest is for tests that want checkpoints, new segments or a full disk often. */
  readonly checkpointLogBytes?: number | undefined;
  readonly segmentBytes?: number | undefined;
  readonly preallocateBytes?: number | undefined;
  readonly ballastPieceBytes?: number | undefined;
}

export function openEngine(io: EngineIo, settings: EngineSettings): Engine {
  removeUnfinished(io.disk);
  const checkpointLogBytes = settings.checkpointLogBytes ?? CHECKPOINT_LOG_BYTES_MIN;
  const { state, manifest } = loadNewest(io, { checkpointLogBytes });
  const recovered = recoverLog(io.disk, io.crc32);
  // Nothing was written so far: what does not fit together stays as it was found.
  checkLog(state, recovered.content);
  checkGroup(manifest, recovered);
  if (recovered.torn !== undefined) {
    io.log.warn('log ended in an unfinished write, never acknowledged: cut', recovered.torn);
  }
  const ballast = new Ballast(io.disk, {
    pieceBytes: settings.ballastPieceBytes ?? BALLAST_PIECE_BYTES,
    pieces: BALLAST_PIECES,
  });
  const wal = openWal(io, settings, { recovered, ballast });
  try {
    const raft = openRaft(io, state, {
      memberId: wal.identity.memberId,
      content: recovered.content,
    });
    const room = new DiskRoom({ wal, ballast, log: io.log });
    const { groupId } = wal.identity;
    const release = (index: number) => wal.release(index);
    const checkpoints = new Checkpoints(io, { groupId, state, room, release });
    const consensus = new RaftConsensus({ raft, wal, checkpoints, room });
    const engine = new Engine({
      state,
      consensus,
      electionMs: ELECTION_TICKS * TICK_MS,
      monotonicMs: io.monotonicMs,
    });
    raft.campaign();
    engine.pump();
    assert(raft.isLeader, 'a sole voter elects itself');
    engine.found();
    engine.configure(settings.quotaBytes ?? QUOTA_BYTES_DEFAULT);
    engine.pump();
    return engine;
  } catch (error) {
    wal.abort();
    throw error;
  }
}

function openWal(
  io: EngineIo,
  settings: EngineSettings,
  { recovered, ballast }: { recovered: Recovered; ballast: Ballast },
): Wal {
  const draw = (bound: number) => Math.floor(io.random() * bound);
  const newId = () => 1 + draw(2 ** 53 - 1);
  const options = {
    disk: io.disk,
    crc32: io.crc32,
    // A directory without a log founds a group; its identity is kept in every segment.
    identity: () => ({ groupId: newId(), memberId: newId(), isJoined: false }),
    seed: () => draw(2 ** 32),
    spare: () => ballast.release(0),
    segmentBytes: settings.segmentBytes,
    preallocateBytes: settings.preallocateBytes,
  };
  return new Wal(options, recovered);
}

/** A file of another group may have been copied in. */
function checkGroup(manifest: Manifest | undefined, recovered: Recovered): void {
  const header = recovered.segments.at(-1)?.header;
  if (manifest === undefined || header === undefined) return;
  if (manifest.groupId === header.groupId) return;
  const text = `checkpoint belongs to group ${manifest.groupId}, the log to ${header.groupId}`;
  throw new StoreError('CORRUPT', text);
}

/** Throws StoreError CORRUPT unless the log goes on where the checkpoint ends. */
function checkLog(state: StateMachine, { entries, last, hardState }: LogContent): void {
  const { appliedIndex, appliedTerm } = state;
  const first = entries[0]?.index ?? last.index + 1;
  if (first > appliedIndex + 1) {
    const text = `log starts at entry ${first}, but the newest checkpoint ends at ${appliedIndex}`;
    throw new StoreError('CORRUPT', text);
  }
  // A checkpoint holds committed entries only, and those were in the log.
  if (last.index < appliedIndex) {
    const text = `log ends at entry ${last.index}, before the newest checkpoint at ${appliedIndex}`;
    throw new StoreError('CORRUPT', text);
  }
  const term = hardState?.term ?? 0;
  if (term < last.term || term < appliedTerm) {
    const text = `log is in term ${term}, but holds an entry of term ${last.term}`;
    throw new StoreError('CORRUPT', text);
  }
}

function openRaft(
  io: EngineIo,
  state: StateMachine,
  log: { memberId: number; content: LogContent },
): Raft {
  const { appliedIndex, appliedTerm } = state;
  // Before members stood in the log, a group was its founder.
  const members = state.members.voters.length > 0 ? state.members : membersOf([log.memberId]);
  const entries = log.content.entries.filter((entry) => entry.index > appliedIndex);
  return new Raft(
    {
      id: log.memberId,
      members,
      heartbeatTicks: 1,
      electionTicks: ELECTION_TICKS,
      random: io.random,
    },
    {
      hardState: log.content.hardState ?? { term: appliedTerm, vote: 0, commitIndex: 0 },
      snapshot:
        appliedIndex === 0 ? undefined : { index: appliedIndex, term: appliedTerm, members },
      entries,
      appliedIndex,
    },
  );
}
