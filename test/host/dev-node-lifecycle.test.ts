/**
 * Probes, hooks and ends of containers on a development node. All pods are applied at once; each test
 * looks at its own. Hooks write to a directory of the node, which is read from outside.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BUSYBOX, cannotRun, eventually, pod, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

let node: TestNode;

const sh = (script: string) => ['sh', '-c', script];
const exec = (script: string) => ({ exec: { command: sh(script) } });
const FAST = { periodSeconds: 1, failureThreshold: 1 };
const SERVE = 'mkdir -p /www; exec httpd -f -p 8080 -h /www';
/** Process 1 gets signals only that it asks for. */
const WAIT = 'while :; do sleep 0.1; done';

/** A pod whose container sees the node's directory /var/said as /said. */
const saying = (name: string, container: object, spec: object = {}) =>
  pod(
    name,
    { ...container, volumeMounts: [{ name: 'said', mountPath: '/said' }] },
    {
      spec: {
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 20,
        volumes: [{ name: 'said', hostPath: { path: '/var/said', type: 'DirectoryOrCreate' } }],
        ...spec,
      },
    },
  );

const always = { spec: { restartPolicy: 'Always' } };

const pods: readonly object[] = [
  pod(
    'http',
    {
      command: sh(SERVE),
      ports: [{ name: 'web', containerPort: 8080 }],
      readinessProbe: {
        ...FAST,
        httpGet: { path: '/ok', port: 'web', httpHeaders: [{ name: 'X-Probe', value: 'yes' }] },
      },
    },
    always,
  ),
  pod('tcp', {
    command: sh(`sleep 1; ${SERVE}`),
    readinessProbe: { ...FAST, tcpSocket: { port: 8080 } },
  }),
  pod(
    'live',
    {
      command: sh(`touch /tmp/alive; sleep 2; rm /tmp/alive; ${WAIT}`),
      livenessProbe: { ...FAST, ...exec('cat /tmp/alive'), terminationGracePeriodSeconds: 1 },
    },
    { spec: { restartPolicy: 'Always', terminationGracePeriodSeconds: 100 } },
  ),
  pod(
    'startup',
    {
      command: sh(`sleep 2; touch /tmp/up; ${WAIT}`),
      startupProbe: { ...FAST, failureThreshold: 30, ...exec('cat /tmp/up') },
      livenessProbe: { ...FAST, ...exec('cat /tmp/up') },
      readinessProbe: { ...FAST, ...exec('cat /tmp/up') },
    },
    always,
  ),
  pod('never-up', { command: sh(WAIT), startupProbe: { ...FAST, ...exec('false') } }, always),
  pod('slow-probe', {
    command: sh(WAIT),
    readinessProbe: { ...FAST, ...exec('sleep 30'), timeoutSeconds: 1 },
  }),
  saying('hooks', {
    command: sh(
      `trap 'echo term >> /said/hooks; exit 0' TERM; echo started >> /said/hooks; ${WAIT}`,
    ),
    lifecycle: {
      postStart: exec('echo post-start > /tmp/post; echo post-start >> /said/hooks'),
      preStop: exec('echo pre-stop >> /said/hooks; sleep 1; echo pre-stop-done >> /said/hooks'),
    },
  }),
  pod(
    'http-hook',
    {
      command: sh('mkdir -p /www; httpd -p 8080 -h /www; touch /www/x; ' + WAIT),
      lifecycle: {
        postStart: { httpGet: { port: 8080, path: '/x' } },
        preStop: { sleep: { seconds: 1 } },
      },
    },
    always,
  ),
  pod('bad-hook', { command: sh(WAIT), lifecycle: { postStart: exec('exit 9') } }),
  saying(
    'deaf',
    { command: sh(`trap 'echo deaf >> /said/deaf' TERM; ${WAIT}`) },
    { terminationGracePeriodSeconds: 2 },
  ),
  saying(
    'other-signal',
    {
      command: sh(`trap 'echo usr1 >> /said/signal; exit 0' USR1; ${WAIT}`),
      lifecycle: { stopSignal: 'SIGUSR1' },
    },
    { os: { name: 'linux' } },
  ),
  pod(
    'forced',
    { command: sh(`trap '' TERM; ${WAIT}`) },
    { spec: { terminationGracePeriodSeconds: 600 } },
  ),
  saying(
    'job',
    { command: sh('cat /said/side; echo main >> /said/side') },
    {
      restartPolicy: 'Never',
      initContainers: [
        {
          name: 'side',
          image: BUSYBOX,
          restartPolicy: 'Always',
          command: sh(
            `echo side > /said/side; trap 'echo side-ends >> /said/side; exit 0' TERM; ${WAIT}`,
          ),
          startupProbe: { ...FAST, failureThreshold: 30, ...exec('cat /said/side') },
          volumeMounts: [{ name: 'said', mountPath: '/said' }],
        },
      ],
    },
  ),
  pod(
    'steady',
    {
      command: sh(SERVE),
      readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 2 },
    },
    always,
  ),
];

