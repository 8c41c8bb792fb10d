/**
 * Volumes on a development node: what a container finds in them, how they follow the API, subPath,
 * and that nothing leads out of them. All pods are applied at once; each test looks at its own.
 */
import assert from 'node:assert/strict';
import t from 'tap';
import { BUSYBOX, cannotRun, eventually, pod, scriptPod, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

let node: TestNode;

const meta = (name: string) => ({ name, namespace: 'default' });
const objects: readonly object[] = [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: meta('settings'),
    data: { colour: 'blue', shape: 'round' },
    binaryData: { bytes: Buffer.from([0, 1, 0xff]).toString('base64') },
  },
  {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: meta('keys'),
    stringData: { user: 'ann', password: 'hidden' },
  },
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta('robot') },
];

/** Content, mode and owner of each file below a directory, `..` of the atomic writer left out. */
const SHOW = `show() { (cd $1; for f in $(find . -follow -type f | grep -v '/\\.\\.' | sort); do echo "$1 $f $(stat -Lc %a:%u:%g $f) $(cat $f)"; done); }`;

const mount = (name: string, mountPath: string, more: object = {}) => ({
  name,
  mountPath,
  ...more,
});
const KEEP = 'while :; do sleep 1; done';

const pods: readonly object[] = [
  pod(
    'api',
    {
      command: [
        'sh',
        '-c',
        `${SHOW}; show /cm; show /items; show /secret; show /all; show /down; od -An -tx1 /cm/bytes; df -T /secret /all | awk 'NR>1{print $2}'; touch /cm/x 2>&1; ls /optional | wc -l; ${KEEP}`,
      ],
      resources: { limits: { memory: '32Mi' } },
      volumeMounts: [
        mount('cm', '/cm'),
        mount('items', '/items'),
        mount('secret', '/secret'),
        mount('all', '/all'),
        mount('down', '/down'),
        mount('optional', '/optional'),
        mount('cm', '/file', { subPath: 'colour' }),
      ],
    },
    {
      metadata: { labels: { tier: 'back' }, annotations: { note: 'one' } },
      spec: {
        volumes: [
          { name: 'cm', configMap: { name: 'settings' } },
          {
            name: 'items',
            configMap: {
              name: 'settings',
              defaultMode: 0o444,
              items: [
                { key: 'colour', path: 'a/b/colour' },
                { key: 'shape', path: 'shape', mode: 0o400 },
              ],
            },
          },
          { name: 'secret', secret: { secretName: 'keys', defaultMode: 0o440 } },
          {
            name: 'all',
            projected: {
              sources: [
                { configMap: { name: 'settings', items: [{ key: 'shape', path: 'shape' }] } },
                { secret: { name: 'keys', items: [{ key: 'user', path: 'who/user' }] } },
                {
                  downwardAPI: {
                    items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }],
                  },
                },
              ],
            },
          },
          {
            name: 'down',
            downwardAPI: {
              items: [
                { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
                { path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } },
                {
                  path: 'memory',
                  resourceFieldRef: {
                    containerName: 'main',
                    resource: 'limits.memory',
                    divisor: '1Mi',
                  },
                },
              ],
            },
          },
          { name: 'optional', configMap: { name: 'none', optional: true } },
        ],
      },
    },
  ),
  scriptPod('missing', 'cat /v/key', {
    spec: {
      volumes: [{ name: 'v', configMap: { name: 'late' } }],
      containers: [
        {
          name: 'main',
          image: BUSYBOX,
          command: ['cat', '/v/key'],
          volumeMounts: [mount('v', '/v')],
        },
      ],
    },
  }),
  {
    ...pod('empty', {}),
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      volumes: [
        { name: 'disk', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      ],
      containers: [
        {
          name: 'writer',
          image: BUSYBOX,
          securityContext: { runAsUser: 1000 },
          command: [
            'sh',
            '-c',
            'stat -c %a /disk; df -T /memory | awk "NR>1{print \\$2, \\$3}"; dd if=/dev/zero of=/memory/big bs=64k count=32 2>&1 | grep -c "No space"; echo shared > /disk/file',
          ],
          volumeMounts: [mount('disk', '/disk'), mount('memory', '/memory')],
        },
        {
          name: 'reader',
          image: BUSYBOX,
          command: [
            'sh',
            '-c',
            'until cat /in/file 2>/dev/null; do sleep 0.1; done; touch /in/x 2>&1; true',
          ],
          volumeMounts: [mount('disk', '/in', { readOnly: true })],
        },
      ],
    },
  },
  pod(
    'sub-paths',
    {
      command: [
        'sh',
        '-c',
        'cat /v/logs/sub-paths/f; ls -d /deep; echo x > /deep/y; cat /whole/a/b/y; echo only > /one; cat /whole/one-file',
      ],
      env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
      volumeMounts: [
        mount('v', '/whole'),
        mount('v', '/deep', { subPath: 'a/b' }),
        mount('v', '/v/logs/sub-paths', { subPathExpr: 'logs-$(POD)' }),
        mount('v', '/one', { subPath: 'one-file' }),
      ],
    },
    {
      spec: {
        volumes: [{ name: 'v', emptyDir: {} }],
        initContainers: [
          {
            name: 'make',
            image: BUSYBOX,
            command: [
              'sh',
              '-c',
              'mkdir /v/logs-sub-paths; echo here > /v/logs-sub-paths/f; echo > /v/one-file',
            ],
            volumeMounts: [mount('v', '/v')],
          },
        ],
      },
    },
  ),
  pod(
    'escape',
    {
      command: ['cat', '/out/passwd'],
      volumeMounts: [mount('v', '/out', { subPath: 'link' })],
    },
    {
      spec: {
        volumes: [{ name: 'v', emptyDir: {} }],
        initContainers: [
          {
            name: 'make',
            image: BUSYBOX,
            command: ['ln', '-s', '/etc', '/v/link'],
            volumeMounts: [mount('v', '/v')],
          },
        ],
      },
    },
  ),
  pod(
    'host-path',
    {
      command: [
        'sh',
        '-c',
        'cat /made/f /file; ls -ld /made | cut -c1-10; touch /ro/x 2>&1; echo $?',
      ],
      volumeMounts: [
        mount('made', '/made'),
        mount('file', '/file'),
        mount('made', '/ro', { readOnly: true }),
      ],
    },
    {
      spec: {
        volumes: [
          { name: 'made', hostPath: { path: '/var/tmp/made/here', type: 'DirectoryOrCreate' } },
          { name: 'file', hostPath: { path: '/var/made-file', type: 'FileOrCreate' } },
        ],
        initContainers: [
          {
            name: 'make',
            image: BUSYBOX,
            command: ['sh', '-c', 'echo in > /made/f; echo alone > /file'],
            volumeMounts: [mount('made', '/made'), mount('file', '/file')],
          },
        ],
      },
    },
  ),
  ...(['Directory', 'Socket'] as const).map((type) =>
    pod(
      `host-${type.toLowerCase()}`,
      { command: ['true'], volumeMounts: [mount('v', '/v')] },
      { spec: { volumes: [{ name: 'v', hostPath: { path: '/etc/passwd', type } }] } },
    ),
  ),
  pod(
    'group',
    {
      command: [
        'sh',
        '-c',
        `${SHOW}; id -G; stat -c %u:%g:%a /empty; show /secret; stat -Lc %a:%u:%g /var/run/secrets/kubernetes.io/serviceaccount/token; touch /empty/f; stat -c %g /empty/f`,
      ],
      volumeMounts: [mount('empty', '/empty'), mount('secret', '/secret')],
    },
    {
      spec: {
        securityContext: { runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000 },
        volumes: [
          { name: 'empty', emptyDir: {} },
          { name: 'secret', secret: { secretName: 'keys', defaultMode: 0o400 } },
        ],
      },
    },
  ),
  pod(
    'token',
    {
      command: [
        'sh',
        '-c',
        `cat /own/token; echo; ls /var/run/secrets/kubernetes.io/serviceaccount; ${KEEP}`,
      ],
      volumeMounts: [mount('own', '/own')],
    },
    {
      spec: {
        serviceAccountName: 'robot',
        volumes: [
          {
            name: 'own',
            projected: {
              sources: [
                {
                  serviceAccountToken: {
                    path: 'token',
                    audience: 'vault',
                    expirationSeconds: 1200,
                  },
                },
              ],
            },
          },
        ],
      },
    },
  ),
  pod(
    'no-token',
    { command: ['sh', '-c', 'ls /var/run/secrets/kubernetes.io 2>/dev/null; echo none'] },
    { spec: { automountServiceAccountToken: false } },
  ),
  pod(
    'unmount',
    {
      command: ['sh', '-c', KEEP],
      volumeMounts: [mount('m', '/m'), mount('s', '/s', { subPath: 'user' })],
    },
    {
      spec: {
        terminationGracePeriodSeconds: 0,
        volumes: [
          { name: 'm', emptyDir: { medium: 'Memory' } },
          { name: 's', secret: { secretName: 'keys' } },
        ],
      },
    },
  ),
];

