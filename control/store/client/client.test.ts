/**
 * Writes are executed once, however the answers get lost. A fake engine answers as the test says; a
 * real one shows that retries meet what is remembered.
 */
import t from 'tap';
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { COMMAND } from '../codec/command.ts';
import { REPLY, REQUEST, beginFrame, endFrame, readFrame } from '../codec/frame.ts';
import { readCommandHead } from '../codec/read-command.ts';
import type { CommandHead } from '../codec/read-command.ts';
import { writeError } from '../codec/reply.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import {
  ANSWER_NOT_KNOWN,
  ANSWER_NOT_TAKEN,
  ANSWER_NO_SESSION,
  ANSWER_OK,
} from '../engine/state-machine.ts';
import { OUTCOME_MS_MAX, SESSION_WINDOW, WATCH_QUEUE_BATCHES_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { TxnRequest } from '../port.ts';
import { TestMember } from '../testing/test-member.ts';
import type { Link, Timers } from './calls.ts';
import { StoreClient } from './client.ts';

const { signal } = new AbortController();

function put(key = 'a'): TxnRequest {
  const request = { key, value: new Uint8Array(1) };
  return { compare: [], success: [{ kind: 'put', request }], failure: [] };
}

interface Sent extends CommandHead {
  readonly id: number;
}

/** An engine that keeps what it was sent, and answers on demand. */
class FakeEngine implements Link {
  readonly client: StoreClient;
  readonly sent: Sent[] = [];

  constructor(timers?: Timers) {
    this.client = new StoreClient(this, timers);
  }

  send(message: Uint8Array): void {
    const input = new ByteReader(message);
    while (input.remaining > 0) {
      const frame = readFrame(input);
      if (frame.kind !== REQUEST.propose) continue; // Reads get no answer here.
      const head = readCommandHead(new ByteReader(message, frame.start, frame.end));
      this.sent.push({ id: frame.id, ...head });
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  answer({ id }: Sent, write: (out: ByteWriter) => void): void {
    const out = new ByteWriter();
    const lengthAt = beginFrame(out, id, REPLY.answer);
    write(out);
    endFrame(out, lengthAt);
    this.client.receive(out.take());
  }

  /** The next request that came. */
  async next(): Promise<Sent> {
    for (;;) {
      const sent = this.sent.shift();
      if (sent !== undefined) return sent;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async openSession(id: number): Promise<void> {
    const opening = await this.next();
    t.equal(opening.kind, COMMAND.openSession);
    this.answer(opening, (out) => {
      out.u8(ANSWER_OK);
      out.varint(id);
    });
  }

  succeed(sent: Sent): void {
    this.answer(sent, (out) => {
      out.u8(ANSWER_OK);
      out.varint(9);
      out.u8(1);
      out.varint(0);
    });
  }
}

function refuse(out: ByteWriter): void {
  out.u8(ANSWER_NOT_TAKEN);
  writeError(out, new StoreError('UNAVAILABLE', 'this member does not lead'));
}

t.test('writes wait for a session and are numbered in it', async (t) => {
  const engine = new FakeEngine();
  const writes = [engine.client.txn(put(), signal), engine.client.compact(5, signal)];
  await engine.openSession(77);
  const first = await engine.next();
  const second = await engine.next();
  t.match(first, { kind: COMMAND.txn, session: 77, sequence: 1 });
  t.match(second, { kind: COMMAND.compact, session: 77, sequence: 2 });
  engine.succeed(second);
  engine.succeed(first);
  t.match(await Promise.all(writes), [{ revision: 9 }, undefined]);
});

t.test(
  'a link that breaks costs nothing: what was not answered is sent again, alike',
  async (t) => {
    const engine = new FakeEngine();
    const write = engine.client.txn(put(), signal);
    const read = engine.client.compact(1, signal);
    await engine.openSession(77);
    const first = await engine.next();
    engine.succeed(await engine.next());
    await read;
    engine.client.disconnected();
    const queued = engine.client.txn(put('b'), signal);
    t.throws(() => engine.client.watch({ key: 'a' }), { code: 'UNAVAILABLE' });
    engine.client.connected(engine);
    const again = await engine.next();
    t.match(again, { session: 77, sequence: first.sequence });
    t.not(again.id, first.id);
    engine.succeed(first); // Late, of the old link: nobody waits for it.
    engine.succeed(again);
    engine.succeed(await engine.next());
    t.match(await Promise.all([write, queued]), [{ revision: 9 }, { revision: 9 }]);
  },
);

t.test('an outcome that a change of leader hides is asked for again', async (t) => {
  const engine = new FakeEngine();
  const write = engine.client.txn(put(), signal);
  await engine.openSession(77);
  const sent = await engine.next();
  engine.answer(sent, (out) => out.u8(ANSWER_NOT_KNOWN));
  const second = await engine.next();
  t.equal(second.sequence, sent.sequence);
  engine.answer(second, refuse); // Says nothing about the first.
  engine.succeed(await engine.next());
  t.match(await write, { revision: 9 });
});

t.test('a command that was never taken is refused for certain', async (t) => {
  const engine = new FakeEngine();
  const write = engine.client.txn(put(), signal);
  engine.answer(await engine.next(), refuse);
  await t.rejects(write, { code: 'UNAVAILABLE' }, 'no session could be opened');
  const second = engine.client.txn(put(), signal);
  await engine.openSession(77);
  engine.answer(await engine.next(), refuse);
  await t.rejects(second, { code: 'UNAVAILABLE' });
});

t.test(
  'when the session is gone, a first attempt goes into a new one, a second is unknown',
  async (t) => {
    const engine = new FakeEngine();
    const gone = (out: ByteWriter) => out.u8(ANSWER_NO_SESSION);
    const twice = engine.client.txn(put('twice'), signal);
    await engine.openSession(77);
    const sent = await engine.next();
    engine.answer(sent, (out) => out.u8(ANSWER_NOT_KNOWN));
    const again = await engine.next();
    const once = engine.client.txn(put('once'), signal);
    const first = await engine.next();
    engine.answer(again, gone);
    await t.rejects(twice, { code: 'OUTCOME_UNKNOWN' });
    engine.answer(first, gone);
    await engine.openSession(78);
    const moved = await engine.next();
    t.match(moved, { session: 78, sequence: 1 });
    engine.succeed(moved);
    t.match(await once, { revision: 9 });
  },
);

t.test('at the end, what was sent is unknown and what was not is not', async (t) => {
  const engine = new FakeEngine();
  const sent = engine.client.txn(put(), signal);
  const read = engine.client.range({ key: 'a' }, signal);
  await engine.openSession(77);
  await engine.next();
  engine.client.disconnected();
  const unsent = engine.client.txn(put(), signal);
  engine.client.end(new StoreError('CLOSED', 'store died'));
  await t.rejects(sent, { code: 'OUTCOME_UNKNOWN' });
  await t.rejects(unsent, { code: 'CLOSED' });
  await t.rejects(read, { code: 'CLOSED' });
  await t.rejects(engine.client.txn(put(), signal), { code: 'CLOSED' });
});

t.test('a write that waits to be asked for again is no write of the next session', async (t) => {
  const engine = new FakeEngine();
  const waiting = engine.client.txn(put('waiting'), signal);
  const once = engine.client.txn(put('once'), signal);
  await engine.openSession(77);
  engine.answer(await engine.next(), (out) => out.u8(ANSWER_NOT_KNOWN));
  engine.answer(await engine.next(), (out) => out.u8(ANSWER_NO_SESSION));
  await engine.openSession(78);
  const moved = await engine.next();
  t.match(moved, { session: 78, sequence: 1 });
  const again = await engine.next();
  t.match(again, { session: 77, sequence: 1 });
  engine.succeed(moved);
  engine.answer(again, (out) => out.u8(ANSWER_NO_SESSION));
  t.match(await once, { revision: 9 });
  await t.rejects(waiting, { code: 'OUTCOME_UNKNOWN' });
});

t.test('an outcome that stays hidden is unknown after a time', async (t) => {
  const timers: { ms: number; run: () => void }[] = [];
  const engine = new FakeEngine({
    soon: (run) => void setImmediate(run),
    later: (ms, run) => timers.push({ ms, run }),
  });
  const write = engine.client.txn(put(), signal);
  await engine.openSession(77);
  engine.answer(await engine.next(), (out) => out.u8(ANSWER_NOT_KNOWN));
  const retry = timers.find(({ ms }) => ms < OUTCOME_MS_MAX);
  const end = timers.find(({ ms }) => ms === OUTCOME_MS_MAX);
  retry?.run();
  const late = await engine.next();
  end?.run();
  await t.rejects(write, { code: 'OUTCOME_UNKNOWN' });
  engine.answer(late, (out) => out.u8(ANSWER_NOT_KNOWN));
  t.equal(timers.length, 2, 'it is asked for no more');
});

t.test('an answer that does not decode answers nothing', async (t) => {
  const engine = new FakeEngine();
  const write = engine.client.txn(put(), signal);
  await engine.openSession(77);
  const sent = await engine.next();
  t.throws(() => engine.answer(sent, (out) => out.u8(ANSWER_OK)), RangeError);
  engine.client.disconnected();
  engine.client.connected(engine);
  const again = await engine.next();
  t.match(again, { session: 77, sequence: sent.sequence });
  engine.succeed(again);
  t.match(await write, { revision: 9 });
});

t.test('close() ends when the link breaks before the last answer', async (t) => {
  const engine = new FakeEngine();
  const read = engine.client.range({ key: 'a' }, signal);
  const closed = engine.client.close();
  engine.client.disconnected();
  await t.rejects(read, { code: 'CLOSED' });
  await closed;
});

t.test('a watch whose slow reader comes after the link broke ends', async (t) => {
  const engine = new FakeEngine();
  const watch = engine.client.watch({ key: 'a' });
  const out = new ByteWriter();
  for (let i = 0; i <= WATCH_QUEUE_BATCHES_MAX; i++) {
    const lengthAt = beginFrame(out, 1, REPLY.progress);
    out.varint(5);
    endFrame(out, lengthAt);
  }
  engine.client.receive(out.take());
  engine.client.disconnected();
  let count = 0;
  const reading = (async () => {
    for await (const batch of watch) count += Number(batch.kind === 'progress');
  })();
  await t.rejects(reading, { code: 'UNAVAILABLE' });
  t.equal(count, WATCH_QUEUE_BATCHES_MAX, 'behind all that had come');
});

t.test('no more writes are under way than the store remembers', async (t) => {
  const engine = new FakeEngine();
  const count = SESSION_WINDOW + 10;
  const writes = Array.from({ length: count }, () => engine.client.txn(put(), signal));
  await engine.openSession(77);
  const oldest = await engine.next();
  const others: Sent[] = [];
  while (others.length < SESSION_WINDOW - 1) others.push(await engine.next());
  for (const sent of others) engine.succeed(sent);
  await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(engine.sent.length, 0, 'the oldest is not answered');
  engine.succeed(oldest);
  for (let i = SESSION_WINDOW; i < count; i++) engine.succeed(await engine.next());
  t.equal((await Promise.all(writes)).length, count);
});

t.test('a real store executes a write once, whose answer the client never saw', async (t) => {
  const disk = new MemoryDisk();
  const settings = { ballastPieceBytes: 512 };
  const io = { disk, random: () => 0.5, monotonicMs: () => 0, settings };
  const first = new TestMember(io);
  const { client } = first;
  const opened = client.txn(put('x'), signal);
  await first.run();
  await opened;
  first.keepsClient = true;
  const write = client.txn(put('a'), signal);
  const grant = client.leaseGrant(60, signal);
  await new Promise((resolve) => setImmediate(resolve)); // Sent, and on its way.
  first.dropsAnswers = true;
  await first.run();
  first.kill();
  const second = new TestMember(io, client);
  await second.run();
  t.match(await write, { succeeded: true, revision: 3 });
  const { leaseId } = await grant;
  t.equal(second.engine.state.leases.size, 1);
  t.ok(second.engine.state.leases.get(Number(leaseId)), 'the lease of the first attempt');
  const read = client.range({ key: 'a' }, signal);
  await second.run();
  t.match((await read).kvs[0], { version: 1 });
  second.kill();
});
