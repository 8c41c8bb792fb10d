/**
 * What is done about a directory that no engine opens: repair from the other members; failing that, a
 * note that its member comes in anew; with such a note, the question for another id.
 */
import type { Crc32 } from './codec/digest.ts';
import type { Disk } from './disk/disk.ts';
import { Outcast, putAllAside, readNote, writeNote } from './engine/outcast.ts';
import type { OutcastNote } from './engine/outcast.ts';
import { DamagedDirectory } from './engine/read-directory.ts';
import { rosterOfLog } from './engine/roster-of-log.ts';
import { StoreError } from './port.ts';
import type { AddedMember } from './port.ts';
import { askToRejoin } from './rejoin.ts';
import type { Admission, Asker } from './rejoin.ts';
import { parseSegmentName } from './wal/format.ts';
import { findSegmentHeader } from './wal/read-segment.ts';

/** No member's id. */
const NOBODY = 0;

/** What is amended, and how; no engine has the directory meanwhile. */
export interface Amended {
  /** Disposed behind each use. */
  readonly openDisk: () => Disk & Disposable;
  readonly crc32: Crc32;
  readonly asker: Asker;
  /** Rejects with the damage when the others cannot help, or with the signal's reason. */
  readonly repair: (damage: DamagedDirectory, signal: AbortSignal) => Promise<void>;
}

/** By whose id a directory begins: known, or for the others to say. */
type Beginning =
  | { readonly isKnown: true; readonly join: AddedMember | undefined }
  | {
      readonly isKnown: false;
      /** Why they are asked. */
      readonly what: string;
      readonly isUnreadable: boolean;
      /** Who it was. */
      readonly former: AddedMember | undefined;
    };

/**
 * By whose id the directory begins. It is known when its log says so, by a header that can be read, and for a
 * member that is to found a group (undefined). Where others are named they are asked, whatever was
 * configured: what an id promised may have been lost with the disk. Throws StoreError INVALID_REQUEST when a
 * group is to be joined of which nobody is named.
 */
export function beginningOf({ openDisk, crc32, asker }: Omit<Amended, 'repair'>): Beginning {
  const { join, peers } = asker.network;
  using disk = openDisk();
  const log = look(disk, crc32);
  const note = readNote(disk);
  const isUnreadable = log === 'unreadable' && peers.length > 0;
  if (log !== 'none' && !isUnreadable) return { isKnown: true, join };
  // Refused, and amended.
  if (note !== undefined && note.next === undefined) return { isKnown: true, join: undefined };
  if (peers.length === 0) {
    if (join === undefined || note !== undefined) return { isKnown: true, join };
    const text = `directory is empty, and no other member is named to ask who ${join.memberId} is`;
    throw new StoreError('INVALID_REQUEST', text);
  }
  const what = isUnreadable ? 'no header of the log can be read' : 'directory is empty';
  return { isKnown: false, what, isUnreadable, former: note ?? join };
}

/**
 * As whom the directory joins; undefined when it says so itself, or founds a group. Rejects as beginningOf
 * throws, else as askToRejoin.
 */
export async function joinAnew(
  of: Omit<Amended, 'repair'>,
  signal: AbortSignal,
): Promise<AddedMember | undefined> {
  const beginning = beginningOf(of);
  if (beginning.isKnown) return beginning.join;
  const { what, isUnreadable, former } = beginning;
  of.asker.log.warn(`${what}, the other members are asked to take this one in`);
  const admission = await askToRejoin(of.asker, undefined, signal);
  // Later starts find in it that the configured id is one of the past, and whom to let in.
  const { groupId, memberId } = admission;
  const isOther = former !== undefined && former.memberId !== memberId;
  using disk = of.openDisk();
  // Before the note: it says under whose id to begin without a log.
  if (isUnreadable) putAllAside(disk);
  writeNote(disk, noteOf(isOther ? former : { groupId, memberId: NOBODY }, what, admission));
  return { groupId, memberId };
}

/**
 * Resolves when the directory may be opened once more; rethrows what nobody can help with, and rejects with
 * the signal's reason.
 */
export async function amend(error: unknown, of: Amended, signal: AbortSignal): Promise<void> {
  if (error instanceof Outcast) {
    of.asker.log.error('member has to come in anew', { error });
    const admission = await askToRejoin(of.asker, error.note, signal);
    keepNote(of, noteOf(error.note, error.note.reason, admission));
    return;
  }
  if (!(error instanceof DamagedDirectory) || !error.isRepairable) throw error;
  try {
    await of.repair(error, signal);
  } catch (failure) {
    if (!(failure instanceof DamagedDirectory)) throw failure;
    const { identity, join, state, message: reason } = failure;
    const { groupId, memberId } = identity;
    const rows = join && state ? rosterOfLog(state, join.entries) : [];
    const others = rows.filter(({ id }) => id !== memberId);
    keepNote(of, { groupId, memberId, reason, others });
  }
}

function noteOf(
  { groupId, memberId }: AddedMember,
  reason: string,
  { others, ...next }: Admission,
): OutcastNote {
  return { groupId, memberId, reason, others, next };
}

function keepNote({ openDisk }: Pick<Amended, 'openDisk'>, note: OutcastNote): void {
  using disk = openDisk();
  writeNote(disk, note);
}

function look(disk: Disk, crc32: Crc32): 'none' | 'unreadable' | 'readable' {
  const numbers = disk.list().map(parseSegmentName);
  const segments = numbers.filter((number) => number !== undefined);
  if (segments.length === 0) return 'none';
  const isReadable = (number: number) => findSegmentHeader(disk, number, crc32) !== undefined;
  return segments.some(isReadable) ? 'readable' : 'unreadable';
}
