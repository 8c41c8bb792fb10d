import t from 'tap';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { type Store, StoreError, type Watch } from '#control/store/store.ts';
import { makeTestCluster } from '../testing/test-server.ts';
import { until } from '../testing/test-server.ts';
import { CacheHub } from './cache-hub.ts';
import { ResourceCache } from './resource-cache.ts';

const cluster = await makeTestCluster();
t.teardown(() => cluster.close());
const never = new AbortController().signal;
const UID = '00000000-0000-0000-0000-000000000000';

function put(name: string) {
  const object = { kind: 'K', apiVersion: 'v1', metadata: { name, uid: UID } };
  const value = Buffer.from(JSON.stringify(object));
  const key = `/registry/core/things/${name}`;
  const success = [{ kind: 'put', request: { key, value } }] as const;
  return cluster.store.txn({ compare: [], success, failure: [] }, never);
}

t.test('CacheHub fills caches, follows, and starts again when its watch breaks', async (t) => {
  let watch: Watch | undefined;
  let failures = 0;
  const store: Store = Object.create(cluster.store, {
    watch: {
      value: (request: Parameters<Store['watch']>[0]) => {
        watch = cluster.store.watch(request);
        return watch;
      },
    },
    range: {
      value: (...asked: Parameters<Store['range']>) => {
        if (failures === 0) return cluster.store.range(...asked);
        failures--;
        return Promise.reject(new StoreError('UNAVAILABLE', 'no leader'));
      },
    },
  });
  const cache = new ResourceCache(() => ({}));
  const hub = new CacheHub(
    { store, clock: new RealClock(), log: silentLog },
    new Map([['core/things', cache]]),
  );
  await put('before');
  await hub.load(never);
  t.ok(cache.get('before'));
  const stop = new AbortController();
  const running = hub.run(stop.signal);
  const { revision } = await put('after');
  await hub.waitFor(revision, never);
  t.ok(cache.get('after'));
  await put('latest');
  await hub.waitForLatest(never);
  t.ok(cache.get('latest'), 'a read sees every write acknowledged before it');
  let ended = 0;
  cache.subscribe('', {
    onEvent() {},
    onReset() {
      ended++;
      return 'end';
    },
  });
  failures = 2; // The store that broke the watch may not answer at once.
  watch?.[Symbol.dispose]();
  await until(() => ended === 1, 'watches to end');
  await until(() => failures === 0 && hub.ready, 'the store to answer again');
  await hub.waitForLatest(never);
  t.ok(cache.get('latest'), 'a read waits until the caches are filled again');
  await t.rejects(hub.waitFor(revision + 1000, never), { code: 504 });
  stop.abort(new Error('test is over'));
  await running.catch(() => {}); // Ends by the abort.
});

t.test('CacheHub reads the latest though somebody else wrote last', async (t) => {
  const cache = new ResourceCache(() => ({}));
  const hub = new CacheHub(
    { store: cluster.store, clock: new RealClock(), log: silentLog },
    new Map([['core/things', cache]]),
  );
  await hub.load(never);
  const stop = new AbortController();
  const running = hub.run(stop.signal);
  await put('mine');
  // An external etcd may serve others too: its revision moves, and the watch has nothing to say.
  const request = { key: '/other/a', value: new Uint8Array(1) };
  const { revision } = await cluster.store.txn(
    { compare: [], success: [{ kind: 'put', request }], failure: [] },
    never,
  );
  await hub.waitForLatest(never);
  t.equal(hub.revision, revision);
  t.ok(cache.get('mine'));
  stop.abort(new Error('test is over'));
  await running.catch(() => {}); // Ends by the abort.
});
