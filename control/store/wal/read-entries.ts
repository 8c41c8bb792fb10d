/** Entries that left memory and are in segments still, for a member whose own log is damaged. */
import type { Entry } from '#control/raft/raft.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import type { EntryId } from './format.ts';
import { LogJoin } from './join.ts';
import { recoverLog } from './recover.ts';

/**
 * The entries behind `after` up to and including `to`, which is in the log and committed; undefined when
 * the segments do not reach back so far, or cannot be read.
 */
export function readEntries(
  io: { readonly disk: Disk; readonly crc32: Crc32 },
  after: number,
  to: EntryId,
): readonly Entry[] | undefined {
  const { pieces } = recoverLog(io.disk, io.crc32);
  const join = new LogJoin({ index: 0, term: 0 }, pieces);
  const entries = join.entries.filter(({ index }) => index > after && index <= to.index);
  const isWhole = entries.length === to.index - after && entries[0]?.index === after + 1;
  return isWhole && entries.at(-1)?.term === to.term ? entries : undefined;
}
