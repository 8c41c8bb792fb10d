import t from 'tap';
import { DeadlineExceeded, RealClock } from './clock.ts';

const clock = new RealClock();
const never = new AbortController().signal;

await t.test('RealClock waits longer than a timer of Node can', async (t) => {
  for (const ms of [2 ** 31, 1e12, Number.POSITIVE_INFINITY]) {
    const stop = new AbortController();
    let slept = false;
    const sleeping = clock.sleep(ms, stop.signal).then(
      () => (slept = true),
      () => undefined,
    );
    using deadline = clock.deadline(ms, never);
    await clock.sleep(20, never);
    t.notOk(slept, `sleep ${ms}`);
    t.notOk(deadline.signal.aborted, `deadline ${ms}`);
    stop.abort();
    await sleeping;
  }
});

await t.test('RealClock ends what it was asked to', async (t) => {
  await clock.sleep(1, never);
  await clock.sleep(-1, never);
  using deadline = clock.deadline(1, never);
  await clock.sleep(20, never);
  t.ok(deadline.signal.reason instanceof DeadlineExceeded);
  const parent = new AbortController();
  using under = clock.deadline(1e12, parent.signal);
  const reason = new Error('enough');
  parent.abort(reason);
  t.equal(under.signal.reason, reason);
  await t.rejects(clock.sleep(1e12, parent.signal), reason);
});
