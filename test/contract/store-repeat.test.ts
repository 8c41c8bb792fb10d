/**
 * Goal: a command that is applied twice is executed once, and answered both times alike. Method:
 * random transactions under session numbers, each applied again at once and later; the answers are
 * decoded and compared, and the second application changes nothing.
 */
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { ByteReader, ByteWriter } from '#control/store/codec/bytes.ts';
import { COMMAND, beginCommand, encodeTxn } from '#control/store/codec/command.ts';
import { readError, readTxnResponse } from '#control/store/codec/reply.ts';
import { ANSWER_ERROR, StateMachine } from '#control/store/engine/state-machine.ts';
import { crc32 } from '#control/store/native-digests.ts';
import { NO_LEASE, StoreError } from '#control/store/store.ts';
import { formatHash } from '#control/store/mvcc/state-hash.ts';
import type { TxnRequest } from '#control/store/store.ts';
import { buildTxn, txn } from './store-steps.ts';

type Answer = { readonly error: string } | { readonly response: unknown };

class Host {
  readonly state = new StateMachine(crc32);
  readonly session: number;

  constructor() {
    this.#apply((out) => beginCommand(out, COMMAND.openSession));
    this.session = this.state.appliedIndex;
  }

  compact(revision: number): void {
    this.#apply((out) => {
      beginCommand(out, COMMAND.compact);
      out.varint(revision);
    });
  }

  txn(request: TxnRequest, sequence: number): Answer {
    const origin = { session: this.session, sequence };
    const answer = this.#apply((out) => encodeTxn(out, request, origin));
    if (answer.u8() === ANSWER_ERROR) return { error: readError(answer).code };
    return { response: readTxnResponse(answer) };
  }

  /** What a second application must leave as it is. */
  get hash(): string {
    const { mvcc, sessions } = this.state;
    return `${formatHash(mvcc.recordsHash)} ${formatHash(sessions.hash)} ${mvcc.revision}`;
  }

  #apply(write: (out: ByteWriter) => void): ByteReader {
    const out = new ByteWriter();
    write(out);
    const reply = new ByteWriter();
    const index = this.state.appliedIndex + 1;
    this.state.apply({ index, term: 1, data: out.take() }, reply);
    return new ByteReader(reply.take());
  }
}

function same(first: Answer, second: Answer, request: TxnRequest): void {
  if (isDeepStrictEqual(first, second)) return;
  const show = (value: unknown) => inspect(value, { depth: 9 });
  throw new Error(`${show(request)}\nfirst ${show(first)}\nthen ${show(second)}`);
}

/** Early revisions, and leases that do not exist. */
const names = {
  revision: (at: { back: number } | undefined) => Math.max(0, at?.back ?? 0),
  leaseId: (slot: number) => (slot === 0 ? NO_LEASE : '1000000'),
};

t.test('a transaction sent twice is executed once and answered alike', (t) => {
  const step = fc.record({
    request: txn.map((step) => buildTxn(step, names)),
    compactBack: fc.option(fc.nat(6), { freq: 8 }),
    again: fc.nat(10),
  });
  let unknown = 0;
  let repeats = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const host = new Host();
      const answered: { request: TxnRequest; answer: Answer; revision: number }[] = [];
      const repeat = (number: number) => {
        const was = answered[number];
        if (was === undefined) return;
        const before = host.hash;
        const answer = host.txn(was.request, number + 1);
        if (host.hash !== before) throw new Error('the second application changed something');
        repeats++;
        const isCompacted = was.revision <= host.state.mvcc.compactRevision;
        if (isCompacted && isDeepStrictEqual(answer, { error: 'OUTCOME_UNKNOWN' })) unknown++;
        else same(was.answer, answer, was.request);
      };
      for (const { request, compactBack, again } of steps) {
        let answer: Answer;
        try {
          answer = host.txn(request, answered.length + 1);
        } catch (error) {
          if (!(error instanceof StoreError)) throw error; // Refused where it is encoded.
          continue;
        }
        const { revision } = host.state.mvcc;
        answered.push({ request, answer, revision });
        repeat(answered.length - 1);
        if (compactBack !== null) host.compact(Math.max(1, revision - compactBack));
        repeat(answered.length - 1 - again);
        host.state.mvcc.compactSlice();
      }
    }),
    { numRuns: 400 },
  );
  t.ok(unknown * 4 < repeats, `${unknown} of ${repeats} repeats came too late`);
  t.end();
});
