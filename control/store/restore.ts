/**
 * Makes a store of a snapshot (reference/store.md section 8, rule 9): a group of one of its own, whose
 * revisions begin far above the snapshot's, with everything below compacted. So no client takes up a watch
 * or a list where it left off in what was: it reads anew. Lease ids and sessions are log indexes; the log
 * goes on from the snapshot's index, so none comes twice.
 *
 * The file is read and checked as a whole before anything is written. A damaged or cut one, or what is no
 * snapshot, is StoreError CORRUPT, one of a later version UNSUPPORTED.
 */
import { checkpointName, parseCheckpointName } from './checkpoint/format.ts';
import { loadCheckpointFile } from './checkpoint/read.ts';
import { CheckpointWriter } from './checkpoint/write.ts';
import type { Crc32, Sha256 } from './codec/digest.ts';
import type { Disk, DiskFile } from './disk/disk.ts';
import { StateMachine } from './engine/state-machine.ts';
import { CHECKPOINT_LOG_BYTES_MIN, RESTORE_REVISION_STEP } from './limits.ts';
import { NO_MEMBERS } from '#control/raft/raft.ts';
import { StoreError } from './port.ts';
import type { SnapshotInfo } from './port.ts';
import { parseSegmentName } from './wal/format.ts';
import { recoverLog } from './wal/recover.ts';
import { Wal } from './wal/wal.ts';

export interface RestoreIo {
  readonly crc32: Crc32;
  readonly sha256: Sha256;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Reads and checks the whole file; throws as above. */
export function readSnapshot(io: Omit<RestoreIo, 'random'>, file: DiskFile, name: string) {
  return loadCheckpointFile(io, file, { name, checkpointLogBytes: CHECKPOINT_LOG_BYTES_MIN });
}

/**
 * Writes a store on `disk`, which must hold none (INVALID_REQUEST); it begins when that is opened. Returns
 * what the new group starts with.
 */
export function restoreSnapshot(
  io: RestoreIo,
  from: { readonly file: DiskFile; readonly name: string },
  disk: Disk,
): SnapshotInfo {
  const isOfStore = (name: string) =>
    parseSegmentName(name) !== undefined || parseCheckpointName(name) !== undefined;
  if (disk.list().some(isOfStore)) {
    throw new StoreError('INVALID_REQUEST', 'there is a store already: nothing was restored');
  }
  const { state } = readSnapshot(io, from.file, from.name);
  beginGroup(state);
  const draw = () => 1 + Math.floor(io.random() * (2 ** 53 - 1));
  const identity = { groupId: draw(), memberId: draw(), isJoined: false };
  writeCheckpoint(io, disk, { state, groupId: identity.groupId });
  writeLog(io, disk, { state, identity });
  const { appliedIndex: index, mvcc } = state;
  return { groupId: identity.groupId, revision: mvcc.revision, index, bytes: from.file.size };
}

/** From the state of a group to that of another one, which has no members yet. */
export function beginGroup(state: StateMachine): void {
  const { mvcc } = state;
  state.sessions.clear();
  state.roster.retain([]);
  state.members = NO_MEMBERS;
  mvcc.skipTo(mvcc.revision + RESTORE_REVISION_STEP);
  mvcc.compact(mvcc.revision);
  while (mvcc.compactSlice());
}

function writeCheckpoint(
  io: RestoreIo,
  disk: Disk,
  { state, groupId }: { state: StateMachine; groupId: number },
): void {
  const name = checkpointName(state.appliedIndex);
  const writer = new CheckpointWriter({ disk, sha256: io.sha256, groupId, name }, state);
  while (!writer.slice());
  writer.publish();
}

/** A log that begins behind the checkpoint. */
function writeLog(
  io: RestoreIo,
  disk: Disk,
  of: { state: StateMachine; identity: { groupId: number; memberId: number; isJoined: boolean } },
): void {
  const { appliedIndex: index, appliedTerm: term } = of.state;
  const { crc32 } = io;
  const wal = new Wal(
    {
      disk,
      crc32,
      identity: () => of.identity,
      seed: () => Math.floor(io.random() * 2 ** 32),
    },
    recoverLog(disk, crc32),
  );
  wal.write([], { term, vote: 0, commitIndex: index }, { index, term });
  wal.close();
}
