/** What the contract suite cannot reach: memory is given back, slices are bounded, keys sort as bytes. */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { SLAB_BYTES } from '../limits.ts';
import { Mvcc } from './mvcc.ts';
import { NONE } from './records.ts';
import { HashHistory, HashSum, formatHash } from './state-hash.ts';

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
  const mvcc = new Mvcc(crc32);
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
  const mvcc = new Mvcc(crc32);
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
  t.equal(mvcc.count(range, { revision: mvcc.revision }), limited);
  for (const i of wanted) if (mvcc.current(keyOf(i)) === NONE) t.fail(`key ${i} is lost`);
  t.end();
});

t.test('many keys changed in one revision are compacted in slices', (t) => {
  const mvcc = new Mvcc(crc32);
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
  const mvcc = new Mvcc(crc32);
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
  const mvcc = new Mvcc(crc32);
  const sorted = ['a', 'a\0', 'a\0\0', 'aa', 'a\x7f', 'a\x80', 'a\xff', 'b'];
  for (const key of [...sorted].reverse()) put(mvcc, bytes(key), bytes(''));
  t.same(keys(mvcc, 'a', '\xff'), sorted);
  t.same(keys(mvcc, 'a\0', 'a\x80'), sorted.slice(1, 5));
  t.same(keys(mvcc, 'b', 'a'), []);
  t.same(keys(mvcc, 'a\x80', ''), sorted.slice(5), 'an empty end is no end');
  t.end();
});

/** The sum over all readable records, from their bytes. */
function hashFromScratch(mvcc: Mvcc): HashSum {
  const sum = new HashSum();
  const position = mvcc.keys.seek(bytes(''));
  for (let id = mvcc.keys.next(position); id !== NONE; id = mvcc.keys.next(position)) {
    for (const record of mvcc.readable(id, mvcc.revision, mvcc.compactRevision)) {
      sum.add(mvcc.rehash(record));
    }
  }
  return sum;
}

/** Writes, compactions and how far memory was cleaned up in between. */
const changes = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ put: fc.nat(7), size: fc.nat(40) }) },
    { weight: 3, arbitrary: fc.record({ remove: fc.array(fc.nat(7), { maxLength: 3 }) }) },
    { weight: 2, arbitrary: fc.record({ compactBack: fc.nat(6) }) },
  ),
  { maxLength: 60 },
);

function change(
  mvcc: Mvcc,
  step: { put?: number; size?: number; remove?: number[]; compactBack?: number },
) {
  if (step.put !== undefined) put(mvcc, keyOf(step.put), new Uint8Array(step.size ?? 0).fill(7));
  for (const number of new Set(step.remove)) {
    if (mvcc.current(keyOf(number)) !== NONE) mvcc.delete(mvcc.keys.find(keyOf(number)));
  }
  mvcc.end();
  const revision = mvcc.revision - (step.compactBack ?? mvcc.revision);
  if (revision > mvcc.compactRevision) mvcc.compact(revision);
}

t.test('the hash follows every change, whatever was freed so far', (t) => {
  fc.assert(
    fc.property(changes, fc.infiniteStream(fc.nat(2)), (steps, slices) => {
      const lazy = new Mvcc(crc32);
      const eager = new Mvcc(crc32);
      for (const step of steps) {
        change(lazy, step);
        change(eager, step);
        for (let slice = slices.next().value; slice > 0; slice--) eager.compactSlice();
        const hash = formatHash(lazy.recordsHash);
        const others = [eager.recordsHash, hashFromScratch(lazy), hashFromScratch(eager)];
        for (const [i, other] of others.entries()) {
          if (formatHash(other) !== hash)
            throw new Error(`${i}: ${formatHash(other)}, not ${hash}`);
        }
      }
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test('one changed bit anywhere in memory shows in the hash', (t) => {
  const mvcc = new Mvcc(crc32);
  put(mvcc, keyOf(1), bytes('some value'));
  const record = mvcc.current(keyOf(1));
  const flips: Record<string, () => void> = {
    value: () => mvcc.value(record).set([mvcc.value(record)[3]! ^ 16], 3), // Long enough.
    key: () => mvcc.key(record).set([mvcc.key(record)[0]! ^ 1]), // Same.
    mod: () => mvcc.records.mod.set([1], record),
    version: () => mvcc.records.version.set([3], record),
    create: () => mvcc.records.create.set([1], record),
    lease: () => mvcc.records.lease.set([2 ** 40], record),
    sub: () => mvcc.records.sub.set([1], record),
  };
  const seen = new Set([formatHash(mvcc.recordsHash)]);
  for (const [name, flip] of Object.entries(flips)) {
    flip();
    const hash = formatHash(hashFromScratch(mvcc));
    t.notOk(seen.has(hash), name);
    seen.add(hash);
  }
  t.end();
});

t.test('hashes of the last entries are kept, and no others', (t) => {
  const history = new HashHistory(4);
  t.equal(history.at(0), undefined);
  for (let index = 1; index <= 6; index++) history.push(index, { a: index, b: 0 });
  t.equal(history.at(2), undefined);
  t.equal(history.at(3)?.a, 3);
  t.equal(history.at(6)?.a, 6);
  t.equal(history.at(7), undefined);
  history.push(20, { a: 20, b: 0 });
  t.equal(history.at(6), undefined, 'a gap forgets what was before it');
  t.equal(history.at(19), undefined);
  t.equal(history.at(20)?.a, 20);
  t.end();
});

t.test('hashes that are marked are kept for longer, the last so many of them', (t) => {
  const history = new HashHistory(2, 2);
  for (let index = 1; index <= 9; index++) {
    history.push(index, { a: index, b: 0 });
    if (index % 3 === 1) history.mark();
  }
  t.equal(history.at(1), undefined);
  t.equal(history.at(4)?.a, 4);
  t.equal(history.at(5), undefined);
  t.equal(history.at(7)?.a, 7);
  t.end();
});