t.before(async () => {
  node = await TestNode.start();
  mkdirSync(join(node.identity.dir, 'var/said'), { recursive: true });
  await node.create(...pods);
});
t.teardown(() => node[Symbol.asyncDispose]());

const READY = '{.status.conditions[?(@.type=="Ready")].status}';
const said = (name: string) =>
  readFileSync(join(node.identity.dir, 'var/said', name), 'utf8')
    .trimEnd()
    .split('\n');
// oxlint-disable-next-line typescript/no-explicit-any -- What a test looks into is what it is about.
const main = async (name: string): Promise<any> =>
  (await node.get('pod', name)).status.containerStatuses[0];
const hasEvent = (name: string, text: string | RegExp) =>
  eventually(`event of ${name}: ${text}`, async () =>
    (await node.events(name)).some((event) =>
      typeof text === 'string' ? event === text : text.test(event),
    ),
  );

t.test('readiness over HTTP follows the page', async (t) => {
  await node.waitFor('http', '{.status.phase}', 'Running');
  await hasEvent(
    'http',
    'Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404',
  );
  t.match(await main('http'), { ready: false, started: true });
  await node.exec('http', 'echo fine > /www/ok');
  await node.waitFor('http', READY, 'True');
  await node.exec('http', 'rm /www/ok');
  await node.waitFor('http', READY, 'False');
  const { conditions } = (await node.get('pod', 'http')).status;
  t.match(
    conditions.find((c: { type: string }) => c.type === 'Ready'),
    { reason: 'ContainersNotReady', message: 'containers with unready status: [main]' },
  );
  t.equal((await main('http')).restartCount, 0);
});

t.test('readiness over TCP', async (t) => {
  await hasEvent(
    'tcp',
    /^Unhealthy: Readiness probe failed: dial tcp 10\.244\.\d+\.\d+:8080: connect: connection refused$/,
  );
  await node.waitFor('tcp', READY, 'True');
  t.pass('ready');
});

