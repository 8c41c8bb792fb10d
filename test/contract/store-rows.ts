/** The table of the store's contract: a row per rule, refusals as many as successes. */
import type { Test } from 'tap';
import type {
  Compare,
  KeyValue,
  Operation,
  Store,
  Watch,
  WatchBatch,
} from '#control/store/store.ts';

const signal = new AbortController().signal;

export interface ContractRow {
  readonly name: string;
  readonly run: (store: Store, t: Test) => Promise<void>;
}

function put(
  key: string,
  value = '',
  options: { leaseId?: string; prevKv?: boolean } = {},
): Operation {
  return { kind: 'put', request: { key, value: Buffer.from(value), ...options } };
}

function del(key: string, rangeEnd?: string, prevKv = false): Operation {
  return { kind: 'deleteRange', request: { key, rangeEnd, prevKv } };
}

function run(store: Store, success: readonly Operation[], compare: readonly Compare[] = []) {
  return store.txn(
    { compare, success, failure: [{ kind: 'range', request: { key: 'a' } }] },
    signal,
  );
}

function text(kv: KeyValue | undefined): string {
  if (kv === undefined) return '(none)';
  const value = Buffer.from(kv.value).toString();
  return `${kv.key}=${value} c${kv.createRevision} m${kv.modRevision} v${kv.version}`;
}

async function list(store: Store, key: string, rangeEnd: string, revision = 0): Promise<string[]> {
  const { kvs } = await store.range({ key, rangeEnd, revision }, signal);
  return kvs.map(text);
}

/** The next batches of a watch, until `count` came. */
async function take(watch: Watch, count: number): Promise<string[]> {
  const seen: string[] = [];
  const iterator = watch[Symbol.asyncIterator]();
  while (seen.length < count) {
    const { value, done } = await iterator.next();
    if (done === true) throw new Error('watch ended');
    seen.push(batchText(value));
  }
  return seen;
}

function batchText(batch: WatchBatch): string {
  if (batch.kind === 'progress') return `progress ${batch.revision}`;
  const events = batch.events.map((event) => {
    const previous = event.prevKv === undefined ? '' : ` was ${text(event.prevKv)}`;
    return `${event.type} ${text(event.kv)}${previous}`;
  });
  return `${batch.revision}: ${events.join(', ')}`;
}

