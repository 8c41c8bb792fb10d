/**
 * What a pod may ask for, on a development node: environment, command, security, resources, restarts,
 * last words, status. All pods are applied at once; each test looks at its own.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { busyboxEntries } from '#image/busybox.ts';
import { BUSYBOX, cannotRun, eventually, pod, scriptPod, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

const ENTRY = 'localhost/entry:test';
let node: TestNode;

/** Words of the command line that the container got, and where it started. */
const SHOW = ['sh', '-c', 'echo "$0 $* in $PWD as $(id -u):$(id -g) with $FROM_IMAGE"'];

const configMap = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace: 'default' },
  data: { colour: 'blue', 'dotted.key': 'dots' },
};
const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'keys', namespace: 'default' },
  stringData: { password: 'p=w $(colour)' },
};

const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
const amount = (resource: string, divisor: string) => ({
  valueFrom: { resourceFieldRef: { resource, divisor } },
});

const envPod = pod(
  'env',
  {
    command: ['env'],
    resources: {
      requests: { cpu: '250m', memory: '16Mi' },
      limits: { cpu: '1500m', memory: '64Mi' },
    },
    envFrom: [
      { configMapRef: { name: 'settings' } },
      { prefix: 'S_', secretRef: { name: 'keys' } },
      { configMapRef: { name: 'none', optional: true } },
    ],
    env: [
      { name: 'PLAIN', value: 'one' },
      { name: 'colour', value: 'red' },
      { name: 'EXPANDED', value: '$(PLAIN)-$(colour)-$(NOT_YET)-$$(PLAIN)-$(UNKNOWN)-$x' },
      { name: 'NOT_YET', value: 'later' },
      { name: 'HOST', value: '$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)' },
      { name: 'KEY', valueFrom: { configMapKeyRef: { name: 'settings', key: 'dotted.key' } } },
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
      { name: 'GONE', valueFrom: { secretKeyRef: { name: 'keys', key: 'x', optional: true } } },
      { name: 'NAME', ...field('metadata.name') },
      { name: 'NAMESPACE', ...field('metadata.namespace') },
      { name: 'UID', ...field('metadata.uid') },
      { name: 'LABEL', ...field("metadata.labels['tier']") },
      { name: 'ANNOTATION', ...field("metadata.annotations['example.com/why']") },
      { name: 'NODE', ...field('spec.nodeName') },
      { name: 'ACCOUNT', ...field('spec.serviceAccountName') },
      { name: 'HOST_IP', ...field('status.hostIP') },
      { name: 'POD_IP', ...field('status.podIP') },
      { name: 'POD_IPS', ...field('status.podIPs') },
      { name: 'CPU_LIMIT', ...amount('limits.cpu', '1') },
      { name: 'CPU_REQUEST', ...amount('requests.cpu', '1m') },
      { name: 'MEMORY_LIMIT', ...amount('limits.memory', '1Mi') },
      { name: 'FILE', valueFrom: { fileKeyRef: { volumeName: 'made', path: 'a/env', key: 'B' } } },
      {
        name: 'NO_FILE',
        valueFrom: {
          fileKeyRef: { volumeName: 'made', path: 'a/env', key: 'Z', optional: true },
        },
      },
    ],
  },
  {
    metadata: { labels: { tier: 'back' }, annotations: { 'example.com/why': 'test' } },
    spec: {
      volumes: [{ name: 'made', emptyDir: {} }],
      initContainers: [
        {
          name: 'make',
          image: BUSYBOX,
          command: [
            'sh',
            '-c',
            `mkdir /made/a; printf "# made\\nA='1'\\n  B='two\\nlines' # here\\n" > /made/a/env`,
          ],
          volumeMounts: [{ name: 'made', mountPath: '/made' }],
        },
      ],
    },
  },
);

const IDENTITY = 'id -u; id -g; id -G; grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status';
const VOLUME = { volumes: [{ name: 'v', emptyDir: {} }] };
const MOUNT = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };

