/** A turn of the pump is short: what was committed is applied in slices, and nobody is starved by it. */
import t from 'tap';
import { LIMITS } from '#control/raft/limits.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { HELD_BACK_PUMPS_MAX } from '../limits.ts';
import { TestMember } from '../testing/test-member.ts';

const { signal } = new AbortController();
const VALUE_BYTES = 1000;
/** Of the longest entry. */
const ENTRY_BYTES_MAX = VALUE_BYTES + 200;
const SLICE_ENTRIES_MAX = Math.ceil(LIMITS.committedBytesPerReadyMax / VALUE_BYTES);

function open(disk: MemoryDisk): TestMember {
  return new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings: {} });
}

function put(member: TestMember, key: string): Promise<unknown> {
  const request = { key, value: new Uint8Array(VALUE_BYTES) };
  const success = [{ kind: 'put', request } as const];
  return member.client.txn({ compare: [], success, failure: [] }, signal);
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test(
  'what many clients wrote at once is applied in slices, each answered in its turn',
  async (t) => {
    const member = open(new MemoryDisk());
    await Promise.all([put(member, 'first'), member.run()]);
    const count = SLICE_ENTRIES_MAX * 3;
    let answered = 0;
    const writes = Array.from({ length: count }, (_, i) =>
      put(member, `k${i}`).then(() => answered++),
    );
    await turn();
    const { engine } = member;
    const slices: number[] = [];
    for (let more = true; more; await turn()) {
      const before = engine.state.appliedIndex;
      more = engine.pump();
      await turn();
      const applied = engine.state.appliedIndex - before;
      if (applied > 0) slices.push(applied);
      t.ok(applied <= SLICE_ENTRIES_MAX, `${applied} entries in one turn`);
      t.equal(
        answered,
        slices.reduce((sum, slice) => sum + slice, 0),
        'answered when applied',
      );
    }
    t.ok(slices.length >= 3, `${slices.length} slices`);
    await Promise.all(writes);
    member.kill();
  },
);

t.test(
  'requests that come while it applies wait for the next batch, but not for ever',
  async (t) => {
    const member = open(new MemoryDisk());
    await Promise.all([put(member, 'first'), member.run()]);
    const slices = HELD_BACK_PUMPS_MAX + 4;
    const entries = (slices * LIMITS.committedBytesPerReadyMax) / ENTRY_BYTES_MAX;
    const writes = Array.from({ length: entries }, (_, i) => put(member, `k${i}`));
    await turn();
    const { engine } = member;
    engine.pump();
    t.ok(engine.commitIndex > engine.state.appliedIndex, 'it is behind');
    let isAnswered = false;
    const read = member.client.range({ key: 'first' }, signal).then(() => {
      isAnswered = true;
    });
    let pumps = 0;
    for (; !isAnswered && pumps < 100; pumps++) {
      engine.pump();
      await turn();
    }
    t.ok(pumps > 2, `answered after ${pumps} turns`);
    t.ok(pumps <= HELD_BACK_PUMPS_MAX + 2, `answered after ${pumps} turns`);
    t.ok(engine.commitIndex > engine.state.appliedIndex, 'it is still behind');
    await member.run();
    await Promise.all([read, ...writes]);
    member.kill();
  },
);

t.test('a store that is alone has applied all of its log when it is open', async (t) => {
  const disk = new MemoryDisk();
  const member = open(disk);
  const writes = Array.from({ length: SLICE_ENTRIES_MAX * 3 }, (_, i) => put(member, `k${i}`));
  await member.run();
  await Promise.all(writes);
  member.kill();
  const next = open(disk);
  t.equal(next.engine.state.appliedIndex, next.engine.commitIndex);
  t.equal(next.engine.state.mvcc.keyCount, writes.length);
  next.kill();
});
