import t from 'tap';
import { EVENTS_COUNT_MIN, EVENT_WINDOW_BYTES_MAX, EVENT_WINDOW_MS } from '../limits.ts';
import { type CacheEvent, ResourceCache } from './resource-cache.ts';

const UID = '00000000-0000-0000-0000-000000000000';
const stored = (name: string, more: object = {}) =>
  Buffer.from(
    JSON.stringify({ kind: 'K', apiVersion: 'v1', metadata: { name, uid: UID, ...more } }),
  );

function filled(): ResourceCache {
  const cache = new ResourceCache(() => ({}));
  cache.load([{ key: 'a/1', value: stored('1'), revision: 3 }], 5);
  cache.apply({ key: 'a/2', value: stored('2') }, 6, 0);
  cache.apply({ key: 'b/1', value: stored('1') }, 7, 0);
  cache.apply({ key: 'a/1', value: stored('1', { labels: { x: 'y' } }) }, 8, 0);
  cache.apply({ key: 'a/2', value: undefined }, 9, 0);
  return cache;
}

t.test('snapshot() shows any state since the window began', (t) => {
  const cache = filled();
  const rows = [
    { revision: 9, want: ['a/1@8', 'b/1@7'] },
    { revision: 8, want: ['a/1@8', 'a/2@6', 'b/1@7'] },
    { revision: 7, want: ['a/1@3', 'a/2@6', 'b/1@7'] },
    { revision: 5, want: ['a/1@3'] },
    { revision: 4, want: undefined },
  ];
  for (const { revision, want } of rows) {
    const found = cache.snapshot('', revision)?.map((o) => `${o.key}@${o.revision}`);
    t.same(found, want, `at ${revision}`);
  }
  t.same(
    cache.snapshot('a/', 8)?.map((o) => o.key),
    ['a/1', 'a/2'],
  );
  t.end();
});

t.test('objects carry their revision', (t) => {
  const cache = filled();
  t.match(cache.get('a/1')?.parse().metadata, { uid: UID, resourceVersion: '8' });
  t.end();
});

t.test('receivers get the events of their scope, in order', (t) => {
  const cache = filled();
  const seen: string[] = [];
  const receiver = (name: string) => ({
    onEvent: (event: CacheEvent) => seen.push(`${name} ${event.key}`),
    onReset: () => {
      seen.push(`${name} reset`);
      return name === 'all' ? ('stay' as const) : ('end' as const);
    },
  });
  cache.subscribe('', receiver('all'));
  cache.subscribe('a/', receiver('namespace'));
  const one = cache.subscribe('b/1', receiver('object'));
  cache.apply({ key: 'b/1', value: undefined }, 10, 0);
  one[Symbol.dispose]();
  cache.apply({ key: 'a/9', value: stored('9') }, 11, 0);
  cache.apply({ key: 'gone', value: undefined }, 12, 0);
  cache.reset();
  cache.load([], 12);
  cache.apply({ key: 'a/1', value: stored('1') }, 13, 0);
  t.same(seen, [
    'all b/1',
    'object b/1',
    'all a/9',
    'namespace a/9',
    'all reset',
    'namespace reset',
    'all reset', // Of the load: what was made of the empty cache is void.
    'all a/1',
  ]);
  t.end();
});

t.test('the window forgets old events, whole revisions at a time', (t) => {
  const cache = new ResourceCache(() => ({}));
  cache.load([], 1);
  for (let i = 0; i < 300; i++) cache.apply({ key: `k${i}`, value: stored('x') }, 2 + i, i * 1000);
  t.ok(cache.windowStart > 1);
  t.equal(cache.eventsAfter(cache.windowStart)[0]?.revision, cache.windowStart + 1);
  t.equal(cache.snapshot('', cache.windowStart - 1), undefined);
  t.end();
});

t.test('trim() forgets what is old though nothing is written, and what holds too much', (t) => {
  const cache = new ResourceCache(() => ({}));
  cache.load([], 1);
  for (let i = 0; i < 300; i++) cache.apply({ key: `k${i}`, value: stored('x') }, 2 + i, 0);
  t.equal(cache.windowStart, 1);
  cache.trim(EVENT_WINDOW_MS);
  t.equal(cache.eventsAfter(0).length, EVENTS_COUNT_MIN);
  const large = stored('x', { labels: { filler: 'x'.repeat(EVENT_WINDOW_BYTES_MAX / 8) } });
  for (let i = 0; i < 20; i++) cache.apply({ key: 'large', value: large }, 400 + i, 0);
  t.equal(cache.eventsAfter(0).length, 7);
  t.equal(cache.snapshot('', 411), undefined);
  t.equal(cache.snapshot('large', 412)?.[0]?.revision, 412);
  t.end();
});

t.test('load() resets whoever came while the cache was empty', (t) => {
  const cache = filled();
  cache.reset();
  let resets = 0;
  const onReset = () => {
    resets++;
    return 'stay' as const;
  };
  cache.subscribe('', { onEvent: () => {}, onReset });
  cache.load([{ key: 'a/1', value: stored('1'), revision: 3 }], 11);
  t.equal(resets, 1);
  t.end();
});