const pods: readonly object[] = [
  envPod,
  pod('no-key', {
    command: ['true'],
    env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'settings', key: 'missing' } } }],
  }),
  pod('entry-image', { image: ENTRY }),
  pod('entry-args', {
    image: ENTRY,
    args: ['$(WORD)', '$$(WORD)'],
    env: [{ name: 'WORD', value: 'w' }],
  }),
  pod('entry-command', { image: ENTRY, command: ['echo', 'only'] }),
  pod('entry-both', { image: ENTRY, command: SHOW, args: ['x', 'y'], workingDir: '/tmp/deep/dir' }),
  pod('no-command', { command: ['/bin/none'] }),
  {
    ...pod('init', {}),
    spec: {
      ...VOLUME,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      initContainers: ['one', 'two'].map((name) => ({
        name,
        image: BUSYBOX,
        command: ['sh', '-c', `sleep 0.2; echo ${name} >> /v/order`],
        ...MOUNT,
      })),
      containers: ['a', 'b'].map((name) => ({
        name,
        image: BUSYBOX,
        command: ['cat', '/v/order'],
        ...MOUNT,
      })),
    },
  },
  scriptPod('init-fails', 'echo never', {
    spec: { initContainers: [{ name: 'bad', image: BUSYBOX, command: ['sh', '-c', 'exit 4'] }] },
  }),
  pod(
    'on-failure',
    {
      command: [
        'sh',
        '-c',
        'if [ -e /v/once ]; then echo again; else echo first; touch /v/once; exit 7; fi',
      ],
      ...MOUNT,
    },
    { spec: { restartPolicy: 'OnFailure', ...VOLUME } },
  ),
  scriptPod('crash', 'echo run; exit 3', { spec: { restartPolicy: 'Always' } }),
  scriptPod('said', 'printf "last words" > /dev/termination-log; exit 5'),
  pod('said-elsewhere', {
    command: ['sh', '-c', 'printf "here" > /tmp/words'],
    terminationMessagePath: '/tmp/words',
  }),
  pod('said-in-log', {
    command: ['sh', '-c', 'echo one; echo two >&2; exit 6'],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }),
  scriptPod('deadline', 'sleep 1000', { spec: { activeDeadlineSeconds: 2 } }),
  pod(
    'ids',
    {
      command: ['sh', '-c', `${IDENTITY}; stat -c %u:%g:%a /v; touch /v/f; stat -c %u:%g /v/f`],
      securityContext: { runAsUser: 1234, allowPrivilegeEscalation: false },
      ...MOUNT,
    },
    {
      spec: {
        ...VOLUME,
        securityContext: {
          runAsUser: 1,
          runAsGroup: 3000,
          supplementalGroups: [4000],
          fsGroup: 2000,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      },
    },
  ),
  pod('caps', {
    command: ['sh', '-c', IDENTITY],
    securityContext: { capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'CHOWN'] } },
  }),
  pod('default-caps', { command: ['sh', '-c', IDENTITY] }),
  pod('privileged', {
    command: [
      'sh',
      '-c',
      `${IDENTITY}; ls /dev; mkdir /tmp/m && mount -t tmpfs x /tmp/m && echo mounted`,
    ],
    securityContext: { privileged: true },
  }),
  pod(
    'read-only',
    {
      command: ['sh', '-c', 'touch /x; touch /v/x && echo volume; touch /dev/shm/x && echo shm'],
      securityContext: { readOnlyRootFilesystem: true },
      ...MOUNT,
    },
    { spec: VOLUME },
  ),
  pod('not-root', { command: ['true'], securityContext: { runAsNonRoot: true } }),
  scriptPod(
    'sysctl',
    'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced',
    {
      spec: {
        securityContext: {
          sysctls: [
            { name: 'net.ipv4.ip_unprivileged_port_start', value: '80' },
            { name: 'kernel.shm_rmid_forced', value: '1' },
          ],
        },
      },
    },
  ),
  scriptPod('host', 'hostname; ls /proc | grep -c "^[0-9]"; grep -c . /proc/net/dev', {
    spec: { hostNetwork: true, hostPID: true, hostIPC: true },
  }),
  {
    ...pod('shared', {}),
    spec: {
      shareProcessNamespace: true,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'sleeper', image: BUSYBOX, command: ['sleep', '12345'] },
        {
          name: 'main',
          image: BUSYBOX,
          command: [
            'sh',
            '-c',
            'until ps | grep -q "[s]leep 12345"; do sleep 0.1; done; echo seen; hostname',
          ],
        },
      ],
    },
  },
  scriptPod('names', 'hostname; hostname -f; cat /etc/hosts; cat /etc/resolv.conf', {
    spec: {
      hostname: 'h1',
      subdomain: 'sub',
      hostAliases: [{ ip: '192.0.2.99', hostnames: ['far', 'away'] }],
      dnsConfig: {
        nameservers: ['192.0.2.53'],
        searches: ['example.org'],
        options: [{ name: 'ndots', value: '2' }],
      },
    },
  }),
  pod('limited', {
    command: ['sleep', '1000'],
    resources: { requests: { cpu: '100m' }, limits: { cpu: '200m', memory: '64Mi' } },
  }),
  pod('hungry', {
    command: ['sh', '-c', 'x=$(tr "\\0" x < /dev/zero)'],
    resources: { limits: { memory: '24Mi' } },
  }),
  pod('no-image', { image: 'localhost/none:1', imagePullPolicy: 'Never' }),
  pod('bad-image', { image: 'Bad//Name' }),
  pod('unreachable-image', { image: '127.0.0.1:9/none:1' }),
  scriptPod('gated', 'sleep 1000', {
    spec: { readinessGates: [{ conditionType: 'example.com/gate' }] },
  }),
];

