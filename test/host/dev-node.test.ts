/**
 * A development node from start to end, driven by unmodified kubectl: a Deployment behind a Service,
 * logs, exec, processes killed at any time, and nothing left on the host afterwards. The tests run in
 * the order in which they stand, on one node.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { writeArchive } from '#image/archive.ts';
import { busyboxEntries } from '#image/busybox.ts';
import { ensureKubectl } from '#image/kubectl.ts';
import { devIdentity } from '#test/dev/identity.ts';
import { down, up } from '#test/dev/launch.ts';
import { hostTraces, nodeProcesses } from '#test/dev/traces.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'a development node needs root');
  process.exit(0);
}
t.setTimeout(280_000);

const checkout = dirname(dirname(import.meta.dirname));
const identity = devIdentity(checkout);
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-host-'));
await down(identity);
const before = hostTraces(identity);
const kubectlPath = await ensureKubectl();

function kubectl(...args: string[]): string {
  const env = { ...process.env, KUBECONFIG: join(identity.dir, 'kubeconfig') };
  return execFileSync(kubectlPath, args, {
    encoding: 'utf8',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function apply(manifest: object): void {
  const env = { ...process.env, KUBECONFIG: join(identity.dir, 'kubeconfig') };
  const result = spawnSync(kubectlPath, ['apply', '-f', '-'], {
    env,
    input: JSON.stringify(manifest),
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(result.stderr);
}

/** Runs `check` until it neither throws nor returns false. */
async function eventually(what: string, check: () => unknown, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = 'never tried';
  while (Date.now() < deadline) {
    try {
      const result = await check();
      if (result !== false) return;
      last = 'not yet';
    } catch (error) {
      last = error;
    }
    await sleep(100);
  }
  throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last });
}

/** The number, on the host, of the node's process named by its bundle. */
function pidOf(bundle: string): number | undefined {
  return nodeProcesses(identity).find(({ command }) =>
    command.includes(`/usr/lib/bareboat/${bundle}.js`),
  )?.pid;
}

t.before(async () => {
  execFileSync(process.execPath, ['--no-warnings', join(checkout, 'image/make-root.ts')]);
  const image = join(scratch, 'busybox.tar');
  await writeArchive(
    { names: ['localhost/busybox:test'], entries: busyboxEntries(), config: { Cmd: ['sh'] } },
    image,
  );
  rmSync(identity.dir, { recursive: true, force: true });
  await up(identity, [image]);
});

t.teardown(async () => {
  await down(identity);
  rmSync(scratch, { recursive: true, force: true });
});

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
            image: 'localhost/busybox:test',
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
  apply(web);
  kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  const pods = JSON.parse(kubectl('get', 'pods', '-l', 'app=web', '-o', 'json')).items;
  t.equal(pods.length, 2);
  for (const pod of pods) {
    t.equal(pod.status.phase, 'Running');
    t.equal(pod.spec.nodeName, identity.nodeName);
    t.match(pod.status.podIP, /^10\.244\./);
  }
});

t.test('logs and exec reach the container', async (t) => {
  const name = kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}');
  t.equal(kubectl('logs', name), 'serving\n');
  t.equal(kubectl('exec', name, '--', 'hostname'), `${name}\n`);
  const failed = spawnSync(kubectlPath, ['exec', name, '--', 'sh', '-c', 'exit 3'], {
    env: { ...process.env, KUBECONFIG: join(identity.dir, 'kubeconfig') },
  });
  t.equal(failed.status, 3, 'the exit code comes back');
});

t.test('a NodePort Service answers, and spreads over the pods', async (t) => {
  apply({
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
  const name = kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}');
  await eventually('the page came', () => {
    const page = kubectl(
      'exec',
      name,
      '--',
      'wget',
      '-q',
      '-O',
      '-',
      'http://web.default.svc.cluster.local/',
    );
    return page.startsWith('web-');
  });
  t.pass('served');
});

t.test('killed processes come back, and no container is restarted', async (t) => {
  const containers = () =>
    kubectl(
      'get',
      'pods',
      '-l',
      'app=web',
      '-o',
      'jsonpath={.items[*].status.containerStatuses[0].containerID}',
    );
  const before = containers();
  kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
  for (const bundle of ['agent', 'control']) {
    const pid = pidOf(bundle);
    t.ok(pid, `${bundle} runs`);
    process.kill(pid ?? 0, 'SIGKILL');
    await eventually(`${bundle} answers again`, () => {
      const now = pidOf(bundle);
      if (now === undefined || now === pid) return false;
      return kubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}') === 'b';
    });
  }
  await eventually('pods are ready again', () => {
    kubectl('rollout', 'status', 'deployment/web', '--timeout=20s');
  });
  t.equal(containers(), before);
  const restarts = kubectl(
    'get',
    'pods',
    '-l',
    'app=web',
    '-o',
    'jsonpath={.items[*].status.containerStatuses[0].restartCount}',
  );
  t.equal(restarts, '0 0');
});

t.test('deleting takes everything away', async (t) => {
  kubectl('delete', 'deployment/web', 'service/web', '--timeout=30s');
  await eventually('pods are gone', () => kubectl('get', 'pods', '-o', 'name') === '');
  t.pass('gone');
});

t.test('ending the node leaves nothing on the host', async (t) => {
  await down(identity);
  t.same(hostTraces(identity), before);
  t.match(readFileSync(join(identity.dir, 'init.log'), 'utf8'), /stopping/);
});
