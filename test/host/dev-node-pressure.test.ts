/**
 * A node with a small disk: unused images go first, then the pod that fills it; pods keep to their own limits;
 * crashed containers leave one record. Everything in upstream's words.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cannotRun, eventually, pod, scriptPod, TestNode } from './node.ts';
import { noRegistry, push, type Registry, startRegistry } from './registry.ts';
import { busyboxLayer, makeTar, ociParts } from './runtime-images.ts';

const reason = cannotRun() ?? noRegistry();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

const MI = 2 ** 20;
const DISK_BYTES = 800 * MI;
const IMAGE_BYTES = 60 * MI;
const WAIT_MS = 60_000;
const FOREVER = 'trap exit TERM; sleep 1000000 & wait';

let node: TestNode;
let registry: Registry;

t.before(async () => {
  node = await TestNode.start([], {
    bytes: DISK_BYTES,
    kubelet: { imageMinimumGCAge: '1s', evictionPressureTransitionPeriod: '5s' },
  });
  registry = await startRegistry({
    dir: join(node.scratch, 'registry'),
    netnsOf: node.pidOf('agent') ?? 0,
    host: node.identity.nodeIp,
    port: 5000,
    authenticated: false,
  });
});
t.teardown(async () => {
  registry[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

// oxlint-disable-next-line typescript/no-explicit-any -- What a test looks into is what it is about.
const nodeObject = (): Promise<any> => node.get('node', node.identity.nodeName);
const pressure = async (): Promise<string> => {
  const { status } = await nodeObject();
  return status.conditions.find((c: { type: string }) => c.type === 'DiskPressure').status;
};
const imageNames = async (): Promise<string> => {
  const { status } = await nodeObject();
  return status.images.flatMap(({ names }: { names: string[] }) => names).join(' ');
};
/** As the kubelet sees it. */
// oxlint-disable-next-line typescript/no-explicit-any -- idem
const summary = async (): Promise<any> => {
  const path = `/api/v1/nodes/${node.identity.nodeName}/proxy/stats/summary`;
  return JSON.parse(await node.kubectl('get', '--raw', path));
};
const onDisk = (name: string, script: string) => {
  const volumes = [{ name: 'space', emptyDir: {} }];
  const main = { command: ['sh', '-c', script] };
  const mounts = { volumeMounts: [{ name: 'space', mountPath: '/space' }] };
  return pod(name, { ...main, ...mounts }, { spec: { volumes, restartPolicy: 'Always' } });
};

t.test('a container that crashes leaves one dead instance', async (t) => {
  const spec = { restartPolicy: 'Always' };
  await node.create(scriptPod('crashes', 'echo gone; exit 1', { spec }));
  await eventually('it crashed twice', async () => {
    const [status] = (await node.get('pod', 'crashes')).status.containerStatuses;
    return status.restartCount >= 1 && status.state.waiting?.reason === 'CrashLoopBackOff';
  });
  const records = join(node.identity.dir, 'var/lib/bareboat/agent/runtime/containers');
  const names = () =>
    readdirSync(records).map((id) => {
      return JSON.parse(readFileSync(join(records, id, 'record.json'), 'utf8')).spec.attempt;
    });
  await eventually('one is left', () => names().length === 1);
  t.match(await node.kubectl('logs', 'crashes', '--previous'), 'gone');
  await node.kubectl('delete', 'pod', 'crashes', '--now');
});

t.test('a pod that writes more than its limit is evicted', async (t) => {
  const limits = { 'ephemeral-storage': '10Mi' };
  const script = `head -c ${20 * MI} /dev/urandom > /written; ${FOREVER}`;
  await node.create(pod('greedy', { command: ['sh', '-c', script], resources: { limits } }));
  await node.waitFor('greedy', '{.status.phase}', 'Failed');
  t.match((await node.get('pod', 'greedy')).status, {
    reason: 'Evicted',
    message: 'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ',
  });
  t.equal(await pressure(), 'False', 'that is its own doing');
  await node.kubectl('delete', 'pod', 'greedy', '--now');
});

