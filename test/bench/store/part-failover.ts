/** Leaders killed: how long until the next write is accepted. */
import { StoreError } from '#control/store/store.ts';
import { BareboatGroup } from './bareboat-group.ts';
import { connectBareboat } from './bareboat-session.ts';
import type { Bench } from './bench.ts';
import { EtcdGroup } from './etcd-group.ts';
import { EtcdSession } from './etcd-session.ts';
import { Latencies } from './latencies.ts';
import { atMost, formatTable } from './table.ts';
import type { Row } from './table.ts';
import { keyOf } from './target.ts';
import type { Access, Group, Session } from './target.ts';

/** As ours is shipped, and as etcd is. */
const TIMERS = [
  { what: 'timers of 50 ms and 500 ms', timers: { heartbeatMs: 50, electionMs: 500 } },
  { what: 'timers of 100 ms and 1 s', timers: { heartbeatMs: 100, electionMs: 1000 } },
] as const;

/** Before the next kill all members are there, and a moment has passed. */
const REST_MS = 500;
const RETRY_MS = 20;

export async function failoverPart(bench: Bench): Promise<string> {
  const rows: Row[] = [];
  for (const { what, timers } of TIMERS) {
    await using ours = await BareboatGroup.start(timers, bench.signal);
    const own = await killLeaders(bench, ours, bench.settings.kills);
    let theirs: readonly number[] = [];
    if (bench.etcdBinary !== undefined) {
      await using etcd = await EtcdGroup.start({ binary: bench.etcdBinary, ...timers });
      theirs = await killLeaders(bench, etcd, Math.ceil(bench.settings.kills / 5));
    }
    rows.push(...failoverRows(what, own, theirs));
  }
  return formatTable(
    `Leader killed to next accepted write, ${bench.settings.kills} times (etcd ${Math.ceil(bench.settings.kills / 5)})`,
    rows,
  );
}

function failoverRows(what: string, own: readonly number[], theirs: readonly number[]): Row[] {
  const figure = (name: 'p50' | 'p99' | 'max', goal?: Row['goal']): Row => ({
    what: `${what}: ${name}, ms`,
    digits: 0,
    ours: [of(own)[name]],
    etcd: theirs.length === 0 ? [] : [of(theirs)[name]],
    goal,
  });
  return [figure('p50', atMost(1000, 'ms')), figure('p99', atMost(2500, 'ms')), figure('max')];
}

function of(milliseconds: readonly number[]) {
  const latencies = new Latencies();
  for (const value of milliseconds) latencies.add(value);
  return latencies.percentiles();
}

async function killLeaders(bench: Bench, group: Group, kills: number): Promise<readonly number[]> {
  const outages: number[] = [];
  const access = await group.access();
  const writer = await makeWriter(access, bench.signal);
  for (let kill = 0; kill < kills; kill++) {
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    await writer.put();
    const { number } = await group.leader();
    const startMs = performance.now();
    await group.kill(number);
    await writer.put();
    outages.push(performance.now() - startMs);
    await group.start(number);
  }
  const { p50, p99, max } = of(outages);
  bench.say(
    `${group.name}: ${kills} leaders killed, p50 ${p50.toFixed(0)}, p99 ${p99.toFixed(0)}, max ${max.toFixed(0)} ms`,
  );
  writer.close();
  return outages;
}

interface Writer {
  /** Resolves with the first write that is accepted. */
  put(): Promise<void>;
  close(): void;
}

async function makeWriter(access: Access, signal: AbortSignal): Promise<Writer> {
  const value = Buffer.from('x');
  if (access.kind === 'bareboat') {
    // The client that ships finds its way by itself.
    const session = await connectBareboat(access, signal);
    const put = async () => {
      for (;;) {
        try {
          return await session.put(keyOf(0), value);
        } catch (error) {
          if (!(error instanceof StoreError)) throw error; // Refused or unknown: written anew.
          await pause();
        }
      }
    };
    return { put, close: () => session.close() };
  }
  // A write that meets no leader would wait until etcd gives it up: new ones are sent all the time, to
  // all members, and the first that is accepted counts.
  const sessions = new Map<string, Session>();
  const attempt = async (address: string) => {
    try {
      const known = sessions.get(address);
      const session = known ?? (await EtcdSession.connect({ ...access, addresses: [address] }));
      sessions.set(address, session);
      await session.put(keyOf(0), value);
      return true;
    } catch {
      sessions.delete(address); // Down, or without a leader.
      return false;
    }
  };
  const put = async () => {
    const accepted = Promise.withResolvers<void>();
    const attempts = setInterval(() => {
      for (const address of access.addresses) {
        attempt(address).then((isAccepted) => isAccepted && accepted.resolve(), accepted.reject);
      }
    }, RETRY_MS);
    await accepted.promise;
    clearInterval(attempts);
  };
  const close = () => {
    for (const session of sessions.values()) session.close();
  };
  return { put, close };
}

async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}
