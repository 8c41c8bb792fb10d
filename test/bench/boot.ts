/**
 * The image's boot under QEMU, direct boot, on a machine that was configured before and serves the
 * sample: kernel start to supervisor (guest time), and from QEMU's start (wall time) to the Kubernetes
 * API answering, the node Ready and the sample's page; then, a minute later, memory in use and of each
 * process (PSS). Beside it the same kernel and root image with an empty Node process in the
 * supervisor's place, which is what no Node-based system can be faster than.
 *   boot.ts [--runs 3]     needs out/image (make image) and an idle machine
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Node } from '#base/kube/api/core-v1.gen.ts';
import { nodes } from '#base/kube/api/resources.gen.ts';
import { HttpsTransport } from '#base/kube/https-transport.ts';
import { createKubeClient } from '#base/kube/kube-client.ts';
import { loadKubeconfig } from '#base/kube/kubeconfig.ts';
import { COMMAND_LINE } from '#image/steps.ts';
import { machineFiles } from '../vm/machine-files.ts';
import { MachineRun, NODE_NAME } from '../vm/machine-run.ts';
import { fetchPage } from '../vm/operator.ts';
import { Machine } from '../vm/qemu.ts';
import { Steps } from '../vm/steps.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
const CHECKOUT = dirname(dirname(import.meta.dirname));
const IMAGE = join(CHECKOUT, 'out/image');
const POLL_MS = 250;
const DEADLINE_MS = 300_000;
const SETTLE_MS = 60_000;

/** Milliseconds of wall time until `attempt` first gives true. */
async function until(startedMs: number, attempt: () => Promise<boolean>): Promise<number> {
  for (;;) {
    const done = await attempt().catch(() => false); // Not up yet: the deadline decides.
    const passedMs = performance.now() - startedMs;
    if (done) return passedMs;
    if (passedMs > DEADLINE_MS) throw new Error(`not within ${DEADLINE_MS} ms`);
    await sleep(POLL_MS);
  }
}

/** Seconds since the kernel's start at which the empty Node process ran. */
async function emptyNode(dir: string): Promise<number> {
  const machine = await Machine.start({
    dir,
    boot: {
      kind: 'direct',
      kernel: join(IMAGE, 'vmlinuz'),
      initramfs: join(IMAGE, 'initramfs'),
      // What follows `--` is the kernel's to hand to process 1: stage0 runs it instead.
      commandLine: `${COMMAND_LINE} -- /usr/bin/node -p 'up:'+process.hrtime().join('.')`,
    },
    disk: undefined,
    memoryMiB: 2048,
    accelerator: 'tcg',
    forwards: new Map(),
  });
  try {
    const [, seconds, nanos] = await machine.waitFor(/up:(\d+)\.(\d+)/, DEADLINE_MS);
    return Number(seconds) + Number(nanos) / 1e9;
  } finally {
    await machine.kill();
  }
}

interface Boot {
  readonly supervisorS: number;
  readonly apiS: number;
  readonly readyS: number;
  readonly sampleS: number;
}

async function bootOnce(run: MachineRun): Promise<Boot> {
  const startedMs = performance.now();
  await run.start(true);
  const transport = new HttpsTransport(loadKubeconfig(run.files.kubeconfig));
  const client = createKubeClient(transport, { userAgent: 'bench' });
  const within = () => AbortSignal.timeout(5000);
  const apiMs = await until(startedMs, async () => {
    await client.raw({ method: 'GET', path: '/readyz' }, within());
    return true;
  });
  const { bootId } = await run.status();
  const readyMs = await until(startedMs, async () => {
    const node: Node = await client.get(nodes, { name: NODE_NAME }, within());
    const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
    return node.status?.nodeInfo?.bootID === bootId && ready?.status === 'True';
  });
  const sampleMs = await until(
    startedMs,
    async () => (await fetchPage(run.sampleUrl, 5000)).length > 0,
  );
  await transport.close();
  const supervisor = /bareboat \[(\d+\.\d+)\] supervisor started/.exec(run.machine.console());
  return {
    supervisorS: Number(supervisor?.[1]),
    apiS: apiMs / 1000,
    readyS: readyMs / 1000,
    sampleS: sampleMs / 1000,
  };
}

async function printMemory(run: MachineRun): Promise<void> {
  await sleep(SETTLE_MS);
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  const status = JSON.parse(await run.operator.bareboat('status', '-o', 'json'));
  const used = status.memoryTotalBytes - status.memoryAvailableBytes;
  console.log(`memory used ${SETTLE_MS / 1000} s after the sample was served: ${mb(used)} MB`);
  const services = JSON.parse(await run.operator.bareboat('services', '-o', 'json'));
  for (const { name, memoryBytes } of services) console.log(`  ${name}: ${mb(memoryBytes)} MB PSS`);
}

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-boot-'));
const run = await MachineRun.open(
  machineFiles(scratch, 'run'),
  IMAGE,
  new Steps((line) => console.error(line)),
);
try {
  await run.up({ fast: true });
  await run.machine.powerOff(120_000);
  const boots: Boot[] = [];
  const empty: number[] = [];
  for (let index = 0; index < Number(values.runs); index++) {
    empty.push(await emptyNode(scratch));
    boots.push(await bootOnce(run));
    if (index + 1 === Number(values.runs)) await printMemory(run);
    await run.machine.powerOff(120_000);
  }
  const at = (figure: keyof Boot) => median(boots.map((boot) => boot[figure])).toFixed(1);
  console.log(`${run.accelerator}, medians of ${values.runs} boots`);
  console.log(`kernel start to an empty Node process: ${median(empty).toFixed(1)} s of guest time`);
  console.log(`kernel start to supervisor: ${at('supervisorS')} s of guest time`);
  console.log(`QEMU start to API answering: ${at('apiS')} s`);
  console.log(`QEMU start to node Ready: ${at('readyS')} s`);
  console.log(`QEMU start to sample served: ${at('sampleS')} s`);
} finally {
  await run.machine.kill();
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(0);
