/**
 * What is done about a directory that no engine opens: repair from the other members; failing that, a
 * note that its member comes in anew; with such a note, the question for another id.
 */
import { RealDisk } from './disk/real-disk.ts';
import { Outcast, readNote, writeNote } from './engine/outcast.ts';
import type { OutcastNote } from './engine/outcast.ts';
import { DamagedDirectory } from './engine/read-directory.ts';
import { rosterOfLog } from './engine/roster-of-log.ts';
import type { MemberOptions } from './member.ts';
import type { AddedMember } from './port.ts';
import { askToRejoin } from './rejoin.ts';
import type { Asker } from './rejoin.ts';
import { repairDirectory } from './repair-directory.ts';
import { parseSegmentName } from './wal/format.ts';

/** An empty directory of a member that knows others: the group has an id for its key, or none. */
export async function joinAnew(
  options: MemberOptions,
  asker: Asker,
): Promise<AddedMember | undefined> {
  if (asker.network.peers.length === 0 || hasFiles(options.dataDir)) return undefined;
  asker.log.warn('directory is empty, the other members are asked to take this one in');
  return await askToRejoin(asker, undefined);
}

/** Resolves when the directory may be opened once more; rethrows what nobody can help with. */
export async function amend(options: MemberOptions, asker: Asker, error: unknown): Promise<void> {
  if (error instanceof Outcast) {
    asker.log.error('member has to come in anew', { error });
    const next = await askToRejoin(asker, error.note);
    keepNote(options.dataDir, { ...error.note, next });
    return;
  }
  if (!(error instanceof DamagedDirectory) || !error.isRepairable) throw error;
  try {
    await repairDirectory(options, asker.credentials, error);
  } catch (failure) {
    if (!(failure instanceof DamagedDirectory)) throw failure;
    const { identity, join, state, message: reason } = failure;
    const { groupId, memberId } = identity;
    const rows = join && state ? rosterOfLog(state, join.entries) : [];
    const others = rows.filter(({ id }) => id !== memberId);
    keepNote(options.dataDir, { groupId, memberId, reason, others });
  }
}

function keepNote(dataDir: string, note: OutcastNote): void {
  using disk = new RealDisk(dataDir);
  writeNote(disk, note);
}

function hasFiles(dataDir: string): boolean {
  using disk = new RealDisk(dataDir);
  const hasLog = disk.list().some((name) => parseSegmentName(name) !== undefined);
  return hasLog || readNote(disk) !== undefined;
}