t.test('liveness by exec restarts, with its own grace', async (t) => {
  await hasEvent('live', /^Unhealthy: Liveness probe failed: cat: can't open '\/tmp\/alive'/);
  await hasEvent('live', 'Killing: Container main failed liveness probe, will be restarted');
  const { terminated } = await eventually('it was started again', async () => {
    const { restartCount, lastState } = await main('live');
    return restartCount > 0 && lastState;
  });
  t.equal(terminated.exitCode, 137, 'killed after the second of grace that the probe gives');
});

t.test('a startup probe holds back the others', async (t) => {
  await node.waitFor('startup', READY, 'True');
  t.match(await main('startup'), { started: true, restartCount: 0 });
  const events = await node.events('startup');
  t.ok(events.some((event) => event.startsWith('Unhealthy: Startup probe failed')));
  t.notOk(events.some((event) => /Liveness|Readiness/.test(event)));
  await hasEvent('never-up', 'Killing: Container main failed startup probe, will be restarted');
  t.match(await main('never-up'), { started: false, ready: false });
});

t.test('a probe that takes too long has failed', async (t) => {
  await hasEvent(
    'slow-probe',
    /^Unhealthy: Readiness probe failed: command timed out: "sh -c sleep 30" timed out after 1s/,
  );
  const running = await node.exec('slow-probe', 'ps | grep -c "[s]leep 30"; true');
  t.ok(Number(running) <= 1, `${running.trim()} probes run at once: those that failed are gone`);
});

t.test('hooks: after the start, before the stop', async (t) => {
  await node.waitFor('hooks', READY, 'True');
  t.same(said('hooks').toSorted(), ['post-start', 'started']);
  await node.kubectl('delete', 'pod', 'hooks');
  t.same(said('hooks').slice(2), ['pre-stop', 'pre-stop-done', 'term']);
  await node.waitFor('http-hook', READY, 'True');
  const startedAt = performance.now();
  await node.kubectl('delete', 'pod', 'http-hook');
  t.ok(performance.now() - startedAt > 1000, 'preStop slept');
  await hasEvent('bad-hook', 'FailedPostStartHook: PostStartHook failed');
  await node.waitFor('bad-hook', '{.status.phase}', 'Failed');
});

t.test('ends: by the signal, by the grace, by force', async (t) => {
  for (const name of ['deaf', 'other-signal', 'forced']) await node.waitFor(name, READY, 'True');
  const startedAt = performance.now();
  await node.kubectl('delete', 'pod', 'deaf', '--wait=false');
  await node.kubectl('delete', 'pod', 'other-signal');
  t.same(said('signal'), ['usr1']);
  await eventually(
    'the deaf one is gone',
    async () => (await node.run(['get', 'pod', 'deaf'])).code !== 0,
  );
  t.ok(performance.now() - startedAt > 2000, 'it had its grace');
  t.same(said('deaf'), ['deaf']);
  const { uid } = (await node.get('pod', 'forced')).metadata;
  await node.kubectl('delete', 'pod', 'forced', '--force', '--grace-period=0');
  await eventually('nothing of it is left', () => !node.hasPodDirectory(uid));
});

t.test('a sidecar starts before and ends after', async (t) => {
  await node.waitFor('job', '{.status.phase}', 'Succeeded');
  t.equal(await node.kubectl('logs', 'job'), 'side\n');
  t.same(said('side'), ['side', 'main', 'side-ends']);
});

t.test('an ephemeral container sees the processes of its target', async (t) => {
  await node.waitFor('steady', READY, 'True');
  const args = ['debug', 'steady', '-i', '--quiet', '--container=look', '--target=main'];
  const { stdout, code, stderr } = await node.run([...args, `--image=${BUSYBOX}`, '--', 'ps']);
  t.equal(code, 0, stderr);
  const logs = await node.kubectl('logs', 'steady', '-c', 'look');
  t.match(`${stdout}${logs}`, /httpd -f -p 8080/);
});

t.test('an agent that is killed takes no pod out of service', async (t) => {
  await node.waitFor('steady', READY, 'True');
  const watch = node.spawn('get', 'pod', 'steady', '-w', '-o', `jsonpath=${READY}{"\\n"}`);
  let seen = '';
  watch.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  await eventually('the watch runs', () => seen.includes('True'));
  const before = await main('steady');
  const pid = node.pidOf('agent');
  process.kill(pid ?? 0, 'SIGKILL');
  await eventually('another agent runs', () => ![undefined, pid].includes(node.pidOf('agent')));
  await node.kubectl('annotate', 'pod', 'steady', 'after=kill');
  await eventually('it has taken over', () => node.exec('steady', 'true'));
  await eventually('it probes', async () => {
    assert.equal(
      await node.exec('steady', 'wget -q -O /dev/null http://127.0.0.1:8080/; echo $?'),
      '1\n',
    );
  });
  watch.kill();
  t.notMatch(seen, /False/, 'it was Ready all the time');
  t.match(await main('steady'), { containerID: before.containerID, restartCount: 0 });
});
