/**
 * The twin against a real etcd, so that what our store is compared with is not our own opinion.
 * Needs an etcd binary: ETCD, or what `upstream build` made, or Debian's. Two differences are known,
 * and the random steps avoid them:
 * - etcd does not see that a deletion up to the end of the key space (`\0`) overlaps a put of the
 *   same transaction; we refuse it as we refuse other overlaps.
 * - etcd accepts one compaction at revision 0 on a fresh store; it does nothing there.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { EtcdGateway } from './etcd-gateway.ts';
import { compareSteps } from './store-compare.ts';
import { steps } from './store-random.ts';
import type { Step } from './store-random.ts';

const CANDIDATES = [
  process.env['ETCD'] ?? '',
  join(homedir(), '.cache/bareboat-upstream/v1.36.3/bin/etcd'),
  '/usr/bin/etcd',
];
const START_TIMEOUT_MS = 15_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // A TCP server's.
  server.close();
  await once(server, 'close');
  return port;
}

async function untilHealthy(url: string): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    try {
      if ((await fetch(`${url}/health`)).ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`etcd at ${url} did not get healthy in ${START_TIMEOUT_MS} ms`);
}

/** Steps before the first compaction: by then the revision is above what compactions go back. */
const STEPS_BEFORE_COMPACTION = 200;

function isKnownDifference(step: Step, number: number): boolean {
  if (step.kind === 'compact') return number < STEPS_BEFORE_COMPACTION;
  if (step.kind !== 'txn') return false;
  const operations = [...step.request.success, ...step.request.failure];
  return operations.some((op) => op.kind === 'deleteRange' && op.request.rangeEnd === '\0');
}

const binary = CANDIDATES.find((path) => path !== '' && existsSync(path));
const skip = binary === undefined && 'no etcd binary: run `../shared/tools/upstream build etcd`';

t.test('the twin answers like etcd', { skip }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'store-etcd-'));
  const [client, peer] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const flags = {
    '--data-dir': dataDir,
    '--listen-client-urls': url,
    '--advertise-client-urls': url,
    '--listen-peer-urls': peerUrl,
    '--initial-advertise-peer-urls': peerUrl,
    '--initial-cluster': `default=${peerUrl}`,
    '--log-level': 'fatal',
  };
  const args = ['--unsafe-no-fsync', ...Object.entries(flags).flat()];
  const etcd = spawn(binary ?? '', args, { stdio: 'ignore' });
  const exited = once(etcd, 'exit');
  t.teardown(async () => {
    etcd.kill('SIGKILL');
    await exited;
    rmSync(dataDir, { recursive: true });
  });
  await untilHealthy(url);
  // One long run, since the twin follows one etcd from its first revision on.
  const list = fc.sample(steps(false), { numRuns: 400, seed: 4 }).flat();
  const comparable = list.filter(
    (step, number) => step.kind !== 'watch' && !isKnownDifference(step, number),
  );
  await compareSteps({ store: new EtcdGateway(url) }, comparable);
  t.ok(comparable.length > 1000, `${comparable.length} steps compared`);
});
