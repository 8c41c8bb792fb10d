/** Our store with three members as processes on loopback. */
import { must } from '#base/assert.ts';
import type { Figures } from '#control/store/measure.ts';
import type { OwnStore } from '#control/store/store.ts';
import { StoreGroup } from '../../contract/store-process.ts';
import type { Access, Group } from './target.ts';

const MEMBERS = [0, 1, 2];
const STATUS_MS_MAX = 1000;

export class BareboatGroup implements Group {
  readonly name = 'bareboat';
  readonly #group: StoreGroup;
  /** To each member. */
  readonly #stores: readonly OwnStore[];
  readonly #signal: AbortSignal;

  private constructor(group: StoreGroup, stores: readonly OwnStore[], signal: AbortSignal) {
    this.#group = group;
    this.#stores = stores;
    this.#signal = signal;
  }

  static async start(settings: object, signal: AbortSignal): Promise<BareboatGroup> {
    const group = await StoreGroup.start({ measure: true, ...settings }, signal);
    const stores = await Promise.all(MEMBERS.map((number) => group.connect([number], signal)));
    return new BareboatGroup(group, stores, signal);
  }

  get pids(): readonly number[] {
    return this.#group.members.map(({ pid }) => must(pid, 'a member runs'));
  }

  async access(): Promise<Access> {
    const { number } = await this.leader();
    const numbers = [...MEMBERS.slice(number), ...MEMBERS.slice(0, number)];
    const { addresses, credentials, memberKeys } = this.#group.access(numbers);
    const { privateKey, certificate } = credentials;
    return { kind: 'bareboat', addresses, credentials: { privateKey, certificate }, memberKeys };
  }

  async leader(): Promise<{ number: number; term: number }> {
    for (;;) {
      for (const [number, store] of this.#stores.entries()) {
        const status = await store
          .memberStatus(AbortSignal.timeout(STATUS_MS_MAX))
          .catch(() => undefined); // Down: another one is asked.
        if (status !== undefined && status.leaderId === status.memberId) {
          return { number, term: status.raftTerm };
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async kill(number: number): Promise<void> {
    await this.#member(number).end('SIGKILL');
  }

  async stop(number: number): Promise<void> {
    await this.#member(number).end('SIGTERM');
  }

  /** Until a linearizable read through it is answered. */
  async start(number: number): Promise<void> {
    await this.#member(number).start();
    await must(this.#stores[number], 'a member').range({ key: 'x' }, this.#signal);
  }

  async compact(): Promise<void> {
    const { number } = await this.leader();
    const store = must(this.#stores[number], 'a member');
    const { revision, compactRevision } = await store.memberStatus(this.#signal);
    if (revision > compactRevision) await store.compact(revision, this.#signal);
  }

  /** What each member measured since this was last asked. */
  async figures(): Promise<readonly Figures[]> {
    const texts = await Promise.all(MEMBERS.map((number) => this.#member(number).figures()));
    return texts.map((text) => JSON.parse(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#group[Symbol.asyncDispose]();
  }

  #member(number: number) {
    return must(this.#group.members[number], 'one of three');
  }
}