export const contractRows: readonly ContractRow[] = [
  {
    name: 'a fresh store is at revision 1 and empty',
    run: async (store, t) => {
      const all = await store.range({ key: '\0', rangeEnd: '\0' }, signal);
      t.same(all, { kvs: [], count: 0, more: false, revision: 1 });
    },
  },
  {
    name: 'create, update, delete and create again count versions',
    run: async (store, t) => {
      t.equal((await run(store, [put('a', '1')])).revision, 2);
      t.equal((await run(store, [put('a', '2')])).revision, 3);
      t.same(await list(store, 'a', 'b'), ['a=2 c2 m3 v2']);
      t.equal((await run(store, [del('a')])).revision, 4);
      await run(store, [put('a', '3')]);
      t.same(await list(store, 'a', 'b'), ['a=3 c5 m5 v1']);
      t.same(await list(store, 'a', 'b', 3), ['a=2 c2 m3 v2']);
      t.same(await list(store, 'a', 'b', 4), []);
    },
  },
  {
    name: 'a transaction is one revision, sees its own writes, and may change nothing',
    run: async (store, t) => {
      const all: Operation = { kind: 'range', request: { key: 'a', rangeEnd: 'z' } };
      const { results, revision } = await run(store, [put('a', '1'), put('b', '2'), all]);
      t.equal(revision, 2);
      const range = results[2];
      t.same(range?.kind === 'range' && range.response.kvs.map(text), [
        'a=1 c2 m2 v1',
        'b=2 c2 m2 v1',
      ]);
      t.equal((await run(store, [del('c', 'z')])).revision, 2, 'deleting nothing is no revision');
      t.equal((await run(store, [])).revision, 2);
    },
  },
  {
    name: 'comparisons choose the branch',
    run: async (store, t) => {
      await run(store, [put('a', 'x')]);
      const rows: [Compare, boolean][] = [
        [{ key: 'a', target: 'mod', result: '=', value: 2 }, true],
        [{ key: 'a', target: 'mod', result: '=', value: 1 }, false],
        [{ key: 'a', target: 'create', result: '!=', value: 2 }, false],
        [{ key: 'a', target: 'version', result: '>', value: 0 }, true],
        [{ key: 'a', target: 'version', result: '<', value: 1 }, false],
        [{ key: 'a', target: 'lease', result: '=', value: '0' }, true],
        [{ key: 'a', target: 'value', result: '=', value: Buffer.from('x') }, true],
        [{ key: 'a', target: 'value', result: '<', value: Buffer.from('xx') }, true],
        [{ key: 'b', target: 'mod', result: '=', value: 0 }, true],
        [{ key: 'b', target: 'value', result: '!=', value: Buffer.from('x') }, false],
      ];
      for (const [compare, succeeded] of rows) {
        const answer = await run(store, [], [compare]);
        t.equal(answer.succeeded, succeeded, JSON.stringify(compare));
        t.equal(answer.results.length, succeeded ? 0 : 1);
      }
    },
  },
  {
    name: 'ranges: limit, more, count, keys only, count only',
    run: async (store, t) => {
      for (const key of ['a', 'b', 'c', 'd']) await run(store, [put(key, key)]);
      const limited = await store.range({ key: 'a', rangeEnd: 'd', limit: 2 }, signal);
      t.same([limited.kvs.length, limited.count, limited.more], [2, 3, true]);
      const exact = await store.range({ key: 'a', rangeEnd: 'd', limit: 3 }, signal);
      t.same([exact.kvs.length, exact.count, exact.more], [3, 3, false]);
      const keys = await store.range({ key: 'b', rangeEnd: '\0', keysOnly: true }, signal);
      t.same(keys.kvs.map(text), ['b= c3 m3 v1', 'c= c4 m4 v1', 'd= c5 m5 v1']);
      const counted = await store.range({ key: 'a', rangeEnd: 'z', countOnly: true }, signal);
      t.same([counted.kvs.length, counted.count, counted.more], [0, 4, false]);
      const old = await store.range({ key: 'a', rangeEnd: 'z', revision: 3, limit: 1 }, signal);
      t.same([old.kvs.map(text), old.count, old.revision], [['a=a c2 m2 v1'], 2, 5]);
    },
  },
  {
    name: 'previous values come on request only',
    run: async (store, t) => {
      await run(store, [put('a', '1')]);
      const { results } = await run(store, [put('a', '2', { prevKv: true })]);
      t.equal(results[0]?.kind === 'put' ? text(results[0].prevKv) : '', 'a=1 c2 m2 v1');
      const second = (await run(store, [del('a', 'b', true)])).results[0];
      t.equal(second?.kind === 'deleteRange' ? text(second.prevKvs[0]) : '', 'a=2 c2 m3 v2');
      const third = (await run(store, [put('a', '3', { prevKv: true })])).results[0];
      t.same(third, { kind: 'put' });
    },
  },
  {
    name: 'bad requests are refused and change nothing',
    run: async (store, t) => {
      const bad: [readonly Operation[], string][] = [
        [[put('')], 'INVALID_REQUEST'],
        [[put('a'.repeat(5000))], 'INVALID_REQUEST'],
        [[put('\u0100')], 'INVALID_REQUEST'],
        [[put('a'), put('a')], 'DUPLICATE_KEY'],
        [[put('b'), del('a', 'c')], 'DUPLICATE_KEY'],
        [[put('a', '', { leaseId: '77' })], 'LEASE_NOT_FOUND'],
        [[put('a', '', { leaseId: '7587886475234567890' })], 'LEASE_NOT_FOUND'],
        [[put('a', '', { leaseId: 'x' })], 'INVALID_REQUEST'],
        [[put('a', 'x'.repeat(1.6e6))], 'TOO_LARGE'],
        [Array.from({ length: 129 }, (_, i) => put(`k${i}`)), 'INVALID_REQUEST'],
        [[{ kind: 'range', request: { key: 'a', revision: 9 } }], 'FUTURE_REVISION'],
        [[put('a'), { kind: 'range', request: { key: 'a', revision: 1 } }], 'INVALID_REQUEST'],
      ];
      const compare: Compare = { key: 'a', target: 'mod', result: '=', value: 0 };
      const many = Array.from({ length: 129 }, () => compare);
      await t.rejects(run(store, [put('a')], many), { code: 'INVALID_REQUEST' });
      for (const [operations, code] of bad) await t.rejects(run(store, operations), { code });
      await t.rejects(store.range({ key: 'a', revision: 9 }, signal), { code: 'FUTURE_REVISION' });
      await t.rejects(store.range({ key: 'a', limit: -1 }, signal), { code: 'INVALID_REQUEST' });
      await t.rejects(store.leaseGrant(0, signal), { code: 'INVALID_REQUEST' });
      t.equal((await store.status(signal)).revision, 1);
    },
  },
  {
    name: 'compaction: what it keeps, what it refuses',
    run: async (store, t) => {
      await run(store, [put('a', '1')]);
      await run(store, [put('a', '2')]);
      await run(store, [del('a')]);
      await run(store, [put('b', '1')]);
      await store.compact(4, signal);
      await t.rejects(store.range({ key: 'a', revision: 3 }, signal), { code: 'COMPACTED' });
      t.same(await list(store, 'a', 'z', 4), []);
      t.same(await list(store, 'a', 'z', 5), ['b=1 c5 m5 v1']);
      await t.rejects(store.compact(4, signal), { code: 'COMPACTED' });
      await t.rejects(store.compact(6, signal), { code: 'FUTURE_REVISION' });
      using watch = store.watch({ key: 'a', rangeEnd: 'z', startRevision: 4, prevKv: true });
      t.same(await take(watch, 2), ['4: delete a= c0 m4 v0', '5: put b=1 c5 m5 v1']);
    },
  },
  {
    name: 'a watch gives whole revisions, past ones first, then new ones',
    run: async (store, t) => {
      await run(store, [put('a/1', '1'), put('b', '1')]);
      using watch = store.watch({ key: 'a/', rangeEnd: 'a0', startRevision: 1, prevKv: true });
      t.same(await take(watch, 1), ['2: put a/1=1 c2 m2 v1']);
      await run(store, [put('c', '1')]);
      await run(store, [put('a/1', '2'), put('a/2', '1')]);
      await run(store, [del('a/', 'a0')]);
      t.same(await take(watch, 2), [
        '4: put a/1=2 c2 m4 v2 was a/1=1 c2 m2 v1, put a/2=1 c4 m4 v1',
        '5: delete a/1= c0 m5 v0 was a/1=2 c2 m4 v2, delete a/2= c0 m5 v0 was a/2=1 c4 m4 v1',
      ]);
    },
  },
  {
    name: 'watches share events, and previous values go to those that asked',
    run: async (store, t) => {
      await run(store, [put('a', '1')]);
      using plain = store.watch({ key: 'a' });
      using full = store.watch({ key: '\0', rangeEnd: '\0', prevKv: true });
      using other = store.watch({ key: 'b' });
      other.requestProgress();
      await run(store, [put('a', '2')]);
      t.same(await take(plain, 1), ['3: put a=2 c2 m3 v2']);
      t.same(await take(full, 1), ['3: put a=2 c2 m3 v2 was a=1 c2 m2 v1']);
      t.match((await take(other, 1))[0], /^progress/);
    },
  },
  {
    name: 'progress comes behind the events up to its revision',
    run: async (store, t) => {
      using watch = store.watch({ key: 'a', startRevision: 1 });
      for (let i = 0; i < 50; i++) await run(store, [put('a', `${i}`)]);
      watch.requestProgress();
      const seen = await take(watch, 51);
      t.equal(seen[0], '2: put a=0 c2 m2 v1');
      t.equal(seen[50], 'progress 51');
    },
  },
  {
    name: 'a watch from the future sees nothing before it is reached, not even progress',
    run: async (store, t) => {
      using watch = store.watch({ key: 'a', startRevision: 4 });
      watch.requestProgress();
      for (let i = 0; i < 4; i++) await run(store, [put('a', `${i}`)]);
      // Progress at 3 may come: then everything below its start is delivered.
      const seen = await take(watch, 2);
      const events = seen.filter((batch) => !batch.startsWith('progress'));
      t.equal(events[0], '4: put a=2 c2 m4 v3');
      t.notOk(seen.includes('progress 1'), 'nothing is said about what lies before it');
      t.notOk(seen.includes('progress 2'), 'nothing is said about what lies before it');
    },
  },
  {
    name: 'a watch from a compacted revision ends with the compact revision',
    run: async (store, t) => {
      for (let i = 0; i < 4; i++) await run(store, [put('a', `${i}`)]);
      await store.compact(4, signal);
      using watch = store.watch({ key: 'a', startRevision: 3 });
      await t.rejects(take(watch, 1), { code: 'COMPACTED', compactRevision: 4 });
    },
  },
  {
    name: 'a watch whose reader is slow misses nothing',
    run: async (store, t) => {
      using watch = store.watch({ key: 'a' });
      const count = 10_000;
      for (let done = 0; done < count; done += 500) {
        await Promise.all(Array.from({ length: 500 }, () => run(store, [put('a', 'x')])));
      }
      watch.requestProgress();
      const seen = await take(watch, count);
      t.equal(new Set(seen).size, count);
      t.equal(seen[0], '2: put a=x c2 m2 v1');
      t.equal(seen[count - 1], `${count + 1}: put a=x c2 m${count + 1} v${count}`);
      t.equal((await take(watch, 1))[0], `progress ${count + 1}`);
    },
  },
  {
    name: 'a watch that falls behind a compaction says so, behind what it had',
    run: async (store, t) => {
      using watch = store.watch({ key: 'a' });
      const count = 10_000;
      for (let done = 0; done < count; done += 500) {
        await Promise.all(Array.from({ length: 500 }, () => run(store, [put('a', 'x')])));
      }
      await store.compact(count + 1, signal);
      let seen = 0;
      const readAll = async () => {
        for await (const batch of watch) {
          seen++;
          if (batch.revision !== seen + 1) throw new Error(`batch ${seen} is ${batch.revision}`);
        }
      };
      await t.rejects(readAll(), { code: 'COMPACTED', compactRevision: count + 1 });
      t.ok(seen > 1000 && seen < count, `${seen} batches were kept for the reader`);
    },
  },
  {
    name: 'a watch of no possible key is refused',
    run: async (store, t) => {
      for (const rangeEnd of ['a', 'Z', '\0'.repeat(2)]) {
        t.throws(() => store.watch({ key: 'a', rangeEnd }), { code: 'INVALID_REQUEST' });
      }
      t.throws(() => store.watch({ key: '' }), { code: 'INVALID_REQUEST' });
      t.throws(() => store.watch({ key: 'a', startRevision: -1 }), { code: 'INVALID_REQUEST' });
    },
  },
  {
    name: 'a range of many keys and bytes is complete and of one revision',
    run: async (store, t) => {
      const count = 1200;
      const value = 'x'.repeat(20_000);
      const keys = Array.from({ length: count }, (_, i) => `k${String(i).padStart(4, '0')}`);
      for (let from = 0; from < count; from += 60) {
        await run(
          store,
          keys.slice(from, from + 60).map((key) => put(key, value)),
        );
      }
      const { revision } = await store.range({ key: 'k' }, signal);
      const [latest] = await Promise.all([
        store.range({ key: 'k', rangeEnd: 'l' }, signal),
        run(store, [del('k', 'l')]),
      ]);
      const left = latest.revision === revision ? count : 0;
      t.same([latest.kvs.length, latest.count, latest.more], [left, left, false]);
      const all = await store.range({ key: 'k', rangeEnd: 'l', revision }, signal);
      t.same([all.kvs.length, all.count, all.more], [count, count, false]);
      t.same(
        all.kvs.map((kv) => kv.key),
        keys,
      );
      t.ok(all.kvs.every((kv) => kv.value.length === value.length));
      const some = await store.range({ key: 'k', rangeEnd: 'l', revision, limit: 1100 }, signal);
      t.same([some.kvs.length, some.count, some.more], [1100, count, true]);
    },
  },
  {
    name: 'the status tells revision and compact revision',
    run: async (store, t) => {
      t.match(await store.status(signal), { revision: 1, compactRevision: 0 });
      for (let i = 0; i < 4; i++) await run(store, [put('a', `${i}`)]);
      await store.compact(3, signal);
      t.match(await store.status(signal), { revision: 5, compactRevision: 3 });
    },
  },
  {
    name: 'a disposed watch ends its reader',
    run: async (store, t) => {
      const watch = store.watch({ key: 'a' });
      const next = watch[Symbol.asyncIterator]().next();
      watch[Symbol.dispose]();
      t.equal((await next).done, true);
    },
  },
  {
    name: 'leases: revoking deletes their keys in one revision',
    run: async (store, t) => {
      const { leaseId } = await store.leaseGrant(60, signal);
      const other = await store.leaseGrant(60, signal);
      await run(store, [put('b', '1', { leaseId }), put('a', '1', { leaseId }), put('c', '1')]);
      await run(store, [put('b', '2', { leaseId: other.leaseId })]);
      t.equal(await store.leaseKeepAlive(leaseId, signal), 60);
      using watch = store.watch({ key: 'a', rangeEnd: 'z', startRevision: 4 });
      await store.leaseRevoke(leaseId, signal);
      t.same(await list(store, 'a', 'z'), ['b=2 c2 m3 v2', 'c=1 c2 m2 v1']);
      t.same(await take(watch, 1), ['4: delete a= c0 m4 v0']);
      await t.rejects(store.leaseKeepAlive(leaseId, signal), { code: 'LEASE_NOT_FOUND' });
      await t.rejects(store.leaseRevoke(leaseId, signal), { code: 'LEASE_NOT_FOUND' });
    },
  },
  {
    name: 'a lease runs out by itself',
    run: async (store, t) => {
      const { leaseId } = await store.leaseGrant(1, signal);
      await run(store, [put('a', '1', { leaseId })]);
      using watch = store.watch({ key: 'a', startRevision: 3 });
      t.same(await take(watch, 1), ['3: delete a= c0 m3 v0']);
    },
  },
  {
    name: 'a closed store answers nothing',
    run: async (store, t) => {
      await run(store, [put('a')]);
      const watch = store.watch({ key: 'a' });
      const next = watch[Symbol.asyncIterator]().next();
      await store.close();
      await t.rejects(next, { code: 'CLOSED' });
      await t.rejects(store.range({ key: 'a' }, signal), { code: 'CLOSED' });
      await t.rejects(run(store, [put('a')]), { code: 'CLOSED' });
      t.throws(() => store.watch({ key: 'a' }), { code: 'CLOSED' });
    },
  },
  {
    name: 'an aborted caller stops waiting',
    run: async (store, t) => {
      const controller = new AbortController();
      const waiting = store.range({ key: 'a' }, controller.signal);
      controller.abort(new Error('gave up'));
      await t.rejects(waiting, { message: 'gave up' });
      await t.rejects(store.range({ key: 'a' }, controller.signal), { message: 'gave up' });
    },
  },
];
