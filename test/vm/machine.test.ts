/**
 * The image as a machine, from a blank disk to a served page by the operator's own path, then through
 * everything that may happen to it. One machine for all tests, which run in the order in which they
 * stand; QEMU loads the kernel (firmware.test.ts boots what is flashed). Deadlines are generous: under
 * software emulation everything takes twenty times as long.
 */
import t from 'tap';
import { checkFullDisk } from './full-disk-checks.ts';
import { startHands } from './hands.ts';
import { checkKills } from './kill-checks.ts';
import { checkKubectl } from './kubectl-checks.ts';
import { eventually } from './operator.ts';
import { checkMaintenanceRefusals, checkRefusals } from './refusal-checks.ts';
import { SAMPLE_PAGE } from './sample.ts';
import { hasQemu, openTestMachine } from './test-machine.ts';

const WAIT_MS = 240_000;

if (!hasQemu()) {
  t.plan(0, 'QEMU is not installed: ./setup test installs it');
  process.exit(0);
}
t.setTimeout(1_700_000);

const run = await openTestMachine(t);
const { operator, machine } = run;

const containerIds = async () => {
  const path = '{range .items[*]}{.metadata.name}={.status.containerStatuses[0].containerID} {end}';
  return (
    await operator.kubectl('get', 'pods', '-l', 'app=sample', '-o', `jsonpath=${path}`)
  ).trim();
};

t.test('a blank disk boots into maintenance mode, which refuses', async (t) => {
  run.prepareDisk();
  await run.start(true);
  const { fingerprint, maintenance } = await run.awaitConsole();
  t.ok(maintenance);
  await checkMaintenanceRefusals(t, run, fingerprint);
});

t.test("the operator's path leads to a served page", async (t) => {
  t.equal((await run.up({ fast: true })).trim(), SAMPLE_PAGE.trim());
});

t.test('kubectl', (t) => checkKubectl(t, run));

t.test('a running machine refuses', (t) => checkRefusals(t, run));

t.test('SIGKILL of each process', async (t) => {
  await startHands(run);
  await checkKills(t, run);
});

t.test('a full volume DATA', (t) => checkFullDisk(t, run));

t.test('a machine that lost its power comes back with all that was acknowledged', async (t) => {
  const kept: string[] = [];
  for (let index = 0; index < 5; index++) {
    const name = `kept-${index}`;
    await operator.kubectl('create', 'configmap', name, `--from-literal=n=${index}`);
    kept.push(name);
  }
  const before = await containerIds();
  await machine.kill();
  await run.start(true);
  await run.awaitConsole();
  await run.awaitApi();
  const there = await operator.kubectl('get', 'configmaps', '-o', 'name');
  for (const name of kept) t.ok(there.includes(`configmap/${name}`), name);
  t.equal((await run.fetchSample()).trim(), SAMPLE_PAGE.trim());
  await eventually('the pods run again', WAIT_MS, async () => {
    const path = '{.status.readyReplicas}';
    return (await operator.kubectl('get', 'deployment/sample', '-o', `jsonpath=${path}`)) === '2';
  });
  t.not(await containerIds(), before, 'their containers are new');
});

t.test('a reboot by the API is orderly', async (t) => {
  const { bootId } = await run.status();
  await operator.bareboat('reboot');
  await machine.waitFor(/Restarting system[^]*machine API: /, WAIT_MS);
  await eventually('another boot', WAIT_MS, async () => (await run.status()).bootId !== bootId);
  await run.awaitApi();
  t.equal((await run.fetchSample()).trim(), SAMPLE_PAGE.trim());
});
