import t from 'tap';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { podFacts } from './pod-facts.ts';
import { SchedulingQueue } from './queue.ts';

const facts = (name: string, priority = 0) => {
  const one: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'ns', uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: { containers: [], priority },
    status: {},
  };
  return podFacts(one);
};
const fit = new Set(['NodeResourcesFit']);

t.test('SchedulingQueue: priority, then age', async (t) => {
  const queue = new SchedulingQueue();
  queue.put(facts('a'), 0);
  queue.put(facts('b', 10), 1);
  queue.put(facts('c'), 2);
  t.same(
    [queue.next(3)?.uid, queue.next(3)?.uid, queue.next(3)?.uid, queue.next(3)],
    ['b', 'a', 'c', undefined],
  );
});

t.test(
  'SchedulingQueue: a parked pod waits for an event that can help, and its back-off',
  async (t) => {
    const queue = new SchedulingQueue();
    queue.put(facts('a'), 0);
    queue.next(0);
    queue.failed('a', fit, 0);
    queue.happened('podPlaced', 100);
    t.equal(queue.next(5_000), undefined, 'another pod placed does not help');
    queue.happened('podGone', 500);
    t.equal(queue.next(600), undefined, 'backs off for a second');
    t.equal(queue.wakeAtMs(), 1_000);
    t.equal(queue.next(1_000)?.uid, 'a');
    queue.failed('a', fit, 1_000);
    queue.happened('node', 4_000);
    t.equal(queue.next(4_000)?.uid, 'a', 'at once when the back-off is over');
  },
);

t.test('SchedulingQueue: an event during the attempt is not lost', async (t) => {
  const queue = new SchedulingQueue();
  queue.put(facts('a'), 0);
  queue.next(0);
  queue.happened('node', 1);
  queue.failed('a', fit, 2);
  t.equal(queue.next(1_002)?.uid, 'a');
});

t.test('SchedulingQueue: after five minutes anyway; back-off at most ten seconds', async (t) => {
  const queue = new SchedulingQueue();
  queue.put(facts('a'), 0);
  for (let attempt = 0, now = 0; attempt < 8; attempt++, now += 10_000) {
    t.equal(queue.next(now)?.uid, 'a');
    queue.failed('a', new Set(), now);
  }
  queue.next(100_000);
  queue.failed('a', fit, 100_000);
  t.equal(queue.next(399_999), undefined);
  t.equal(queue.next(400_000)?.uid, 'a');
});

t.test('SchedulingQueue: removed pods are gone, changed ones tried again', async (t) => {
  const queue = new SchedulingQueue();
  queue.put(facts('a'), 0);
  queue.remove('a');
  t.equal(queue.next(0), undefined);
  queue.put(facts('b'), 0);
  queue.next(0);
  queue.failed('b', fit, 0);
  queue.put(facts('b'), 10);
  t.equal(queue.next(10)?.uid, 'b');
});
