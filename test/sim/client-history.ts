/**
 * What clients were told, compared with the group's history of revisions. Each answer names its
 * revision, so the order of all operations is known and nothing is left to search for: the history is
 * linearizable when each answer is right at its revision, and revisions of operations that do not
 * overlap ascend. A write without an answer may have been executed, once, at any time after its call;
 * a write that was refused never is.
 */
import { assert } from '#base/assert.ts';
import type { KeyValue, RangeRequest, RangeResponse } from '#control/store/port.ts';
import type { Change, Revisions } from './revisions.ts';

export interface Found {
  readonly request: RangeRequest;
  readonly answer: RangeResponse;
  /** The revision that was read. */
  readonly at: number;
}

export interface ClientOperation {
  readonly client: number;
  readonly calledAt: number;
  readonly answeredAt: number;
  /** Of the answer: the own one of a write, the state's of a read. */
  readonly revision: number;
  /** A write that changed something: what. */
  readonly wrote?: Change;
  readonly found?: Found;
  /** A write on the condition that the key was changed last at `mod`. */
  readonly compared?: { readonly key: string; readonly mod: number; readonly succeeded: boolean };
  /** What a put replaced. */
  readonly previous?: { readonly key: string; readonly kv: KeyValue | undefined };
}

export class ClientHistory {
  readonly #revisions: Revisions;
  readonly #told: ClientOperation[] = [];
  readonly #unknown = new Map<string, number>();
  readonly #refused = new Map<string, string>();

  constructor(revisions: Revisions) {
    this.#revisions = revisions;
  }

  told(operation: ClientOperation): void {
    this.#told.push(operation);
  }

  /** Nobody knows whether the write of this value, and of others that begin so, was executed. */
  unknown(write: { readonly value: string; readonly calledAt: number }): void {
    this.#unknown.set(write.value, write.calledAt);
  }

  /** The write of this value was not executed, for this reason. */
  refused(value: string, reason: string): void {
    this.#refused.set(value, reason);
  }

  /** At the end: all of it. */
  check(): void {
    for (const operation of this.#told) this.#checkAnswer(operation);
    const writtenAt = this.#checkOnce();
    for (const [value, reason] of this.#refused) {
      const at = writtenAt.get(value);
      assert(at === undefined, `${value} was refused (${reason}), but is written at ${at}`);
    }
    this.#checkOrder(writtenAt);
  }

  #checkAnswer(operation: ClientOperation): void {
    const { revision, wrote, found, compared, previous, client } = operation;
    const revisions = this.#revisions;
    for (const [key, value] of wrote ?? []) {
      const change = revisions.at(revision);
      assert(change?.has(key) === true, `write of ${key} at ${revision} by ${client} is kept`);
      assert(change.get(key) === value, `write of ${key} at ${revision} is the one that was made`);
    }
    if (found !== undefined) this.#checkFound(found);
    if (previous !== undefined) {
      const { key, kv } = previous;
      const known = revisions.versionAt(key, revision - 1);
      assert(
        (kv !== undefined) === known.version > 0,
        `what ${key} was before ${revision} is told`,
      );
      if (kv !== undefined) revisions.check(kv, revision - 1);
    }
    if (compared !== undefined) {
      const { key, mod, succeeded } = compared;
      const known = revisions.versionAt(key, succeeded ? revision - 1 : revision);
      const isEqual = (known.version === 0 ? 0 : known.mod) === mod;
      assert(isEqual === succeeded, `comparison of ${key} with ${mod} before ${revision} holds`);
    }
  }

  #checkFound({ request, answer, at }: Found): void {
    const keys = this.#revisions.keysAt(request, at);
    const { limit = 0 } = request;
    const wanted = limit === 0 ? keys : keys.slice(0, limit);
    const found = answer.kvs.map(({ key }) => key);
    assert(found.join() === wanted.join(), `read at ${at} finds ${wanted.join()}: ${found.join()}`);
    assert(answer.count === keys.length, `read at ${at} counts ${keys.length}: ${answer.count}`);
    assert(answer.more === wanted.length < keys.length, `read at ${at} says whether there is more`);
    for (const kv of answer.kvs) this.#revisions.check(kv, at);
  }

  /** Values are unique: none may be written twice, told or not. Returns where each was written. */
  #checkOnce(): ReadonlyMap<string, number> {
    const writtenAt = new Map<string, number>();
    for (let revision = 0; revision <= this.#revisions.last; revision++) {
      for (const value of this.#revisions.at(revision)?.values() ?? []) {
        if (value === undefined) continue;
        const before = writtenAt.get(value);
        assert(before === undefined, `${value} is written at ${before} and at ${revision}`);
        writtenAt.set(value, revision);
      }
    }
    return writtenAt;
  }

  #checkOrder(writtenAt: ReadonlyMap<string, number>): void {
    const calls: { calledAt: number; revision: number; isWrite: boolean; what: string }[] = [];
    for (const { client, calledAt, revision, wrote } of this.#told) {
      calls.push({ calledAt, revision, isWrite: wrote !== undefined, what: `client ${client}` });
    }
    for (const [value, calledAt] of this.#unknown) {
      const revision = writtenAt.get(value);
      if (revision !== undefined) calls.push({ calledAt, revision, isWrite: true, what: value });
    }
    calls.sort((a, b) => a.calledAt - b.calledAt);
    const byAnswer = this.#told.toSorted((a, b) => a.answeredAt - b.answeredAt);
    let done = 0;
    let highest = 0;
    for (const { calledAt, revision, isWrite, what } of calls) {
      for (; (byAnswer[done]?.answeredAt ?? Infinity) < calledAt; done++) {
        highest = Math.max(highest, byAnswer[done]?.revision ?? 0);
      }
      const least = isWrite ? highest + 1 : highest;
      assert(revision >= least, `${what} is at ${revision}, behind an answer at ${highest}`);
    }
  }
}
