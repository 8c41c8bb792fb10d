/**
 * After a quorum was lost for ever (reference/store.md section 8, rule 9), offline, on the directories of
 * members that were stopped:
 *
 *   node control/store/recover.ts DIR...              what each survivor holds, the best one first
 *   node control/store/recover.ts DIR --take INDEX    makes it a group of its own
 *
 * The survivor with the longest log (by term, then index) holds most of what was acknowledged; whether it
 * holds all nobody can know. So the group that it becomes has an id of its own, and the old members are
 * refused for ever (transport/peer-links.ts, otherGroup); and its revisions begin far above the old ones
 * with everything below compacted, so that no client goes on where the old group left it.
 *
 * Everything in the log is applied, committed or not: what was acknowledged may be among it. One rename
 * makes the new group; before it the directory is what it was.
 */
import { everyone, isVoter } from '#control/raft/raft.ts';
import { errorText } from '#base/errors.ts';
import { checkpointName, parseCheckpointName } from './checkpoint/format.ts';
import { CheckpointWriter } from './checkpoint/write.ts';
import { ByteWriter } from './codec/bytes.ts';
import { removeUnfinished } from './disk/disk.ts';
import type { Disk } from './disk/disk.ts';
import { RealDisk } from './disk/real-disk.ts';
import type { EngineLog } from './engine/engine-log.ts';
import { noteName, readNote } from './engine/outcast.ts';
import { readDirectory } from './engine/read-directory.ts';
import { rosterOfLog } from './engine/roster-of-log.ts';
import { partName } from './engine/snapshot-receiver.ts';
import type { StateMachine } from './engine/state-machine.ts';
import { PREALLOCATE_BYTES } from './limits.ts';
import { crc32, sha256 } from './native-digests.ts';
import { StoreError } from './port.ts';
import { beginGroup } from './restore.ts';
import type { GroupMember } from './port.ts';
import type { Identity } from './wal/format.ts';
import type { LogContent } from './wal/record.ts';
import { rewriteLog } from './wal/rewrite.ts';

export interface Survivor {
  readonly groupId: number;
  readonly memberId: number;
  /** The highest that it knows. */
  readonly term: number;
  /** Where its log ends: who has the higher term, then the higher index, holds more. */
  readonly lastTerm: number;
  readonly lastIndex: number;
  /** Known to be committed. */
  readonly commitIndex: number;
  readonly members: readonly GroupMember[];
  /** Why it had been expelled: what it holds may be old. */
  readonly expelled: string | undefined;
}

export interface RecoveredGroup {
  readonly groupId: number;
  readonly memberId: number;
  /** Where the new group's revisions begin. */
  readonly revision: number;
}

interface Read {
  readonly state: StateMachine;
  readonly content: LogContent;
  readonly identity: Identity;
  readonly lastSegment: number;
}

const QUIET: EngineLog = { info: () => {}, warn: () => {}, error: () => {} };
const IO = { crc32, sha256, log: QUIET, random: () => Math.random() };

/**
 * What a directory holds. Throws StoreError INVALID_REQUEST when it holds no store, UNAVAILABLE when it is
 * in use, CORRUPT when it is damaged (it says where).
 */
export function inspectMember(directory: string): Survivor {
  using disk = new RealDisk(directory);
  return inspectDisk(disk);
}

/**
 * Makes the member of this directory a group of one with an id of its own. `confirmed` names what
 * inspectMember said of it; INVALID_REQUEST when it says something else by now. Throws as that does, and
 * StoreError or errno errors of a full disk, before anything has changed.
 */
export function recoverMember(
  directory: string,
  confirmed: Pick<Survivor, 'groupId' | 'memberId' | 'lastTerm' | 'lastIndex'>,
): RecoveredGroup {
  using disk = new RealDisk(directory);
  return recoverDisk(disk, confirmed);
}

export function inspectDisk(disk: Disk): Survivor {
  const found = read(disk);
  const note = readNote(disk);
  // The note stays when the member has come in anew: it is of the one before.
  const isExpelled = note?.memberId === found.identity.memberId;
  return describe(found, isExpelled ? note.reason : undefined);
}

