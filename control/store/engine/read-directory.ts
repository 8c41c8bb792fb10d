/**
 * What a member's directory holds: the newest checkpoint that can be read, and the log behind it. A log
 * with holes is told apart by what the holes have swallowed:
 *
 *   nothing that a checkpoint does not hold   the log is written anew, and the member starts
 *   what it voted, maybe                       DamagedDirectory: peers know which terms there were
 *   entries                                    DamagedDirectory: peers may have them (repair.ts); a group
 *                                              of one needs its backup
 *
 * Nothing is written before all of it fits together.
 */
import { NO_MEMBERS, everyone } from '#control/raft/raft.ts';
import type { Members } from '#control/raft/raft.ts';
import { loadNewest } from '../checkpoint/checkpoints.ts';
import type { CheckpointIo } from '../checkpoint/checkpoints.ts';
import { checkpointName } from '../checkpoint/format.ts';
import type { Manifest } from '../checkpoint/format.ts';
import { listCheckpoints } from '../checkpoint/read.ts';
import type { Disk } from '../disk/disk.ts';
import { CHECKPOINT_LOG_BYTES_MIN, PREALLOCATE_BYTES } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Software } from '../software.ts';
import type { Identity } from '../wal/format.ts';
import { LogJoin } from '../wal/join.ts';
import { recoverLog } from '../wal/recover.ts';
import type { Recovered } from '../wal/recover.ts';
import { finishRewrite, rewriteLog } from '../wal/rewrite.ts';
import { partName } from './snapshot-receiver.ts';
import type { StateMachine, StateOptions } from './state-machine.ts';

export interface DirectoryIo extends CheckpointIo {
  /** In [0, 1). */
  readonly random: () => number;
}

export interface DirectorySettings {
  readonly join?: { readonly groupId: number; readonly memberId: number } | undefined;
  readonly checkpointLogBytes?: number | undefined;
  readonly preallocateBytes?: number | undefined;
  readonly software?: Software | undefined;
  readonly runsAsVersion?: number | undefined;
}

export function stateOptions(settings: DirectorySettings): StateOptions {
  return {
    checkpointLogBytes: settings.checkpointLogBytes ?? CHECKPOINT_LOG_BYTES_MIN,
    software: settings.software,
    runsAs: settings.runsAsVersion,
  };
}

export interface Directory {
  readonly state: StateMachine;
  /** Without holes. */
  readonly recovered: Recovered;
}

/** CORRUPT: acknowledged entries, or the state, cannot be read. `repair` says what peers may help with. */
export class DamagedDirectory extends StoreError {
  readonly identity: Identity;
  /** The log as far as it can be read; undefined when no checkpoint can be read. */
  readonly join: LogJoin | undefined;
  /** Of the newest checkpoint that can be read, with `join`. */
  readonly state: StateMachine | undefined;
  readonly lastSegment: number;
  /** Other members may have what is missing. */
  readonly isRepairable: boolean;

  constructor(
    text: string,
    of: Pick<DamagedDirectory, 'identity' | 'join' | 'state' | 'lastSegment'>,
    { isAlone, cause }: { readonly isAlone: boolean; readonly cause: unknown },
  ) {
    const help = isAlone
      ? 'a group of one has no member to repair it from, restore a backup (bareboat store restore)'
      : 'it has to be repaired from the other members';
    super('CORRUPT', `${text}: ${help}`, { cause });
    this.isRepairable = !isAlone;
    this.identity = of.identity;
    this.join = of.join;
    this.state = of.state;
    this.lastSegment = of.lastSegment;
  }
}

/** A configuration, and an index at which it was in force. */
export interface Known {
  readonly index: number;
  readonly members: Members;
}

/** Throws DamagedDirectory, or StoreError CORRUPT or UNSUPPORTED where no repair is possible. */
export function readDirectory(io: DirectoryIo, settings: DirectorySettings): Directory {
  finishRewrite(io.disk);
  const recovered = recoverLog(io.disk, io.crc32);
  finishInstall(io.disk, recovered);
  const { state, manifest } = loadState(io, settings, recovered);
  checkGroup(manifest, recovered, settings);
  const { identity, lastSegment } = recovered;
  if (identity === undefined || isWhole(recovered, state)) {
    checkLog(state, recovered);
    return { state, recovered };
  }
  const base = { index: state.appliedIndex, term: state.appliedTerm };
  const join = new LogJoin(base, recovered.pieces);
  const isAlone = isSole(membersOfLog(join, state).members, identity);
  // Who is alone has voted for itself.
  const isVoteLost = !join.isVoteKnown && !isAlone;
  if (isVoteLost || join.gaps.length > 0 || isBeyondRepair(join)) {
    const [hole] = recovered.holes;
    const missing = describe(join);
    const text = hole === undefined ? missing : `${hole.message}: ${missing}`;
    const of = { identity, join, state, lastSegment };
    throw new DamagedDirectory(text, of, { isAlone, cause: hole });
  }
  io.log.warn('log is damaged before its newest checkpoint: written anew', {
    damage: recovered.holes.map(({ message }) => message),
  });
  rewrite(io, settings, { join, identity, lastSegment });
  const again = recoverLog(io.disk, io.crc32);
  checkLog(state, again);
  return { state, recovered: again };
}

