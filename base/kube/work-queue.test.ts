import t from 'tap';
import { RealClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import { runWorkers, WorkQueue } from './work-queue.ts';

const never = new AbortController().signal;

t.test('WorkQueue holds a key once and hands it to one worker at a time', async (t) => {
  using queue = new WorkQueue(new RealClock());
  queue.add('a');
  queue.add('a');
  queue.add('b');
  t.equal(queue.length, 2);
  t.equal(await queue.get(never), 'a');
  queue.add('a'); // While active: comes again after done().
  t.equal(queue.length, 1);
  queue.done('a');
  t.equal(await queue.get(never), 'b');
  t.equal(await queue.get(never), 'a');
});

t.test('WorkQueue.get() waits, and gives up when aborted', async (t) => {
  using queue = new WorkQueue(new RealClock());
  const stop = new AbortController();
  const waiting = queue.get(stop.signal);
  stop.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
  const next = queue.get(never);
  queue.add('a');
  t.equal(await next, 'a');
});

t.test('WorkQueue.addAfter() keeps the earlier of two delays', async (t) => {
  using queue = new WorkQueue(new RealClock());
  queue.addAfter('a', 60_000);
  queue.addAfter('a', 1);
  queue.addAfter('a', 60_000);
  t.equal(await queue.get(AbortSignal.timeout(5000)), 'a');
});

t.test('WorkQueue.addRateLimited() counts failures until forgotten', async (t) => {
  using queue = new WorkQueue(new RealClock(), { backoffMsMin: 1 });
  queue.addRateLimited('a');
  queue.addRateLimited('a');
  t.equal(queue.retries('a'), 2);
  t.equal(await queue.get(AbortSignal.timeout(5000)), 'a');
  queue.forget('a');
  t.equal(queue.retries('a'), 0);
});

t.test('runWorkers() tries a failed key again and honours requeues', async (t) => {
  using queue = new WorkQueue(new RealClock(), { backoffMsMin: 1 });
  const stop = new AbortController();
  const calls: string[] = [];
  queue.add('a');
  const run = runWorkers(
    {
      name: 'test',
      queue,
      workers: 2,
      log: silentLog,
      sync: async (key) => {
        calls.push(key);
        if (calls.length === 1) throw new Error('first try fails');
        if (calls.length === 2) return 1;
        stop.abort(new Error('seen enough'));
        return undefined;
      },
    },
    stop.signal,
  );
  await t.rejects(run, { message: 'seen enough' });
  t.same(calls, ['a', 'a', 'a']);
});
