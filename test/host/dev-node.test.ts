/**
 * A development node from start to end, driven by unmodified kubectl: a Deployment behind a Service,
 * logs, exec, processes killed at any time, and nothing left on the host afterwards. The tests run in
 * the order in which they stand, on one node.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { devIdentity } from '#test/dev/identity.ts';
import { down } from '#test/dev/launch.ts';
import { hostTraces } from '#test/dev/traces.ts';
import { BUSYBOX, cannotRun, CHECKOUT, eventually, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

const identity = devIdentity(CHECKOUT);
await down(identity);
const before = hostTraces(identity);
let node: TestNode;

t.before(async () => {
  node = await TestNode.start();
});
t.teardown(() => node[Symbol.asyncDispose]());

const firstPod = () =>
  node.kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}');
const ofPods = (path: string) =>
  node.kubectl('get', 'pods', '-l', 'app=web', '-o', `jsonpath={.items[*]${path}}`);

const web = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'web',
            image: BUSYBOX,
            command: [
              'sh',
              '-c',
              'mkdir /www; hostname > /www/index.html; echo serving; exec httpd -f -p 8080 -h /www',
            ],
            ports: [{ containerPort: 8080 }],
            readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
};

t.test('a Deployment becomes available, and its pods are Running on the node', async (t) => {
  await node.apply(web);
  await node.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  const { items } = await node.get('pods', '-l', 'app=web');
  t.equal(items.length, 2);
  for (const pod of items) {
    t.equal(pod.status.phase, 'Running');
    t.equal(pod.spec.nodeName, identity.nodeName);
    t.match(pod.status.podIP, /^10\.244\./);
  }
});

t.test('a list is applied, for whose kind kubectl wants OpenAPI v2', async (t) => {
  const item = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });
  await node.apply({ apiVersion: 'v1', kind: 'List', items: [item('one'), item('two')] });
  const names = await node.kubectl('get', 'cm', 'one', 'two', '-o', 'name');
  t.equal(names, 'configmap/one\nconfigmap/two\n');
  const misspelt = { ...item('three'), dat: { a: 'b' } };
  const list = { apiVersion: 'v1', kind: 'List', items: [misspelt] };
  await t.rejects(node.apply(list), { message: /unknown field "dat"/ });
});

t.test('logs and exec reach the container', async (t) => {
  const name = await firstPod();
  t.equal(await node.kubectl('logs', name), 'serving\n');
  t.equal(await node.kubectl('exec', name, '--', 'hostname'), `${name}\n`);
  const failed = await node.run(['exec', name, '--', 'sh', '-c', 'exit 3']);
  t.equal(failed.code, 3, 'the exit code comes back');
});

t.test('a NodePort Service answers, and spreads over the pods', async (t) => {
  await node.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      type: 'NodePort',
      selector: { app: 'web' },
      ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }],
    },
  });
  const seen = new Set<string>();
  await eventually('both pods answered', async () => {
    const response = await fetch(`http://${identity.nodeIp}:30080/`, {
      headers: { connection: 'close' },
    });
    seen.add((await response.text()).trim());
    return seen.size === 2;
  });
  t.equal(seen.size, 2);
});

t.test('a pod resolves and reaches the Service by name', async (t) => {
  const name = await firstPod();
  const url = 'http://web.default.svc.cluster.local/';
  const page = await eventually('the page came', () => node.exec(name, `wget -q -O - ${url}`));
  t.match(page, /^web-/);
});

t.test('killed processes come back, and no container is restarted', async (t) => {
  const containers = () => ofPods('.status.containerStatuses[0].containerID');
  const before = await containers();
  await node.kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
  for (const bundle of ['agent', 'control']) {
    const pid = node.pidOf(bundle);
    t.ok(pid, `${bundle} runs`);
    process.kill(pid ?? 0, 'SIGKILL');
    await eventually(`${bundle} answers again`, async () => {
      const now = node.pidOf(bundle);
      if (now === undefined || now === pid) return false;
      return (await node.kubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}')) === 'b';
    });
  }
  await eventually('pods are ready again', () =>
    node.kubectl('rollout', 'status', 'deployment/web', '--timeout=20s'),
  );
  t.equal(await containers(), before);
  t.equal(await ofPods('.status.containerStatuses[0].restartCount'), '0 0');
});

t.test('deleting takes everything away', async (t) => {
  await node.kubectl('delete', 'deployment/web', 'service/web', '--timeout=30s');
  await eventually(
    'pods are gone',
    async () => (await node.kubectl('get', 'pods', '-o', 'name')) === '',
  );
  t.pass('gone');
});

t.test('ending the node leaves nothing on the host', async (t) => {
  await down(identity);
  t.same(hostTraces(identity), before);
  t.match(readFileSync(join(identity.dir, 'init.log'), 'utf8'), /stopping/);
});