/** Replaces the log by one that holds what `join` holds. */
export function rewrite(
  io: DirectoryIo,
  settings: DirectorySettings,
  log: { readonly join: LogJoin; readonly identity: Identity; readonly lastSegment: number },
): void {
  const { join, identity, lastSegment } = log;
  const preallocateBytes = settings.preallocateBytes ?? PREALLOCATE_BYTES;
  rewriteLog(
    { disk: io.disk, crc32: io.crc32, preallocateBytes },
    {
      identity,
      segment: lastSegment + 1,
      seed: Math.floor(io.random() * 2 ** 32),
      base: join.base,
      hardState: join.hardState,
      entries: join.entries,
    },
  );
}

/** What is missing is not known, or is committed and not asked for: nobody can say what it was. */
export function isBeyondRepair({ gaps, isEndKnown, last, hardState }: LogJoin): boolean {
  return !isEndKnown || (gaps.length === 0 && last.index < hardState.commitIndex);
}

/** Who the group is, by the last that can be read. */
export function membersOfLog(join: LogJoin, state: StateMachine): Known {
  const last = join.entries.findLast((entry) => entry.members !== undefined);
  if (last?.members !== undefined) return { index: last.index, members: last.members };
  return { index: state.appliedIndex, members: state.members };
}

function loadState(io: DirectoryIo, settings: DirectorySettings, recovered: Recovered) {
  try {
    return loadNewest(io, stateOptions(settings));
  } catch (error) {
    const { identity, lastSegment } = recovered;
    const isDamage = error instanceof StoreError && error.code === 'CORRUPT';
    if (!isDamage || identity === undefined) throw error;
    const of = { identity, lastSegment, join: undefined, state: undefined };
    const entries = recovered.pieces.flatMap(({ content }) => content.entries);
    const members = entries.findLast((entry) => entry.members !== undefined)?.members;
    const isAlone = isSole(members ?? NO_MEMBERS, identity);
    const text = `${error.message}, and no other checkpoint can be read`;
    throw new DamagedDirectory(text, of, { isAlone, cause: error });
  }
}

/** Nobody else is in the group, as far as is known. */
function isSole(members: Members, { memberId, isJoined }: Identity): boolean {
  return everyone(members).every((id) => id === memberId) && !isJoined;
}

function describe(join: LogJoin): string {
  const missing = join.gaps.map(({ after, to }) => rangeOf(after.index + 1, to.index));
  if (!join.isEndKnown) missing.push(`what followed entry ${join.last.index}`);
  if (!join.isVoteKnown) missing.push('for whom it has voted');
  return `${missing.join(', ')} cannot be read, and later records prove that it was written`;
}

function rangeOf(first: number, last: number): string {
  return first === last ? `entry ${first}` : `entries ${first} to ${last}`;
}

/** The log has no holes, and begins no later than the checkpoint ends. */
function isWhole({ holes, content }: Recovered, state: StateMachine): boolean {
  const first = content.entries[0]?.index ?? content.last.index + 1;
  return holes.length === 0 && first <= state.appliedIndex + 1;
}

/** The log begins behind a snapshot whose file had not got its name when the process died. */
function finishInstall(disk: Disk, { pieces }: Recovered): void {
  const restart = pieces.findLast(({ content }) => content.restart !== undefined)?.content.restart;
  if (restart === undefined || !disk.list().includes(partName(restart.index))) return;
  if (listCheckpoints(disk).includes(restart.index)) return;
  disk.rename(partName(restart.index), checkpointName(restart.index));
  disk.syncDirectory();
}

/** A file of another group may have been copied in, or a directory of another member be given. */
function checkGroup(
  manifest: Manifest | undefined,
  { identity }: Recovered,
  { join }: DirectorySettings,
): void {
  if (identity === undefined) return;
  const { groupId, memberId } = identity;
  if (manifest !== undefined && manifest.groupId !== groupId) {
    const text = `checkpoint belongs to group ${manifest.groupId}, the log to ${groupId}`;
    throw new StoreError('CORRUPT', text);
  }
  // Nor is a group that was recovered (recover.ts) the one that was once joined.
  if (join === undefined || !identity.isJoined) return;
  if (join.groupId === groupId && join.memberId === memberId) return;
  const text = `log is that of member ${memberId} of group ${groupId}`;
  throw new StoreError('INVALID_REQUEST', `${text}, not of member ${join.memberId}`);
}

/** Throws StoreError CORRUPT unless the log goes on where the checkpoint ends. */
function checkLog(state: StateMachine, { content }: Recovered): void {
  const { entries, last, hardState } = content;
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
