/**
 * A learner far away (20 ms and 10 MB/s) catches up with a state that takes long to send, while writes go
 * on (reference/store.md section 8, rule 15). SLOW_MB=1024 SLOW_WRITES=2000 is that rule's own size.
 */
import t from 'tap';
import { must } from '#base/assert.ts';
import type { StoreClient } from '#control/store/client/client.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import { put } from './small-group.ts';

const { signal } = new AbortController();
const { SLOW_MB = '10', SLOW_WRITES = '500' } = process.env;

const DELAY_MS = 20;
const BYTES_PER_MS = 10_000;
const VALUE_BYTES = 1000;

/** First byte of a chunk of a snapshot, and of an offer of one (codec/peer.ts). */
const CHUNK = 14;

/** What goes to or from a member without whom the group began waits for its line, and keeps its order. */
function slowLine(group: Group, isFar: (id: number) => boolean): { bytesSent: number } {
  const line = { bytesSent: 0 };
  const freeAtMs = new Map<number, number>();
  const { network, time } = group;
  // One socket carries it: nothing overtakes. (16 MB under way that are refused for one that came too
  // early would be sent anew, again and again.)
  network.faults = { ...network.faults, delayMsMax: 0 };
  const send = network.send.bind(network);
  network.send = (from, to, bytes) => {
    if (!isFar(to) && !isFar(from)) {
      send(from, to, bytes);
      return;
    }
    if (bytes[0] === CHUNK) line.bytesSent += bytes.length;
    const startMs = Math.max(time.nowMs, freeAtMs.get(to) ?? 0);
    const endMs = startMs + bytes.length / BYTES_PER_MS;
    freeAtMs.set(to, endMs);
    time.after(endMs - time.nowMs + DELAY_MS, () => send(from, to, bytes));
  };
  return line;
}

async function fill(group: Group, store: StoreClient, count: number): Promise<void> {
  const value = new Uint8Array(VALUE_BYTES).fill(7);
  const batch = 64;
  for (let i = 0; i < count; i += batch) {
    const writes = Array.from({ length: batch }, (_, k) =>
      store.txn(put(`k${i + k}`, value), signal),
    );
    await group.finish(Promise.all(writes), 60_000);
  }
}

t.test('a learner far away catches up while writes go on', { timeout: 900_000 }, async (t) => {
  const settings = {
    checkpointLogBytes: 4 * 1024 * 1024,
    segmentBytes: 4 * 1024 * 1024,
    preallocateBytes: 1024 * 1024,
    ballastPieceBytes: 512,
  };
  const group = new Group(new SeededRandom(9), settings);
  await group.grow(3);
  const near = new Set(group.members.map(({ id }) => id));
  const { store } = group.connect(must(group.leader, 'a leader'));
  await fill(group, store, Number(SLOW_MB) * 1000);
  // Until the last checkpoint counts; with the next writes the log before it goes.
  await group.run(2000);
  await fill(group, store, 64);
  const line = slowLine(group, (id) => !near.has(id));
  const learner = await group.finish(
    group.add(group.connect(must(group.leader, 'a leader'))),
    10_000,
  );
  const startMs = group.time.nowMs;
  const { raftTerm } = must(group.leader?.engine, 'a leader').status();
  let failed = 0;
  let written = 0;
  let isDone = false;
  const value = new Uint8Array(VALUE_BYTES).fill(8);
  const write = () => {
    if (isDone) return;
    written++;
    store.txn(put(`k${group.random.below(Number(SLOW_MB) * 1000)}`, value), signal).catch(() => {
      failed++;
    });
    group.time.after(1000 / Number(SLOW_WRITES), write);
  };
  write();
  const votes = () => learner.engine?.state.members.voters.includes(learner.id) === true;
  const limitMs = 5000 + (Number(SLOW_MB) / 10) * 1000 * 3;
  await group.runUntil(votes, limitMs);
  isDone = true;
  const seconds = (group.time.nowMs - startMs) / 1000;
  const megabytes = line.bytesSent / 1e6;
  t.comment(`${seconds} s, ${megabytes} MB of chunks, ${written} writes meanwhile`);
  const stateBytes = group.leader?.engine?.status().liveBytes ?? 0;
  // The rest is log behind the checkpoint.
  t.ok(line.bytesSent > stateBytes * 0.2, 'a snapshot was sent');
  // Checkpoints that are newer share most chunks with older ones.
  t.ok(line.bytesSent < stateBytes * 1.6, 'once, not anew');
  t.equal(failed, 0, 'no write failed');
  t.equal(group.leader?.engine?.status().raftTerm, raftTerm, 'under one leader');
  await group.run(2000);
  const index = group.leader?.engine?.state.appliedIndex ?? 0;
  t.ok((learner.engine?.state.appliedIndex ?? 0) >= index - 64, 'it keeps up');
  group.close();
});
