/**
 * A machine in namespaces of this host whose files in STATE are damaged: it stays manageable, by its operator
 * and by nobody else. The tests run in the order in which they stand, on one machine.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { eventually } from '#test/vm/operator.ts';
import { MachineScene } from './machine-scene.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'a machine in namespaces needs root');
  process.exit(0);
}
t.setTimeout(290_000);

const scene = await MachineScene.open();
const { machine, operator } = scene;

t.teardown(async () => {
  if (!t.passing()) t.comment(machine.console());
  await scene[Symbol.asyncDispose]();
});

const isRunning = async () => (await scene.status()).stage === 'running';

t.test('a machine is set up', async (t) => {
  const fingerprint = await scene.start();
  await scene.init();
  await scene.applyFirst(fingerprint);
  await eventually('the machine knows its operator', 30_000, () => scene.status());
  await operator.bareboat('bootstrap');
  await eventually('the machine runs', 60_000, isRunning);
  t.ok(machine.pidOf('control'));
});

interface Service {
  readonly name: string;
  readonly state: string;
  readonly restarts: number;
  readonly lastExit: string;
}

const service = async (name: string): Promise<Service | undefined> => {
  const services: Service[] = JSON.parse(await operator.bareboat('services', '-o', 'json'));
  return services.find((one) => one.name === name);
};

t.test('a process that ends again and again is shown, and mended', async (t) => {
  writeFileSync(machine.path('/run/bareboat/config/agent.json'), '{"nodeName": ""}');
  process.kill(machine.pidOf('agent') ?? 0, 'SIGKILL');
  await eventually(
    'the crash loop is shown',
    60_000,
    async () => (await service('agent'))?.state === 'crash-loop',
  );
  t.match(await service('agent'), { lastExit: 'code 1' });
  t.match((await scene.status()).blockedBy, [
    /^service agent ended \d+ times in a row with code 1/,
  ]);
  const events = await operator.bareboat('events');
  t.match(events, /error agent: ended with code 1, .*crash loop: 5 times in a row: .*nodeName/);
  t.match(await operator.bareboat('logs', 'supervisor'), /info supervisor agent: started, pid/);
  await scene.apply({}); // What the machine wrote for its processes is written anew.
  await eventually('the machine runs', 60_000, isRunning);
  await eventually(
    'the loop is forgotten',
    60_000,
    async () => (await service('agent'))?.state === 'running',
  );
});

t.test('a damaged configuration leaves the machine to its operator', async (t) => {
  await machine.kill();
  writeFileSync(scene.stateFile('config.yaml'), 'node: {nam: n1}\n');
  const fingerprint = await scene.start();
  t.match(await scene.status(), {
    stage: 'degraded',
    blockedBy: [/^config\.yaml is damaged: .*node\.nam: unknown key; did you mean name\?/],
  });
  await t.rejects(scene.applyFirst(fingerprint), 'nobody comes in without a certificate');
  await t.rejects(operator.bareboat('kubeconfig'), { message: /config\.yaml is damaged/ });
  t.notOk(machine.pidOf('control'), 'nothing is started by guess');
  await scene.apply({});
  await eventually('the machine runs', 60_000, isRunning);
});

t.test('damaged secrets are taken again from nobody but their owner', async (t) => {
  await machine.kill();
  const path = scene.stateFile('secrets.yaml');
  writeFileSync(path, readFileSync(path).subarray(0, 99));
  const fingerprint = await scene.start();
  t.match(machine.console(), /maintenance mode: waiting for the secrets of its cluster\n/);
  await scene.init('strange');
  await t.rejects(scene.applyFirst(fingerprint, 'strange'), {
    message: /secrets\.yaml is damaged: .*; only the secrets of its own cluster are taken/,
  });
  await scene.applyFirst(fingerprint);
  await eventually('the machine runs', 60_000, isRunning);
  t.match(await operator.bareboat('kubeconfig'), /certificate-authority-data/);
});
