/**
 * Puts per second of the store on its worker, from clients in this process: closed loop, random keys
 * of 40 bytes, values of 256 bytes. `node test/bench/store/local.ts [seconds] [inline]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { openStore, startStoreWorker } from '#control/store/store.ts';
import type { Store } from '#control/store/store.ts';

const secondsPerRun = Number(process.argv[2] ?? 3);
const inline = process.argv[3] === 'inline';
const signal = new AbortController().signal;
const KEY_COUNT = 100_000;
const value = new Uint8Array(256).fill(120);

function keyOf(number: number): string {
  return `/registry/configmaps/default/${String(number).padStart(11, '0')}`;
}

function put(store: Store, number: number): Promise<unknown> {
  const request = { key: keyOf(number), value };
  const success = [{ kind: 'put', request }] as const;
  return store.txn({ compare: [], success, failure: [] }, signal);
}

async function get(store: Store, number: number): Promise<unknown> {
  return store.range({ key: keyOf(number) }, signal);
}

function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

async function run(
  name: string,
  clients: number,
  operation: (number: number) => Promise<unknown>,
): Promise<void> {
  const latencies: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + secondsPerRun * 1000;
  const cpuBefore = process.cpuUsage();
  const client = async () => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      await operation(Math.floor(Math.random() * KEY_COUNT));
      const doneMs = performance.now();
      latencies.push(doneMs - nowMs);
      nowMs = doneMs;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - startMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const sorted = Float64Array.from(latencies).sort();
  const cpuMsPer10k = (cpu.user + cpu.system) / 1000 / (latencies.length / 10_000);
  process.stdout.write(
    `${name} ${clients} clients: ${Math.round(latencies.length / seconds)}/s ` +
      `p50 ${percentile(sorted, 0.5).toFixed(2)} p99 ${percentile(sorted, 0.99).toFixed(2)} ` +
      `max ${percentile(sorted, 1).toFixed(1)} ms, ` +
      `${cpuMsPer10k.toFixed(0)} CPU ms per 10,000 (client and store)\n`,
  );
}

const dataDir = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'store-bench-'));
const onFailure = (error: Error) => {
  throw error;
};
const store = inline
  ? await openStore({ dataDir, clock: new RealClock(), log: silentLog })
  : await startStoreWorker({ dataDir, logLevel: 'warn', onFailure }, signal);
try {
  for (const clients of [1, 64, 1000]) await run('put', clients, (n) => put(store, n));
  for (const clients of [1, 64, 1000]) await run('get', clients, (n) => get(store, n));
  const { keyCount, liveBytes, walBytes } = await store.memberStatus(signal);
  const { rss, heapUsed } = process.memoryUsage();
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  process.stdout.write(
    `${keyCount} keys, live ${mb(liveBytes)}, log ${mb(walBytes)}, ` +
      `rss ${mb(rss)}, main heap ${mb(heapUsed)}\n`,
  );
} finally {
  await store.close();
  rmSync(dataDir, { recursive: true });
}
