/**
 * The load generator, a process of its own: takes one Job over IPC and speaks to either store. Says when
 * the measured time begins and ends, so that the servers' CPU time is read at the same moments.
 */
import { must } from '#base/assert.ts';
import { connectBareboat } from './bareboat-session.ts';
import { EtcdSession } from './etcd-session.ts';
import type { Job, Message, Result } from './job.ts';
import { Latencies } from './latencies.ts';
import { keyOf } from './target.ts';
import type { Session } from './target.ts';

const WATCHES_PER_CONNECTION = 10;
/** Operations of an open loop that wait for answers; beyond it the store is taken for overwhelmed. */
const UNDER_WAY_MAX = 100_000;

function say(message: Message): void {
  process.send?.(message);
}

/** Runs one job against sessions that are open. */
class Load {
  readonly #job: Job;
  readonly #sessions: readonly Session[];
  readonly #value: Buffer;
  readonly #latencies = new Latencies();
  readonly #eventLatencies = new Latencies();
  #failed = 0;
  #underWay = 0;
  #fromMs = Number.POSITIVE_INFINITY;
  #toMs = Number.POSITIVE_INFINITY;

  constructor(job: Job, sessions: readonly Session[]) {
    this.#job = job;
    this.#sessions = sessions;
    this.#value = Buffer.alloc(job.valueBytes, 'x');
  }

  async run(): Promise<Result> {
    const { warmUpSeconds, seconds, rate, clients } = this.#job;
    const startMs = performance.now();
    this.#fromMs = startMs + warmUpSeconds * 1000;
    this.#toMs = this.#fromMs + seconds * 1000;
    setTimeout(() => say({ kind: 'begun' }), warmUpSeconds * 1000);
    const ended = new Promise((resolve) => setTimeout(resolve, this.#toMs - startMs));
    const load =
      rate > 0
        ? this.#openLoop(startMs)
        : Promise.all(Array.from({ length: clients }, (_, client) => this.#client(client)));
    // Who answers no more must not keep the others waiting for its result.
    await Promise.race([load, ended]);
    return {
      perSecond: this.#latencies.count / seconds,
      latency: this.#latencies.percentiles(),
      failed: this.#failed,
      eventsPerSecond: this.#eventLatencies.count / seconds,
      eventLatency: this.#eventLatencies.percentiles(),
    };
  }

  /** When the put was sent stands in its value. */
  readonly event = (value: Uint8Array): void => {
    const nowMs = performance.now();
    if (nowMs < this.#fromMs || nowMs > this.#toMs) return;
    const at = new DataView(value.buffer, value.byteOffset, 8).getFloat64(0);
    this.#eventLatencies.add(nowMs - at);
  };

  async #client(client: number): Promise<void> {
    const session = must(this.#sessions[client % this.#sessions.length], 'a session');
    for (let nowMs = performance.now(); nowMs < this.#toMs; nowMs = performance.now()) {
      await this.#operation(session, nowMs);
    }
  }

  async #openLoop(startMs: number): Promise<void> {
    const { rate } = this.#job;
    let begun = 0;
    for (let nowMs = startMs; nowMs < this.#toMs; nowMs = performance.now()) {
      const due = Math.floor(((nowMs - startMs) / 1000) * rate);
      for (; begun < due; begun++) {
        if (this.#underWay >= UNDER_WAY_MAX) throw new Error(`${UNDER_WAY_MAX} wait for answers`);
        const session = must(this.#sessions[begun % this.#sessions.length], 'a session');
        this.#operation(session, startMs + (begun / rate) * 1000).catch(fail);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #operation(session: Session, dueMs: number): Promise<void> {
    const key = keyOf(Math.floor(Math.random() * this.#job.keyCount));
    this.#underWay++;
    try {
      if (this.#job.operation === 'get') await session.get(key);
      else await session.put(key, this.#stamped());
    } catch {
      this.#failed++; // Counted; a run with failures is reported as such.
      return;
    } finally {
      this.#underWay--;
    }
    const doneMs = performance.now();
    if (doneMs >= this.#fromMs && doneMs <= this.#toMs) this.#latencies.add(doneMs - dueMs);
  }

  #stamped(): Uint8Array {
    if (this.#job.watches === 0) return this.#value;
    const value = Buffer.from(this.#value);
    value.writeDoubleBE(performance.now());
    return value;
  }
}

async function open({ access }: Job, count: number): Promise<Session[]> {
  const sessions: Session[] = [];
  for (let i = 0; i < count; i++) {
    const session =
      access.kind === 'etcd'
        ? await EtcdSession.connect(access)
        : await connectBareboat(access, new AbortController().signal);
    sessions.push(session);
  }
  return sessions;
}

async function main(job: Job): Promise<void> {
  const sessions = await open(job, job.connections);
  const load = new Load(job, sessions);
  for (const session of await open(job, Math.ceil(job.watches / WATCHES_PER_CONNECTION))) {
    for (let i = 0; i < WATCHES_PER_CONNECTION; i++)
      await session.watch(keyOf(0).slice(0, -11), load.event);
  }
  const result = await load.run();
  say({ kind: 'ended', result });
}

function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}

process.once('message', (job: Job) => void main(job).catch(fail));