export function recoverDisk(
  disk: Disk,
  confirmed: Parameters<typeof recoverMember>[1],
): RecoveredGroup {
  removeUnfinished(disk);
  const found = read(disk);
  const survivor = describe(found, undefined);
  for (const field of ['groupId', 'memberId', 'lastTerm', 'lastIndex'] as const) {
    if (survivor[field] === confirmed[field]) continue;
    const text = `${field} is ${survivor[field]}, not ${confirmed[field]}: nothing was changed`;
    throw new StoreError('INVALID_REQUEST', text);
  }
  const { state, content, lastSegment } = found;
  const reply = new ByteWriter();
  for (const entry of content.entries) {
    if (entry.index > state.appliedIndex) state.apply(entry, reply);
    reply.truncate(0);
  }
  beginGroup(state);
  // A place in the log of its own: no checkpoint of the old group has this index.
  state.appliedIndex++;
  const draw = () => 1 + Math.floor(IO.random() * (2 ** 53 - 1));
  const identity = { groupId: draw(), memberId: draw(), isJoined: false };
  const { groupId } = identity;
  const base = { index: state.appliedIndex, term: state.appliedTerm };
  // Under the name of a snapshot that came in: the log, once it is there, makes it count.
  const name = partName(base.index);
  const writer = new CheckpointWriter({ disk, sha256, groupId, name }, state);
  while (!writer.slice());
  writer.publish();
  rewriteLog(
    { disk, crc32, preallocateBytes: PREALLOCATE_BYTES },
    {
      identity,
      segment: lastSegment + 1,
      seed: Math.floor(IO.random() * 2 ** 32),
      base,
      isRestart: true,
      hardState: { term: base.term, vote: 0, commitIndex: base.index },
      entries: [],
    },
  );
  tidy(disk, base.index);
  return { groupId, memberId: identity.memberId, revision: state.mvcc.revision };
}

/** What is left of the group that was. */
function tidy(disk: Disk, index: number): void {
  disk.rename(partName(index), checkpointName(index));
  disk.syncDirectory();
  for (const name of disk.list()) {
    const other = parseCheckpointName(name);
    const isOld = other !== undefined && other !== index;
    if (isOld || noteName(name)) disk.remove(name);
  }
  disk.syncDirectory();
}

function read(disk: Disk): Read {
  const { state, recovered } = readDirectory({ disk, ...IO }, {});
  const { identity, content, lastSegment } = recovered;
  if (identity === undefined) throw new StoreError('INVALID_REQUEST', 'directory holds no store');
  return { state, content, identity, lastSegment };
}

function describe({ state, content, identity }: Read, expelled: string | undefined): Survivor {
  const { entries, last, hardState } = content;
  const members = entries.findLast((entry) => entry.members !== undefined)?.members;
  const inForce = members ?? state.members;
  const rows = new Map(rosterOfLog(state, entries).map((row) => [row.id, row]));
  const { groupId, memberId } = identity;
  return {
    groupId,
    memberId,
    term: Math.max(hardState?.term ?? 0, last.term),
    lastTerm: last.term,
    lastIndex: last.index,
    commitIndex: Math.max(hardState?.commitIndex ?? 0, state.appliedIndex),
    members: everyone(inForce).map((id) => {
      const { key = '', address = '' } = rows.get(id) ?? {};
      return { id, key, address, role: isVoter(inForce, id) ? 'voter' : 'learner' };
    }),
    expelled,
  };
}

/** The one that holds most comes first; one that had been expelled comes last. */
export function compareSurvivors(a: Survivor, b: Survivor): number {
  const isExpelled = Number(a.expelled !== undefined) - Number(b.expelled !== undefined);
  return isExpelled || b.lastTerm - a.lastTerm || b.lastIndex - a.lastIndex;
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

function runInspect(directories: readonly string[]): void {
  const found = directories.map((directory) => ({ directory, ...inspectMember(directory) }));
  for (const { directory, members, expelled, ...of } of found.toSorted(compareSurvivors)) {
    const votes = members.filter(({ role }) => role === 'voter').length;
    print([
      `${directory}: member ${of.memberId} of group ${of.groupId}, one of ${votes} voters`,
      `  log ends in term ${of.lastTerm} at index ${of.lastIndex}, committed up to ${of.commitIndex}`,
      ...(expelled === undefined ? [] : [`  expelled, may be old: ${expelled}`]),
    ]);
  }
  const [best] = found.toSorted(compareSurvivors);
  if (best === undefined) return;
  print([
    'writes that no survivor holds are lost; to go on with the first one, alone:',
    `  node control/store/recover.ts ${best.directory} --take ${best.lastIndex}`,
  ]);
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const at = args.indexOf('--take');
  try {
    if (at < 0 && args.length > 0) runInspect(args);
    else if (at === 1 && args.length === 3) {
      const [directory = ''] = args;
      const survivor = inspectMember(directory);
      const { groupId, memberId, revision } = recoverMember(directory, {
        ...survivor,
        lastIndex: Number(args[2]),
      });
      print([`${directory}: member ${memberId} of new group ${groupId}, at revision ${revision}`]);
    } else {
      print(['usage: recover.ts DIR... | recover.ts DIR --take INDEX']);
      process.exitCode = 2;
    }
  } catch (error) {
    process.stderr.write(`${error instanceof StoreError ? error.code : ''} ${errorText(error)}\n`);
    process.exitCode = 1;
  }
}
