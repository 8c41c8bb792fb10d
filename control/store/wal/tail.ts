/**
 * What a start takes over from the log's last segment into a new one, so that all that it read is
 * durable (reference/store.md section 8, rule 4). Usually that is the last batch: earlier ones are
 * proved by it. A small segment is taken over as a whole and removed, so that restarts leave no trail.
 */
import type { LogPosition } from './format.ts';
import type { Batch, Recovered, ScannedSegment } from './recover.ts';

export interface Tail {
  readonly batches: readonly Batch[];
  /** All batches of the last segment are taken over. */
  readonly isWhole: boolean;
  /** Where the log stood before them. */
  readonly start: LogPosition;
  readonly older: readonly ScannedSegment[];
  /**
   * Segments without a batch that counts: they go. Besides the last one there may be some whose
   * removal a crash prevented.
   */
  readonly superseded: readonly ScannedSegment[];
}

export function chooseTail(recovered: Recovered, wholeBytesMax: number): Tail {
  const { segments, end } = recovered;
  const last = segments.at(-1);
  if (last === undefined) {
    return { batches: [], isWhole: true, start: end, older: [], superseded: [] };
  }
  const isWhole = last.usedBytes <= wholeBytesMax;
  const isSuperseded = (segment: ScannedSegment) =>
    segment.batches.length === 0 || (isWhole && segment === last);
  const older = segments.filter((segment) => !isSuperseded(segment));
  const superseded = segments.filter(isSuperseded);
  return isWhole
    ? { batches: last.batches, isWhole, start: last.header.start, older, superseded }
    : { batches: last.batches.slice(-1), isWhole, start: last.beforeLast, older, superseded };
}