t.before(async () => {
  node = await TestNode.start();
  await node.create(...objects, ...pods);
});
t.teardown(() => node[Symbol.asyncDispose]());

const lines = (text: string) => text.trimEnd().split('\n');

t.test('configMap, secret, projected and downward API: content, modes, places', async (t) => {
  await node.waitFor('api', '{.status.phase}', 'Running');
  const log = await eventually('it has shown all', async () => {
    const text = lines(await node.kubectl('logs', 'api'));
    return text.at(-1) === '0' ? text : false;
  });
  t.same(log, [
    `/cm ./bytes 644:0:0 ${Buffer.from([1, 0xff]).toString('utf8')}`,
    '/cm ./colour 644:0:0 blue',
    '/cm ./shape 644:0:0 round',
    '/items ./a/b/colour 444:0:0 blue',
    '/items ./shape 400:0:0 round',
    '/secret ./password 440:0:0 hidden',
    '/secret ./user 440:0:0 ann',
    '/all ./name 644:0:0 api',
    '/all ./shape 644:0:0 round',
    '/all ./who/user 644:0:0 ann',
    '/down ./annotations 644:0:0 note="one"',
    '/down ./labels 644:0:0 tier="back"',
    '/down ./memory 644:0:0 32',
    ' 00 01 ff',
    'tmpfs', // Secrets stay in memory.
    'tmpfs',
    'touch: /cm/x: Read-only file system',
    '0',
  ]);
});

