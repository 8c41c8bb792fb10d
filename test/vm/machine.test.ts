/**
 * The image as a machine, from a blank disk to a served page by the operator's own path, then through a
 * reboot and a power cut. One machine for all tests, which run in the order in which they stand.
 * Deadlines are generous: under software emulation everything takes twenty times as long.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ensureImage } from './image-build.ts';
import { machineFiles } from './machine-files.ts';
import { MachineRun } from './machine-run.ts';
import { eventually } from './operator.ts';
import { SAMPLE_PAGE } from './sample.ts';
import { Steps } from './steps.ts';

const WAIT_MS = 240_000;

const hasQemu = ['/usr/bin/qemu-system-x86_64', '/usr/bin/qemu-system-aarch64'].some((path) =>
  existsSync(path),
);
if (!hasQemu) {
  t.plan(0, 'QEMU is not installed: ./setup test installs it');
  process.exit(0);
}
t.setTimeout(1_500_000);

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-vm-'));
const steps = new Steps((line) => t.comment(line));
const image = await ensureImage(steps);
const run = await MachineRun.open(machineFiles(scratch, 'run'), image, steps);
const { operator, machine } = run;

t.teardown(async () => {
  await machine.kill();
  rmSync(scratch, { recursive: true, force: true });
});

const pods = async () => {
  const path = '{range .items[*]}{.metadata.name}={.status.containerStatuses[0].containerID} {end}';
  return (await operator.kubectl('get', 'pods', '-o', `jsonpath=${path}`)).trim();
};

t.test('a blank disk boots into maintenance mode and refuses a wrong fingerprint', async (t) => {
  run.prepareDisk();
  await run.start(true);
  const { fingerprint, maintenance } = await run.awaitConsole();
  t.ok(maintenance);
  await operator.bareboat(
    'init',
    '--cluster',
    'c',
    '--node',
    'n',
    '--output',
    join(scratch, 'other'),
  );
  const wrong = fingerprint.replace(/^../, fingerprint.startsWith('00') ? '11' : '00');
  const files = [join(scratch, 'other/n.yaml'), '--secrets', join(scratch, 'other/secrets.yaml')];
  await t.rejects(
    operator.bareboat(
      '--endpoint',
      run.endpoint,
      'config',
      'apply',
      ...files,
      '--insecure',
      '--fingerprint',
      wrong,
    ),
    { message: /expected/ },
  );
});

t.test("the operator's path leads to a served page", async (t) => {
  t.equal((await run.up({ fast: true })).trim(), SAMPLE_PAGE.trim());
  t.match(await operator.kubectl('get', 'nodes'), / Ready /);
  const [name = ''] = (await operator.kubectl('get', 'pods', '-o', 'name')).split('\n');
  t.equal(
    (await operator.kubectl('exec', name, '--', 'hostname')).trim(),
    name.replace('pod/', ''),
  );
  await operator.kubectl('scale', 'deployment/sample', '--replicas=3');
  await operator.kubectl('rollout', 'status', 'deployment/sample', '--timeout=110s');
});

t.test('a machine that lost its power comes back with all that was acknowledged', async (t) => {
  const kept: string[] = [];
  for (let index = 0; index < 5; index++) {
    const name = `kept-${index}`;
    await operator.kubectl('create', 'configmap', name, `--from-literal=n=${index}`);
    kept.push(name);
  }
  const before = await pods();
  await machine.kill();
  await run.start(true);
  await run.awaitConsole();
  await run.awaitApi();
  const there = await operator.kubectl('get', 'configmaps', '-o', 'name');
  for (const name of kept) t.ok(there.includes(`configmap/${name}`), name);
  t.equal((await run.fetchSample()).trim(), SAMPLE_PAGE.trim());
  await eventually('the pods run again', WAIT_MS, async () => {
    const path = '{.status.readyReplicas}';
    return (await operator.kubectl('get', 'deployment/sample', '-o', `jsonpath=${path}`)) === '3';
  });
  t.not(await pods(), before, 'their containers are new');
});

t.test('a reboot by the API is orderly', async (t) => {
  const { bootId } = await run.status();
  await operator.bareboat('reboot');
  await eventually('another boot', WAIT_MS, async () => (await run.status()).bootId !== bootId);
  await run.awaitApi();
  t.equal((await run.fetchSample()).trim(), SAMPLE_PAGE.trim());
});
