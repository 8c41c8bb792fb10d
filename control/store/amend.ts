/**
 * What is done about a directory that no engine opens: repair from the other members; failing that, a
 * note that its member comes in anew; with such a note, the question for another id.
 */
import { RealDisk } from './disk/real-disk.ts';
import { Outcast, putAllAside, readNote, writeNote } from './engine/outcast.ts';
import type { OutcastNote } from './engine/outcast.ts';
import { DamagedDirectory } from './engine/read-directory.ts';
import { rosterOfLog } from './engine/roster-of-log.ts';
import type { MemberOptions } from './member.ts';
import { crc32 } from './native-digests.ts';
import { StoreError } from './port.ts';
import type { AddedMember } from './port.ts';
import { askToRejoin } from './rejoin.ts';
import type { Admission, Asker } from './rejoin.ts';
import { repairDirectory } from './repair-directory.ts';
import { parseSegmentName } from './wal/format.ts';
import { findSegmentHeader } from './wal/read-segment.ts';

/** No member's id. */
const NOBODY = 0;

/**
 * As whom a directory begins that does not say so by its log: it has none, or none of which any header can be
 * read. Undefined for others, and for a member that is to found a group. Where others are known they are
 * asked, whatever was configured: what an id promised may have been lost with the disk. StoreError
 * INVALID_REQUEST when a group is to be joined of which nobody is known, else as askToRejoin.
 */
export async function joinAnew(
  options: MemberOptions,
  asker: Asker,
  signal: AbortSignal,
): Promise<AddedMember | undefined> {
  const { join, peers } = asker.network;
  const { log, note } = look(options.dataDir);
  const isUnreadable = log === 'unreadable' && peers.length > 0;
  if (log !== 'none' && !isUnreadable) return join;
  if (note !== undefined && note.next === undefined) return undefined; // Refused, and amended.
  if (peers.length === 0) {
    if (join === undefined || note !== undefined) return join;
    const text = `directory is empty, and no other member is named to ask who ${join.memberId} is`;
    throw new StoreError('INVALID_REQUEST', text);
  }
  const what = isUnreadable ? 'no header of the log can be read' : 'directory is empty';
  asker.log.warn(`${what}, the other members are asked to take this one in`);
  const admission = await askToRejoin(asker, undefined, signal);
  // Later starts find in it that the configured id is one of the past, and whom to let in.
  const { groupId, memberId } = admission;
  const former = note ?? join;
  const isOther = former !== undefined && former.memberId !== memberId;
  const of = isOther ? former : { groupId, memberId: NOBODY };
  using disk = new RealDisk(options.dataDir);
  // Before the note: it says under whose id to begin without a log.
  if (isUnreadable) putAllAside(disk);
  writeNote(disk, noteOf(of, what, admission));
  return { groupId, memberId };
}

/**
 * Resolves when the directory may be opened once more; rethrows what nobody can help with, and rejects with
 * the signal's reason.
 */
export async function amend(
  error: unknown,
  { options, asker }: { readonly options: MemberOptions; readonly asker: Asker },
  signal: AbortSignal,
): Promise<void> {
  if (error instanceof Outcast) {
    asker.log.error('member has to come in anew', { error });
    const admission = await askToRejoin(asker, error.note, signal);
    keepNote(options.dataDir, noteOf(error.note, error.note.reason, admission));
    return;
  }
  if (!(error instanceof DamagedDirectory) || !error.isRepairable) throw error;
  try {
    await repairDirectory(error, { options, credentials: asker.credentials }, signal);
  } catch (failure) {
    if (!(failure instanceof DamagedDirectory)) throw failure;
    const { identity, join, state, message: reason } = failure;
    const { groupId, memberId } = identity;
    const rows = join && state ? rosterOfLog(state, join.entries) : [];
    const others = rows.filter(({ id }) => id !== memberId);
    keepNote(options.dataDir, { groupId, memberId, reason, others });
  }
}

function noteOf(
  { groupId, memberId }: AddedMember,
  reason: string,
  { others, ...next }: Admission,
): OutcastNote {
  return { groupId, memberId, reason, others, next };
}

function keepNote(dataDir: string, note: OutcastNote): void {
  using disk = new RealDisk(dataDir);
  writeNote(disk, note);
}

function look(dataDir: string): {
  readonly log: 'none' | 'unreadable' | 'readable';
  readonly note: OutcastNote | undefined;
} {
  using disk = new RealDisk(dataDir);
  const numbers = disk.list().map(parseSegmentName);
  const segments = numbers.filter((number) => number !== undefined);
  const isReadable = (number: number) => findSegmentHeader(disk, number, crc32) !== undefined;
  const some = segments.some(isReadable) ? 'readable' : 'unreadable';
  return { log: segments.length === 0 ? 'none' : some, note: readNote(disk) };
}
