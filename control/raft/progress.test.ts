/** What a leader knows of one other member, from event to event. */
import t from 'tap';
import { LIMITS } from './limits.ts';
import { Progress } from './progress.ts';

const limits = { ...LIMITS, inflightAppendsMax: 2, inflightBytesMax: 1000 };
const whole = { lastIndex: 9, commitIndex: 9 };

function shown(progress: Progress): string {
  const { state, matchIndex, nextIndex, isPaused, inflightCount } = progress;
  return `${state} ${matchIndex} ${nextIndex} ${inflightCount}${isPaused ? ' paused' : ''}`;
}

/** Streams; the member holds entries up to 5 and next gets entry 6. */
function streaming(): Progress {
  const progress = new Progress(6, limits);
  t.equal(progress.accepted(5, 1), true);
  return progress;
}

function sent(progress: Progress, count: number, bytes = 10): void {
  progress.sent({ count, bytes, commitIndex: 5 });
}

t.test('a probe is one append until it is answered', (t) => {
  const progress = new Progress(6, limits);
  t.equal(progress.wantsAppend(whole, 'now'), true);
  sent(progress, 1);
  t.equal(shown(progress), 'probe 0 6 0 paused', 'the next append begins at the same entry');
  t.equal(progress.wantsAppend(whole, 'now'), false);
  progress.heartbeatAnswered(9);
  t.equal(progress.wantsAppend(whole, 'now'), true, 'it may have been lost');
  sent(progress, 1);
  t.equal(progress.rejected(4, 3), false, 'an answer to another probe');
  t.equal(progress.rejected(5, 3), true);
  t.equal(shown(progress), 'probe 0 4 0');
  sent(progress, 1);
  t.equal(progress.rejected(3, 9), true, 'a hint never leads forward');
  t.equal(shown(progress), 'probe 0 3 0');
  sent(progress, 1);
  t.equal(progress.accepted(2, 1), true);
  t.equal(shown(progress), 'replicate 2 3 0');
  t.end();
});

t.test('an answer about nothing that is new ends a probe of it, and else is none', (t) => {
  const progress = streaming();
  t.equal(progress.accepted(5, 1), false);
  t.equal(progress.accepted(4, 1), false);
  progress.unreachable();
  t.equal(shown(progress), 'probe 5 6 0');
  t.equal(progress.accepted(4, 1), false);
  t.equal(progress.accepted(5, 1), true);
  t.equal(shown(progress), 'replicate 5 6 0');
  t.equal(progress.accepted(8, 1), true, 'a late answer to what was sent before');
  t.equal(shown(progress), 'replicate 8 9 0');
  t.end();
});

t.test('appends stream ahead of answers until the window is full', (t) => {
  const progress = streaming();
  sent(progress, 1);
  sent(progress, 0);
  t.equal(shown(progress), 'replicate 5 7 1', 'an empty append takes no room');
  sent(progress, 2);
  t.equal(shown(progress), 'replicate 5 9 2 paused');
  t.equal(progress.isWindowFull, true);
  t.equal(progress.wantsAppend(whole, 'now'), false);
  progress.heartbeatAnswered(9);
  t.equal(progress.wantsAppend(whole, 'now'), true, 'all may have been lost');
  sent(progress, 0);
  t.equal(progress.wantsAppend(whole, 'now'), false);
  t.equal(progress.accepted(6, 1), true);
  t.equal(shown(progress), 'replicate 6 9 1');
  t.equal(progress.inflightBytes, 10);
  t.equal(progress.rejected(6, 0), false, 'it matches there');
  t.equal(progress.rejected(8, 0), true);
  t.equal(shown(progress), 'probe 6 7 0');
  t.end();
});

t.test('a member that holds all is not poked', (t) => {
  const progress = streaming();
  sent(progress, 4);
  progress.accepted(9, 1);
  progress.sent({ count: 0, bytes: 0, commitIndex: 9 });
  progress.heartbeatAnswered(9);
  t.equal(progress.wantsAppend(whole, 'now'), false);
  progress.heartbeatAnswered(10);
  t.equal(progress.wantsAppend(whole, 'now'), true);
  t.end();
});

t.test('news of a commit leave by themselves, or wait for entries', (t) => {
  const progress = streaming();
  sent(progress, 4);
  t.equal(progress.wantsAppend({ lastIndex: 9, commitIndex: 5 }, 'now'), false, 'it was told');
  t.equal(progress.wantsAppend({ lastIndex: 9, commitIndex: 6 }, 'now'), true);
  t.equal(progress.wantsAppend({ lastIndex: 9, commitIndex: 6 }, 'later'), false);
  t.equal(progress.wantsAppend({ lastIndex: 10, commitIndex: 6 }, 'later'), true);
  t.end();
});

t.test('what was lost with a connection is told again, from the last entry that matches', (t) => {
  const progress = streaming();
  progress.sent({ count: 4, bytes: 10, commitIndex: 9 });
  progress.unreachable();
  sent(progress, 0);
  t.equal(progress.rejected(5, 1), true);
  t.equal(shown(progress), 'probe 5 6 0', 'what matched once is there for good');
  progress.accepted(9, 1);
  t.equal(progress.wantsAppend({ lastIndex: 9, commitIndex: 7 }, 'now'), true);
  t.end();
});

t.test('news of a commit that may be lost are told again', (t) => {
  const progress = streaming();
  progress.sent({ count: 4, bytes: 10, commitIndex: 7 });
  progress.unreachable();
  t.equal(progress.accepted(9, 1), true, 'the entries had arrived');
  t.equal(shown(progress), 'replicate 9 10 0');
  for (const [commitIndex, wanted] of [
    [5, false],
    [6, true],
    [7, true],
  ] as const) {
    t.equal(progress.wantsAppend({ lastIndex: 9, commitIndex }, 'now'), wanted, `${commitIndex}`);
  }
  t.end();
});

t.test('nothing is appended before a snapshot has arrived, and then what follows it', (t) => {
  const progress = streaming();
  progress.sentSnapshot(8);
  t.equal(shown(progress), 'snapshot 5 9 0 paused');
  t.equal(progress.snapshotIndex, 8);
  t.equal(progress.wantsAppend(whole, 'now'), false);
  progress.heartbeatAnswered(9);
  t.equal(progress.wantsAppend(whole, 'now'), false);
  t.equal(progress.rejected(8, 2), false, 'late');
  progress.unreachable();
  t.equal(shown(progress), 'snapshot 5 9 0 paused');
  t.equal(progress.accepted(6, 8), true);
  t.equal(shown(progress), 'snapshot 6 9 0 paused', 'the log begins behind that');
  t.equal(progress.accepted(7, 8), true);
  t.equal(shown(progress), 'replicate 7 8 0', 'it got there by other means');
  t.equal(progress.snapshotIndex, 0);
  t.end();
});

t.test('a transfer that ended is probed at the next sign of life', (t) => {
  const installed = streaming();
  installed.sentSnapshot(8);
  installed.snapshotEnded(true);
  t.equal(shown(installed), 'probe 5 9 0 paused');
  installed.heartbeatAnswered(9);
  t.equal(shown(installed), 'probe 5 9 0');
  const failed = streaming();
  failed.sentSnapshot(8);
  failed.snapshotEnded(false);
  t.equal(shown(failed), 'probe 5 6 0 paused');
  const none = streaming();
  none.snapshotEnded(true);
  t.equal(shown(none), 'replicate 5 6 0', 'there was none');
  t.end();
});