t.test('they follow the API; a subPath does not', async (t) => {
  const read = (file: string) => node.exec('api', `cat ${file}`);
  await node.kubectl(
    'patch',
    'configmap',
    'settings',
    '-p',
    '{"data":{"colour":"green","new":"key"}}',
  );
  await node.kubectl('patch', 'secret', 'keys', '-p', '{"stringData":{"user":"bob"}}');
  await node.kubectl('label', 'pod', 'api', 'tier=front', '--overwrite');
  await node.kubectl('annotate', 'pod', 'api', 'note=two', '--overwrite');
  await eventually('the new content is there', async () => {
    assert.equal(await read('/cm/colour'), 'green');
    assert.equal(await read('/cm/new'), 'key');
    assert.equal(await read('/items/a/b/colour'), 'green');
    assert.equal(await read('/secret/user'), 'bob');
    assert.equal(await read('/all/who/user'), 'bob');
    assert.match(await read('/down/labels'), /tier="front"/);
    assert.match(await read('/down/annotations'), /note="two"/);
  });
  t.equal(await read('/file'), 'blue');
  await node.kubectl('create', 'configmap', 'none', '--from-literal=now=there');
  await eventually('an optional object appears', async () => {
    assert.equal(await read('/optional/now'), 'there');
  });
});

t.test('a pod waits for what its volumes need, and says so', async (t) => {
  await eventually('FailedMount is an event', async () =>
    (await node.events('missing')).includes(
      'FailedMount: MountVolume.SetUp failed for volume "v" : configmap "late" not found',
    ),
  );
  t.equal((await node.get('pod', 'missing')).status.phase, 'Pending');
  await node.kubectl('create', 'configmap', 'late', '--from-literal=key=came');
  t.equal(await node.outputOf('missing'), 'came');
});

