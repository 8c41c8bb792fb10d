/** What a start takes over from the last segment. */
import t from 'tap';
import { LOG_START } from './format.ts';
import type { Recovered, ScannedSegment } from './recover.ts';
import { chooseTail } from './tail.ts';

const at = (nextBatch: number) => ({ ...LOG_START, nextBatch });

/** A segment with so many batches, of which the first has this number. */
function segment(number: number, firstBatch: number, count: number, usedBytes = 500) {
  const body = new Uint8Array(0);
  const batches = Array.from({ length: count }, (_, i) => ({
    body,
    recordCount: firstBatch + i,
    last: undefined,
  }));
  return {
    header: { segment: number, start: at(firstBatch) },
    batches,
    usedBytes,
    lastIndex: 0,
    beforeLast: at(firstBatch + count - 1),
  } as unknown as ScannedSegment; // All that is looked at.
}

function choose(...segments: ScannedSegment[]) {
  const recovered = { segments, end: at(77) } as unknown as Recovered; // The same.
  const { batches, isWhole, start, older, superseded } = chooseTail(recovered, 500);
  const numbers = (list: readonly ScannedSegment[]) => list.map(({ header }) => header.segment);
  return {
    batches: batches.map(({ recordCount }) => recordCount),
    isWhole,
    start: start.nextBatch,
    older: numbers(older),
    superseded: numbers(superseded),
  };
}

t.test('a small segment is taken over as a whole, of a large one its last batch', (t) => {
  const none = { batches: [], isWhole: true, start: 77, older: [], superseded: [] };
  t.same(choose(), none);
  t.same(choose(segment(1, 1, 3), segment(2, 4, 2, 500)), {
    batches: [4, 5],
    isWhole: true,
    start: 4,
    older: [1],
    superseded: [2],
  });
  t.same(choose(segment(1, 1, 3), segment(2, 4, 2, 501)), {
    batches: [5],
    isWhole: false,
    start: 5,
    older: [1, 2],
    superseded: [],
  });
  t.end();
});

t.test('segments without a batch that counts go', (t) => {
  t.same(choose(segment(1, 1, 0), segment(2, 1, 2, 501)), {
    batches: [2],
    isWhole: false,
    start: 2,
    older: [2],
    superseded: [1],
  });
  t.same(choose(segment(1, 1, 2), segment(2, 3, 0, 80)), {
    batches: [],
    isWhole: true,
    start: 3,
    older: [1],
    superseded: [2],
  });
  t.end();
});