t.before(async () => {
  node = await TestNode.start([
    {
      names: [ENTRY],
      entries: busyboxEntries(),
      config: {
        Entrypoint: SHOW,
        Cmd: ['from', 'image'],
        Env: ['PATH=/bin', 'FROM_IMAGE=env'],
        WorkingDir: '/work',
        User: 'nobody',
      },
    },
  ]);
  await node.apply(configMap, secret, ...pods);
});
t.teardown(() => node[Symbol.asyncDispose]());

const lines = (text: string) => text.trimEnd().split('\n');
// oxlint-disable-next-line typescript/no-explicit-any -- What a test looks into is what it is about.
const main = (got: any) => got.status.containerStatuses.find((c: any) => c.name === 'main');

t.test('environment: every source, and expansion', async (t) => {
  const output = await node.outputOf('env');
  const got = await node.get('pod', 'env');
  const env = new Map(
    output
      .replace('two\nlines', 'two;lines')
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const service = await node.get('service', 'kubernetes');
  const wanted = {
    PLAIN: 'one',
    colour: 'red',
    'dotted.key': 'dots',
    S_password: 'p=w $(colour)',
    EXPANDED: 'one-red-$(NOT_YET)-$(PLAIN)-$(UNKNOWN)-$x',
    HOST: `${service.spec.clusterIP}:443`,
    KEY: 'dots',
    PASSWORD: 'p=w $(colour)',
    NAME: 'env',
    NAMESPACE: 'default',
    UID: got.metadata.uid,
    LABEL: 'back',
    ANNOTATION: 'test',
    NODE: node.identity.nodeName,
    ACCOUNT: 'default',
    HOST_IP: node.identity.nodeIp,
    POD_IP: got.status.podIP,
    POD_IPS: got.status.podIP,
    CPU_LIMIT: '2',
    CPU_REQUEST: '250',
    MEMORY_LIMIT: '64',
    FILE: 'two;lines',
    HOSTNAME: 'env',
    KUBERNETES_SERVICE_PORT_HTTPS: '443',
  };
  for (const [name, value] of Object.entries(wanted)) t.equal(env.get(name), value, name);
  for (const name of ['GONE', 'NO_FILE']) t.notOk(env.has(name), name);
});

t.test('a key that is missing is said, and waited for', async (t) => {
  const state = '{.status.containerStatuses[0].state.waiting.reason}';
  await node.waitFor('no-key', state, 'CreateContainerConfigError');
  const { waiting } = main(await node.get('pod', 'no-key')).state;
  t.equal(waiting.message, "couldn't find key missing in ConfigMap default/settings");
  await node.kubectl('patch', 'configmap', 'settings', '-p', '{"data":{"missing":"found"}}');
  await node.waitFor('no-key', '{.status.phase}', 'Succeeded');
});

t.test('command and args over those of the image', async (t) => {
  for (const [name, wanted] of [
    ['entry-image', 'from image in /work as 65534:65534 with env'],
    ['entry-args', 'w $(WORD) in /work as 65534:65534 with env'],
    ['entry-command', 'only'],
    ['entry-both', 'x y in /tmp/deep/dir as 65534:65534 with env'],
  ] as const) {
    t.equal((await node.outputOf(name)).trimEnd(), wanted, name);
  }
  await node.waitFor('no-command', '{.status.phase}', 'Failed');
  const { terminated } = main(await node.get('pod', 'no-command')).state;
  t.match(terminated, { exitCode: 128, reason: 'StartError', message: /\/bin\/none/ });
});

t.test('init containers run one after the other, before the others', async (t) => {
  t.equal(await node.outputOf('init', '-c', 'a'), 'one\ntwo\n');
  t.equal(await node.outputOf('init', '-c', 'b'), 'one\ntwo\n');
  const { status } = await node.get('pod', 'init');
  // oxlint-disable-next-line typescript/no-explicit-any -- As above.
  const states = status.initContainerStatuses.map((c: any) => c.state.terminated.reason);
  t.same(states, ['Completed', 'Completed']);
  await node.waitFor('init-fails', '{.status.phase}', 'Failed');
  const failed = (await node.get('pod', 'init-fails')).status;
  t.equal(failed.initContainerStatuses[0].state.terminated.exitCode, 4);
  t.equal(failed.containerStatuses[0].state.waiting.reason, 'PodInitializing');
});

t.test('restart policy and back-off', async (t) => {
  t.equal(await node.outputOf('on-failure'), 'again\n');
  const again = main(await node.get('pod', 'on-failure'));
  t.match(again, { restartCount: 1, lastState: { terminated: { exitCode: 7, reason: 'Error' } } });
  t.equal(await node.kubectl('logs', 'on-failure', '--previous'), 'first\n');
  await node.waitFor(
    'crash',
    '{.status.containerStatuses[0].state.waiting.reason}',
    'CrashLoopBackOff',
  );
  const crashed = main(await node.get('pod', 'crash'));
  t.match(crashed, {
    ready: false,
    state: {
      waiting: { message: /^back-off [124]0s restarting failed container=main pod=crash_default/ },
    },
    lastState: { terminated: { exitCode: 3 } },
  });
  await eventually('BackOff is an event', async () =>
    (await node.events('crash')).some((e) =>
      e.startsWith('BackOff: Back-off restarting failed container main in pod crash_default'),
    ),
  );
});

t.test('termination messages', async (t) => {
  for (const [name, exitCode, message] of [
    ['said', 5, 'last words'],
    ['said-elsewhere', 0, 'here'],
    ['said-in-log', 6, 'one\ntwo'],
  ] as const) {
    await node.waitFor(name, '{.status.phase}', exitCode === 0 ? 'Succeeded' : 'Failed');
    const { terminated } = main(await node.get('pod', name)).state;
    t.equal(terminated.exitCode, exitCode, name);
    t.equal(terminated.message.split('\n').toSorted().join('\n'), message, name);
  }
});

t.test('a deadline ends a pod', async (t) => {
  await node.waitFor('deadline', '{.status.phase}', 'Failed');
  t.match((await node.get('pod', 'deadline')).status, {
    reason: 'DeadlineExceeded',
    message: 'Pod was active on the node longer than the specified deadline',
  });
});

t.test('users, groups, capabilities, privileges', async (t) => {
  const ids = lines(await node.outputOf('ids'));
  t.same(ids.slice(0, 3), ['1234', '3000', '3000 2000 4000']);
  t.match(ids.join('\n'), /CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n/);
  t.same(ids.slice(-2), ['0:2000:2777', '1234:2000'], 'the volume belongs to the group');
  const caps = (text: string) => BigInt(`0x${/CapEff:\t(\w+)/.exec(text)?.[1]}`);
  t.equal(caps(await node.outputOf('caps')), (1n << 12n) | 1n, 'NET_ADMIN and CHOWN');
  t.equal(caps(await node.outputOf('default-caps')), 0xa80425fbn, 'the usual fourteen');
  const privileged = await node.outputOf('privileged');
  t.equal(
    caps(privileged),
    BigInt(`0x${/CapEff:\t(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`),
  );
  t.match(privileged, /Seccomp:\t0\n/);
  t.match(privileged, /\nkmsg\n/, "the node's devices");
  t.match(privileged, /mounted\n$/);
});

t.test('a root filesystem that is read-only', async (t) => {
  const output = await node.outputOf('read-only');
  t.match(output, /touch: \/x: Read-only file system\nvolume\nshm\n/);
});

t.test('runAsNonRoot refuses an image that runs as root', async (t) => {
  const state = '{.status.containerStatuses[0].state.waiting.reason}';
  await node.waitFor('not-root', state, 'CreateContainerConfigError');
  const { waiting } = main(await node.get('pod', 'not-root')).state;
  t.match(waiting.message, /container has runAsNonRoot and image will run as root/);
});

t.test('namespaces: of the pod, of the node, shared between containers', async (t) => {
  t.equal(await node.outputOf('sysctl'), '80\n1\n');
  const [hostname, processes] = lines(await node.outputOf('host'));
  t.equal(hostname, node.identity.nodeName);
  t.ok(Number(processes) > 3, 'it sees the processes of the node');
  await eventually('the other container was seen', async () => {
    assert.match(await node.kubectl('logs', 'shared', '-c', 'main'), /^seen\nshared\n$/);
  });
});

t.test('names: host name, hosts, resolver', async (t) => {
  const output = await node.outputOf('names');
  const { podIP } = (await node.get('pod', 'names')).status;
  t.match(output, /^h1\nh1.sub.default.svc.cluster.local\n/);
  t.match(output, `${podIP}\th1.sub.default.svc.cluster.local\th1\n`);
  t.match(output, '192.0.2.99\tfar\taway\n');
  t.match(
    output,
    /search default.svc.cluster.local svc.cluster.local cluster.local .*example.org\n/,
  );
  t.match(output, 'nameserver 10.96.0.10\nnameserver 192.0.2.53\n');
  t.match(output, /options ndots:2\n/);
});

t.test('resources become limits of the cgroup', async (t) => {
  await node.waitFor('limited', '{.status.phase}', 'Running');
  const { metadata, status } = await node.get('pod', 'limited');
  t.equal(status.qosClass, 'Burstable');
  t.match(main({ status }).resources, { limits: { cpu: '200m', memory: '64Mi' } });
  const pods = `/sys/fs/cgroup/{*/,}${node.identity.cgroup}/kubepods.slice/burstable`;
  const id = main({ status }).containerID.replace(/^.*:\/\//, '');
  const read = (name: string) =>
    globSync(join(pods, `pod${metadata.uid}`, id, name)).map((path) =>
      readFileSync(path, 'utf8').trim(),
    );
  const v2 = read('memory.max');
  if (v2.length > 0) {
    t.same(v2, [String(64 << 20)]);
    t.same(read('cpu.max'), ['20000 100000']);
  } else {
    t.same(read('memory.limit_in_bytes'), [String(64 << 20)]);
    t.same(read('cpu.cfs_quota_us'), ['20000']);
    t.same(read('cpu.shares'), ['102']);
  }
  await node.waitFor('hungry', '{.status.phase}', 'Failed');
  t.match(main(await node.get('pod', 'hungry')).state.terminated, {
    exitCode: 137,
    reason: 'OOMKilled',
  });
});

t.test('images that are not there', async (t) => {
  for (const [name, wanted, message] of [
    [
      'no-image',
      'ErrImageNeverPull',
      /Container image "localhost\/none:1" is not present with pull policy of Never/,
    ],
    ['bad-image', 'InvalidImageName', /Failed to apply default image tag "Bad\/\/Name"/],
    ['unreachable-image', 'ImagePullBackOff', /Back-off pulling image "127.0.0.1:9\/none:1"/],
  ] as const) {
    const path = '{.status.containerStatuses[0].state.waiting.reason}';
    await node.waitFor(name, path, wanted);
    const { waiting } = main(await node.get('pod', name)).state;
    t.match(waiting.message, message, name);
  }
});

t.test('conditions', async (t) => {
  await node.waitFor('gated', '{.status.phase}', 'Running');
  const conditions = async () => {
    const { status } = await node.get('pod', 'gated');
    return Object.fromEntries(
      status.conditions.map((c: { type: string; status: string; reason?: string }) => [
        c.type,
        c.reason === undefined ? c.status : `${c.status} ${c.reason}`,
      ]),
    );
  };
  await eventually('its container is ready', async () => {
    assert.equal((await conditions())['ContainersReady'], 'True');
  });
  t.same(await conditions(), {
    PodReadyToStartContainers: 'True',
    PodScheduled: 'True',
    Initialized: 'True',
    ContainersReady: 'True',
    Ready: 'False ReadinessGatesNotReady',
  });
  const patch = [{ type: 'example.com/gate', status: 'True' }];
  await node.kubectl(
    'patch',
    'pod/gated',
    '--subresource=status',
    '-p',
    JSON.stringify({ status: { conditions: patch } }),
  );
  await eventually('the gate opens it', async () => {
    assert.equal((await conditions())['Ready'], 'True');
  });
});
