/**
 * `make run`, `make forward` and `make stop` as a person types them: the disk image that anybody would
 * flash, booted by UEFI firmware, to a served page, off and on again.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { ensureKubectl } from '#image/kubectl.ts';
import { ensureImage } from './image-build.ts';
import { machineFiles } from './machine-files.ts';
import { NODE_NAME } from './machine-run.ts';
import { command, eventually, fetchPage, Operator } from './operator.ts';
import { findFirmware, Machine } from './qemu.ts';
import { SAMPLE_MANIFESTS, SAMPLE_PAGE } from './sample.ts';
import { Steps } from './steps.ts';
import { hasQemu, scratchFolder } from './test-machine.ts';

/** Of one `make`. */
const MAKE_MS = 900_000;
const COMMAND_MS = 120_000;
const OTHER_PORT = 30_081;

if (!hasQemu()) {
  t.plan(0, 'QEMU is not installed: ./setup test installs it');
  process.exit(0);
}
t.setTimeout(1_700_000);

await ensureImage(new Steps((line) => t.comment(line)));
const scratch = scratchFolder(t, 'run');
const files = machineFiles(scratch, 'run');
const machine = new Machine(files.dir);
const operator = new Operator({ ...files, kubectl: await ensureKubectl() }, COMMAND_MS);

async function make(target: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const options = { env: { BAREBOAT_OUT: scratch, ...env }, timeoutMs: MAKE_MS };
  return command('make', ['--no-print-directory', ...target.split(' ')], options);
}

const namespaceUid = () =>
  operator.kubectl('get', 'namespace', 'default', '-o', 'jsonpath={.metadata.uid}');

t.test('a step that fails is named, with its cause and the log file', async (t) => {
  writeFileSync(files.record, JSON.stringify({ ports: {}, accelerator: 'none' }));
  await t.rejects(make('run'), {
    message: new RegExp(
      `failed: starting the machine: QEMU ended with code 1: .*none[^]*\nsee ${files.dir}/qemu.log`,
    ),
  });
  rmSync(files.record);
});

let uid = '';
t.test('make run: from a flashed disk, through firmware, to a served page', async (t) => {
  t.ok(findFirmware(), 'firmware is installed');
  const text = await make('run');
  t.comment(text);
  t.match(text, /firmware boot/);
  t.match(text, /fingerprint on the console: ([0-9A-F]{2}:){31}/);
  t.ok(text.includes(SAMPLE_PAGE));
  t.match(machine.console(), /maintenance mode/);
  t.match(await operator.kubectl('get', 'nodes'), new RegExp(`^${NODE_NAME} +Ready `, 'm'));
  uid = await namespaceUid();
});

t.test('make run, while the machine runs, leads to the same page', async (t) => {
  const text = await make('run');
  t.match(text, /it runs already/);
  t.ok(text.includes(SAMPLE_PAGE));
});

t.test('make forward', async (t) => {
  const found = /127\.0\.0\.1:(\d+)/.exec(await make(`forward PORT=${OTHER_PORT}`));
  const text = JSON.stringify(SAMPLE_MANIFESTS[1]).replace('"sample"', '"other"');
  const service = JSON.parse(text);
  service.spec.ports[0].nodePort = OTHER_PORT;
  await operator.apply(service);
  const url = `http://127.0.0.1:${found?.[1]}/`;
  t.equal(await eventually('the page', COMMAND_MS, () => fetchPage(url, 10_000)), SAMPLE_PAGE);
  await t.rejects(make('forward PORT=http'), { message: /PORT=http: expected a port/ });
});

t.test('make stop powers off in order', async (t) => {
  await make('stop');
  t.notOk(machine.isRunning());
  t.match(machine.console(), /power off/);
  t.match(await make('stop'), /no machine runs/);
});

t.test('FAST=1 make run goes on with the same disk', async (t) => {
  const text = await make('run', { FAST: '1' });
  t.match(text, /direct boot/);
  t.notMatch(text, /config apply/);
  t.ok(text.includes(SAMPLE_PAGE));
  t.equal(await namespaceUid(), uid, 'it is the same cluster');
  const { ports } = JSON.parse(readFileSync(files.record, 'utf8'));
  const url = `http://127.0.0.1:${ports[OTHER_PORT]}/`;
  t.equal(await eventually('the page', COMMAND_MS, () => fetchPage(url, 10_000)), SAMPLE_PAGE);
  t.ok(existsSync(files.clientConfig));
  t.match(await operator.bareboat('status'), /stage: +running/);
});