t.test('emptyDir: on disk and in memory, shared by containers', async (t) => {
  const writer = lines(await node.outputOf('empty', '-c', 'writer'));
  t.same(writer, ['777', 'tmpfs 1024', '1'], 'the limit of a memory volume is its size');
  t.match(await node.kubectl('logs', 'empty', '-c', 'reader'), /^shared\ntouch: .*Read-only/);
});

t.test('subPath and subPathExpr', async (t) => {
  t.equal(await node.outputOf('sub-paths'), 'here\n/deep\nx\nonly\n');
  const state = '{.status.containerStatuses[0].state.waiting.reason}';
  await node.waitFor('escape', state, 'CreateContainerConfigError');
  const { waiting } = (await node.get('pod', 'escape')).status.containerStatuses[0].state;
  t.match(waiting.message, /subPath "link" is outside of its volume/);
});

t.test('hostPath, by type', async (t) => {
  const wanted = ['in', 'alone', 'drwxr-xr-x', 'touch: /ro/x: Read-only file system', '1'];
  t.same(lines(await node.outputOf('host-path')), wanted);
  for (const [name, text] of [
    ['host-directory', 'hostPath type check failed: /etc/passwd is not a directory'],
    ['host-socket', 'hostPath type check failed: /etc/passwd is not a socket file'],
  ] as const) {
    const refused = `FailedMount: MountVolume.SetUp failed for volume "v" : ${text}`;
    await eventually(refused, async () => (await node.events(name)).includes(refused));
  }
});

t.test('fsGroup owns what the pod may write; one user owns the token', async (t) => {
  const group = lines(await node.outputOf('group')).map((line) => line.replace(/ (ann|bob)$/, ''));
  t.same(group, [
    '1000 2000',
    '0:2000:2777',
    '/secret ./password 440:0:2000 hidden',
    '/secret ./user 440:0:2000',
    '640:1000:2000',
    '2000',
  ]);
});

t.test('service-account tokens', async (t) => {
  await node.waitFor('token', '{.status.phase}', 'Running');
  const log = lines(
    await eventually('it has shown all', async () => {
      const text = await node.kubectl('logs', 'token');
      return text.endsWith('token\n') ? text : false;
    }),
  );
  t.same(log.slice(1), ['ca.crt', 'namespace', 'token']);
  const claims = JSON.parse(Buffer.from(log[0]?.split('.')[1] ?? '', 'base64url').toString());
  const { metadata } = await node.get('pod', 'token');
  t.match(claims, {
    aud: ['vault'],
    sub: 'system:serviceaccount:default:robot',
    'kubernetes.io': {
      namespace: 'default',
      pod: { name: 'token', uid: metadata.uid },
      serviceaccount: { name: 'robot' },
      node: { name: node.identity.nodeName },
    },
  });
  t.equal(claims.exp - claims.iat, 1200);
  const own = (
    await node.exec('token', 'cat /var/run/secrets/kubernetes.io/serviceaccount/token')
  ).trim();
  const asRobot = ['--kubeconfig=/dev/null', '--insecure-skip-tls-verify', `--token=${own}`];
  const server = `--server=https://${node.identity.nodeIp}:6443`;
  const who = JSON.parse(await node.kubectl(...asRobot, server, 'auth', 'whoami', '-o', 'json'));
  t.match(who.status.userInfo, {
    username: 'system:serviceaccount:default:robot',
    extra: { 'authentication.kubernetes.io/pod-name': ['token'] },
  });
  t.match(await node.run([...asRobot, server, 'get', 'pods']), { code: 1, stderr: /forbidden/ });
  t.equal(await node.outputOf('no-token'), 'none\n');
});

t.test('what was mounted goes with the pod', async (t) => {
  await node.waitFor('unmount', '{.status.phase}', 'Running');
  const { uid } = (await node.get('pod', 'unmount')).metadata;
  const mounts = () => node.exec('api', 'true').then(() => node.mountsOf(uid));
  t.ok((await mounts()).length >= 3, 'tmpfs of both, and the subPath');
  await node.kubectl('delete', 'pod', 'unmount');
  await eventually('no mount is left', async () => (await mounts()).length === 0);
  t.notOk(node.hasPodDirectory(uid));
});
