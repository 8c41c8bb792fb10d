/** What the contract suite cannot reach: memory is given back, slices are bounded, keys sort as bytes. */
import t from 'tap';
import { SLAB_BYTES } from '../limits.ts';
import { Mvcc } from './mvcc.ts';
import { NONE } from './records.ts';

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function keyOf(number: number): Uint8Array {
  return bytes(`key-${String(number).padStart(6, '0')}`);
}

function put(mvcc: Mvcc, key: Uint8Array, value: Uint8Array): void {
  mvcc.put(key, value, 0);
  mvcc.end();
}

function remove(mvcc: Mvcc, key: Uint8Array): void {
  mvcc.delete(mvcc.keys.find(key));
  mvcc.end();
}

function compactAll(mvcc: Mvcc): number {
  mvcc.compact(mvcc.revision);
  let slices = 0;
  while (mvcc.compactSlice()) slices++;
  return slices;
}

function keys(mvcc: Mvcc, start: string, end: string): string[] {
  const found: string[] = [];
  const range = { start: bytes(start), end: bytes(end) };
  mvcc.scan(range, { revision: mvcc.revision, limit: 0 }, (record) => {
    found.push(Buffer.from(mvcc.key(record)).toString('latin1'));
  });
  return found;
}

t.test('compaction gives the memory of old versions back', (t) => {
  const mvcc = new Mvcc();
  const keyCount = 1000;
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < keyCount; i++) {
      put(mvcc, keyOf(i), new Uint8Array(5000 + (i % 7)).fill(round));
    }
    if (round % 4 === 3) compactAll(mvcc);
  }
  const live = mvcc.liveBytes;
  t.ok(mvcc.reservedBytes < live * 8, `${mvcc.reservedBytes} reserved for ${live} live`);
  for (let i = 0; i < keyCount; i++) {
    const value = mvcc.value(mvcc.current(keyOf(i)));
    if (value.length !== 5000 + (i % 7) || value.some((byte) => byte !== 39)) {
      t.fail(`value of key ${i} changed when it was moved`);
    }
  }
  t.ok(SLAB_BYTES < live * 8, 'the bound is not one of a few slabs alone');
  t.end();
});

t.test('compaction drops deleted keys and keeps the order of the others', (t) => {
  const mvcc = new Mvcc();
  const count = 5000;
  for (let i = 0; i < count; i++) put(mvcc, keyOf((i * 7919) % count), bytes('x'));
  for (let i = 0; i < count; i += 3) remove(mvcc, keyOf(i));
  t.equal(mvcc.keys.count, count);
  put(mvcc, bytes('zzz'), bytes(''));
  const slices = compactAll(mvcc);
  t.ok(slices > 10, `${slices} slices`);
  const wanted = Array.from({ length: count }, (_, i) => i).filter((i) => i % 3 !== 0);
  t.equal(mvcc.keys.count, wanted.length + 1);
  t.equal(mvcc.keyCount, wanted.length + 1);
  t.same(
    keys(mvcc, 'key-', 'key.'),
    wanted.map((i) => Buffer.from(keyOf(i)).toString()),
  );
  const range = { start: keyOf(10), end: keyOf(4000) };
  const limited = mvcc.scan(range, { revision: mvcc.revision, limit: 5 }, () => {});
  t.equal(limited, wanted.filter((i) => i >= 10 && i < 4000).length, 'count is exact with a limit');
  t.equal(mvcc.count(range, mvcc.revision), limited);
  for (const i of wanted) if (mvcc.current(keyOf(i)) === NONE) t.fail(`key ${i} is lost`);
  t.end();
});

t.test('many keys changed in one revision are compacted in slices', (t) => {
  const mvcc = new Mvcc();
  for (let i = 0; i < 2000; i++) mvcc.put(keyOf(i), bytes('x'), 0);
  mvcc.end();
  t.equal(mvcc.revision, 2);
  compactAll(mvcc); // All of them stand at the compact revision.
  for (let i = 0; i < 2000; i++) mvcc.delete(mvcc.keys.find(keyOf(i)));
  mvcc.end();
  compactAll(mvcc);
  t.equal(mvcc.keys.count, 2000, 'tombstones at the compact revision stay');
  put(mvcc, bytes('a'), bytes(''));
  compactAll(mvcc);
  t.equal(mvcc.keys.count, 1);
  t.equal(mvcc.liveBytes, 1);
  t.end();
});

t.test('a pin keeps everything in place', (t) => {
  const mvcc = new Mvcc();
  for (let i = 0; i < 10; i++) put(mvcc, keyOf(0), bytes(`${i}`));
  mvcc.pin(1);
  mvcc.compact(mvcc.revision);
  t.equal(mvcc.compactSlice(), false);
  t.equal(mvcc.history.end - mvcc.history.first, 10);
  mvcc.pin(-1);
  while (mvcc.compactSlice());
  t.equal(mvcc.history.end - mvcc.history.first, 1);
  t.end();
});

t.test('keys sort by bytes, prefixes first', (t) => {
  const mvcc = new Mvcc();
  const sorted = ['a', 'a\0', 'a\0\0', 'aa', 'a\x7f', 'a\x80', 'a\xff', 'b'];
  for (const key of [...sorted].reverse()) put(mvcc, bytes(key), bytes(''));
  t.same(keys(mvcc, 'a', '\xff'), sorted);
  t.same(keys(mvcc, 'a\0', 'a\x80'), sorted.slice(1, 5));
  t.same(keys(mvcc, 'b', 'a'), []);
  t.same(keys(mvcc, 'a\x80', ''), sorted.slice(5), 'an empty end is no end');
  t.end();
});