t.test('unused images make room before a pod has to', async (t) => {
  const large = await makeTar([{ name: 'large', content: randomBytes(IMAGE_BYTES) }]);
  await push(registry, 'demo/large', ociParts({ layers: [await busyboxLayer(), large], tag: '' }));
  const image = 'localhost:5000/demo/large:v1'; // Of the same network namespace.
  await node.create(pod('uses', { image, command: ['sh', '-c', 'exit 0'] }));
  await node.waitFor('uses', '{.status.phase}', 'Succeeded');
  await eventually('the image is shown', async () => (await imageNames()).includes(image));
  await node.create(onDisk('bystander', FOREVER), onDisk('filler', FOREVER));
  for (const name of ['bystander', 'filler']) {
    await node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
  }
  const { fs, runtime } = (await summary()).node;
  t.equal(fs.capacityBytes, DISK_BYTES);
  t.ok(runtime.imageFs.usedBytes > IMAGE_BYTES);
  // Below 15 % by less than the image has.
  const bytes = fs.availableBytes - Math.floor(0.15 * DISK_BYTES) + IMAGE_BYTES / 2;
  await node.exec('filler', `head -c ${Math.floor(bytes)} /dev/zero > /space/filled`);
  await eventually('DiskPressure', async () => (await pressure()) === 'True', WAIT_MS);
  await eventually(
    'the image has gone',
    async () => !(await imageNames()).includes(image),
    WAIT_MS,
  );
  t.match(await node.get('pod', 'uses'), { status: { phase: 'Succeeded' } });
  await eventually('no DiskPressure', async () => (await pressure()) === 'False', WAIT_MS);
  for (const name of ['bystander', 'filler']) {
    t.equal((await node.get('pod', name)).status.phase, 'Running', name);
  }
  t.match(await imageNames(), /localhost\/busybox:test/, 'nobody could bring that back');
});

t.test('the pod that fills the disk is evicted, and others come again afterwards', async (t) => {
  await node.exec('filler', `head -c ${IMAGE_BYTES} /dev/zero > /space/more`);
  await node.waitFor('filler', '{.status.phase}', 'Failed');
  const { status } = await node.get('pod', 'filler');
  t.equal(status.reason, 'Evicted');
  t.match(
    status.message,
    /^The node was low on resource: ephemeral-storage\. Threshold quantity: \d+(Ki|Mi)?, available: \d+(Ki|Mi)\. /,
  );
  const disruption = status.conditions.find((c: { type: string }) => c.type === 'DisruptionTarget');
  t.match(disruption, { status: 'True', reason: 'TerminationByKubelet', message: status.message });
  t.match(await node.events('filler'), [
    /^Scheduled/,
    /^Pulled/,
    /^Created/,
    /^Started/,
    /^Evicted: The node was low/,
    /^Killing/,
  ]);
  const told = await node.events(node.identity.nodeName);
  t.ok(
    told.includes('EvictionThresholdMet: Attempting to reclaim ephemeral-storage'),
    told.join('\n'),
  );
  t.ok(told.some((event) => event.startsWith('NodeHasDiskPressure: ')));

  const bound = (name: string) =>
    pod(name, { command: ['true'] }, { spec: { nodeName: node.identity.nodeName } });
  await node.create(bound('refused'));
  await node.waitFor('refused', '{.status.phase}', 'Failed');
  t.match((await node.get('pod', 'refused')).status, {
    reason: 'Evicted',
    message: 'Pod was rejected: The node had condition: [DiskPressure]. ',
  });
  await eventually('no DiskPressure', async () => (await pressure()) === 'False', WAIT_MS);
  await node.create(bound('welcome'));
  await node.waitFor('welcome', '{.status.phase}', 'Succeeded');
  t.equal((await node.get('pod', 'bystander')).status.phase, 'Running');
});
