/**
 * The note that a member leaves in its directory when it cannot go on as who it is: its disk was set
 * back, its log cannot be repaired, its state differs from a quorum's (reference/store.md section 8,
 * rules 1 and 2). With the note no engine opens the directory, until the group has taken the member's key
 * in under another id; then the files of the old member are put aside, and go when the new one votes.
 *
 *   no note -> outcast (`next` undefined) -> taken in (`next`) -> outcast again, as the next one
 *
 * Each step is one rename, so that a crash leaves the one before or the one behind.
 */
import { isErrno } from '#base/errors.ts';
import { fnv1a32 } from '#base/fnv1a.ts';
import { parseCheckpointName } from '../checkpoint/format.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import { StoreError } from '../port.ts';
import { parseSegmentName } from '../wal/format.ts';
import { findSegmentHeader } from '../wal/read-segment.ts';
import { isPartName } from './snapshot-receiver.ts';

const NOTE = 'outcast.json';
const FENCED = 'fenced.json';
const NOTE_BYTES_MAX = 64 * 1024;

/** Whom to ask, and how to know them. */
export interface Acquaintance {
  readonly key: string;
  readonly address: string;
}

export interface OutcastNote {
  readonly groupId: number;
  /** Who it was. */
  readonly memberId: number;
  readonly reason: string;
  readonly others: readonly Acquaintance[];
  /** What the group has made of its key. */
  readonly next?: { readonly groupId: number; readonly memberId: number };
}

/** The directory's member may not go on as who it was. */
export class Outcast extends StoreError {
  readonly note: OutcastNote;

  constructor(note: OutcastNote) {
    super(
      'CORRUPT',
      `member ${note.memberId} cannot go on, it has to come in anew: ${note.reason}`,
    );
    this.note = note;
  }
}

export function readNote(disk: Disk): OutcastNote | undefined {
  return readJson(disk, NOTE) as OutcastNote | undefined; // Written by writeNote.
}

export function writeNote(disk: Disk, note: OutcastNote): void {
  writeJson(disk, NOTE, note);
}

/** Whether a file is what this one leaves. */
export function noteName(name: string): boolean {
  return name === NOTE || name === FENCED;
}

/**
 * A member was found to differ from a quorum of others. The first time its memory may be to blame: it
 * begins again from its disk. True = it happened before, so it is the disk.
 */
export function noteFence(disk: Disk, index: number): boolean {
  if (disk.list().includes(FENCED)) return true;
  writeJson(disk, FENCED, { index });
  return false;
}

/**
 * Behind which entry it differed; undefined when it never did, or is right again. A note that is damaged
 * says no entry; it was none behind `lastIndex`, the end of the log, so that one stands for it.
 */
export function fencedIndex(disk: Disk, lastIndex: number): number | undefined {
  try {
    return (readJson(disk, FENCED) as { index: number } | undefined)?.index; // Written by noteFence.
  } catch (error) {
    if (error instanceof StoreError && error.code === 'CORRUPT') return lastIndex;
    throw error;
  }
}

/** Its state is a quorum's again: when it differs another time, its memory may be to blame again. */
export function forgetFence(disk: Disk): void {
  disk.remove(FENCED);
  disk.syncDirectory();
}

/**
 * Makes room for the member that the note says this directory is to be: whose files they are by now is
 * said by the log. One whose headers cannot be read says nothing, and stays: it may be the next member's,
 * which must not begin anew under an id that has voted.
 */
export function putAside(disk: Disk, crc32: Crc32, note: OutcastNote): void {
  if (note.next === undefined) return;
  const names = disk.list();
  const isOf = (name: string, memberId: number) => {
    const number = parseSegmentName(name);
    return number !== undefined && findSegmentHeader(disk, number, crc32)?.memberId === memberId;
  };
  const { memberId } = note.next;
  const former = names.filter((name) => isOf(name, note.memberId));
  if (former.length === 0 || names.some((name) => isOf(name, memberId))) return;
  const rest = names.filter((name) => isOfMember(name) || name === FENCED);
  // What says whose they are last: as long as it is there, this is not done.
  for (const name of [...rest.filter((each) => !former.includes(each)), ...former]) {
    disk.rename(name, `former-${note.memberId}-${name}`);
  }
  disk.syncDirectory();
}

/** Makes room where the log does not even say whose files they are. */
export function putAllAside(disk: Disk): void {
  const names = disk.list().filter((name) => isOfMember(name) || name === FENCED);
  // As long as the log is there, this is not done.
  for (const some of [names.filter((name) => !isLog(name)), names.filter(isLog)]) {
    for (const name of some) disk.rename(name, `former-unknown-${name}`);
    disk.syncDirectory();
  }
}

/** Removes what was put aside; true when there was something. */
export function removeFormer(disk: Disk): boolean {
  const names = disk.list().filter((name) => name.startsWith('former-'));
  for (const name of names) disk.remove(name);
  if (names.length > 0) disk.syncDirectory();
  return names.length > 0;
}

function isLog(name: string): boolean {
  return parseSegmentName(name) !== undefined;
}

function isOfMember(name: string): boolean {
  const isCheckpoint = parseCheckpointName(name.replace(/\.damaged$/, '')) !== undefined;
  return isLog(name) || isCheckpoint || isPartName(name);
}

function readJson(disk: Disk, name: string): unknown {
  if (!disk.list().includes(name)) return undefined;
  const file = disk.open(name);
  try {
    const bytes = new Uint8Array(Math.min(file.size, NOTE_BYTES_MAX));
    file.read(bytes, 0);
    const { sum, ...value } = JSON.parse(String.fromCharCode(...bytes)) as { sum?: number }; // Ours.
    if (sum === undefined || sum === fnv1a32(JSON.stringify(value))) return value;
    throw new SyntaxError(`it has not the sum ${sum}`);
  } catch (error) {
    if (!(error instanceof SyntaxError) && !isErrno(error, 'EIO')) throw error;
    throw new StoreError('CORRUPT', `${name} is damaged`, { cause: error });
  } finally {
    file.close();
  }
}

function asciiOf(text: string): string {
  return text.replace(/[^ -~]/g, '?');
}

/**
 * With a sum: a bit that rotted must not make the note name another member's id. Notes of before have none, and
 * the software of before does not look at it.
 */
function writeJson(disk: Disk, name: string, value: object): void {
  const temporary = `${name}.tmp`;
  if (disk.list().includes(temporary)) disk.remove(temporary);
  const file = disk.create(temporary);
  const text = asciiOf(JSON.stringify(value));
  const withSum = `${text.slice(0, -1)},"sum":${fnv1a32(text)}}`;
  const bytes = Uint8Array.from(withSum, (letter) => letter.charCodeAt(0));
  try {
    file.write(bytes, 0);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, name);
  disk.syncDirectory();
}
