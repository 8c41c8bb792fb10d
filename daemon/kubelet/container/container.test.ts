/** Pure parts of putting a container together, a row per rule. */
import t from 'tap';
import type { Pod, Service } from '#base/kube/api/core-v1.gen.ts';
import { envFileValue } from './env-file.ts';
import { containerEnv, serviceEnv } from './env.ts';
import { expand, expandStrict } from './expand.ts';
import { fieldValue, formatMap, resourceValue } from './fields.ts';
import {
  formatResolvConf,
  hostsFile,
  parseResolvConf,
  podHostname,
  podResolvConf,
} from './identity.ts';
import { containerResources, podCgroup, podCgroupPath, podRequest, qosClass } from './resources.ts';
import { containerSecurity } from './security.ts';

function pod(spec: object, metadata: object = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns', uid: 'u', ...metadata },
    spec: { containers: [], ...spec },
    status: {},
  } as unknown as Pod; // Enough of one.
}

await t.test('expand()', async (t) => {
  const env = new Map([
    ['A', '1'],
    ['B', '$(A)'],
    ['E', ''],
  ]);
  for (const [text, want] of [
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$(B)', '$(A)'],
    ['$(E)', ''],
    ['$(NONE)', '$(NONE)'],
    ['$A', '$A'],
    ['$(A', '$(A'],
    ['$', '$'],
    ['', ''],
    ['$()', '$()'],
    ['a$', 'a$'],
    ['$(A))', '1)'],
  ] as const) {
    t.equal(
      expand(text, (n) => env.get(n)),
      want,
      text,
    );
  }
  t.equal(expandStrict('$(A)/x', env), '1/x');
  t.throws(() => expandStrict('$(NONE)', env), /NONE/);
});

const resources = (requests: object, limits: object) => ({ resources: { requests, limits } });

await t.test('qosClass(), cgroups and shares', async (t) => {
  const full = { cpu: '500m', memory: '1Gi' };
  for (const [name, containers, qos, path, cgroup] of [
    ['nothing asked', [{}], 'BestEffort', 'besteffort/', { cpuShares: 2 }],
    [
      'all equal',
      [resources(full, full)],
      'Guaranteed',
      '',
      {
        cpuShares: 512,
        cpuQuotaMicros: 50_000,
        cpuPeriodMicros: 100_000,
        memoryLimitBytes: 2 ** 30,
      },
    ],
    [
      'limits only',
      [resources({}, full)],
      'Guaranteed',
      '',
      { cpuShares: 2, cpuQuotaMicros: 50_000, cpuPeriodMicros: 100_000, memoryLimitBytes: 2 ** 30 },
    ],
    ['requests only', [resources(full, {})], 'Burstable', 'burstable/', { cpuShares: 512 }],
    ['one of two', [resources(full, full), {}], 'Burstable', 'burstable/', { cpuShares: 512 }],
    [
      'cpu only',
      [resources({ cpu: '1' }, { cpu: '1' })],
      'Burstable',
      'burstable/',
      { cpuShares: 1024, cpuQuotaMicros: 100_000, cpuPeriodMicros: 100_000 },
    ],
  ] as const) {
    const p = pod({ containers });
    t.equal(qosClass(p), qos, name);
    t.equal(podCgroupPath(p), `kubepods.slice/${path}podu`, name);
    t.same(podCgroup(p), cgroup, name);
  }
});

await t.test('podRequest() counts init containers and sidecars as upstream', async (t) => {
  const cpu = (milli: number, more: object = {}) => ({
    ...resources({ cpu: `${milli}m` }, {}),
    ...more,
  });
  for (const [name, spec, want] of [
    ['sum of mains', { containers: [cpu(1), cpu(2)] }, 3],
    ['init peak', { containers: [cpu(1)], initContainers: [cpu(5), cpu(4)] }, 5],
    [
      'sidecars add',
      { containers: [cpu(1)], initContainers: [cpu(5, { restartPolicy: 'Always' })] },
      6,
    ],
    [
      'init beside sidecar',
      { containers: [cpu(1)], initContainers: [cpu(5, { restartPolicy: 'Always' }), cpu(4)] },
      9,
    ],
    ['overhead', { containers: [cpu(1)], overhead: { cpu: '10m' } }, 11],
    ['pod level', { containers: [cpu(1)], resources: { requests: { cpu: '7m' } } }, 7],
  ] as const) {
    t.equal(podRequest(pod(spec), 'cpu'), want, name);
  }
});

await t.test('containerResources()', async (t) => {
  const memory = 16 * 2 ** 30;
  const of = (container: object, spec: object = {}) => {
    const p = pod({ containers: [{ name: 'c', ...container }], ...spec });
    return containerResources(p, p.spec.containers[0]!, memory); // Just made.
  };
  t.equal(of({}).oomScoreAdj, 1000);
  t.equal(of(resources({ memory: '8Gi' }, {})).oomScoreAdj, 500);
  t.equal(of(resources({ cpu: '1' }, {})).oomScoreAdj, 999);
  t.equal(
    of(resources({ cpu: '1', memory: '1Gi' }, { cpu: '1', memory: '1Gi' })).oomScoreAdj,
    -997,
  );
  t.equal(of({}, { priority: 2_000_001_000 }).oomScoreAdj, -997);
  t.equal(of(resources({}, { cpu: '1m' })).cpuQuotaMicros, 1000, 'quota has a floor');
  t.equal(of(resources({}, { cpu: '2' })).cpuShares, 2048, 'limit stands in for request');
});

const facts = {
  nodeName: 'n',
  hostIPs: ['192.0.2.1'],
  podIPs: ['10.0.0.5', 'fd00::5'],
  allocatable: { cpu: '2', memory: '4Gi' },
};

await t.test('fields', async (t) => {
  const p = pod(
    {
      serviceAccountName: 'sa',
      containers: [{ name: 'c', ...resources({ memory: '32Mi' }, { cpu: '1250m' }) }],
    },
    { labels: { b: 'x"y', a: '1' }, annotations: { k: 'v' } },
  );
  for (const [path, want] of [
    ['metadata.name', 'p'],
    ['metadata.labels', 'a="1"\nb="x\\"y"'],
    ["metadata.labels['a']", '1'],
    ["metadata.annotations['none']", ''],
    ['status.podIPs', '10.0.0.5,fd00::5'],
    ['status.hostIP', '192.0.2.1'],
    ['spec.nodeName', 'n'],
    ['spec.serviceAccountName', 'sa'],
  ] as const) {
    t.equal(fieldValue(p, path, facts), want, path);
  }
  t.throws(() => fieldValue(p, 'spec.nothing', facts));
  t.equal(formatMap(undefined), '');
  for (const [resource, divisor, want] of [
    ['limits.cpu', undefined, '2'],
    ['limits.cpu', '1m', '1250'],
    ['requests.memory', '1Mi', '32'],
    ['requests.memory', '0', '33554432'],
    ['limits.memory', '1Gi', '4'],
    ['requests.cpu', '1m', '0'],
  ] as const) {
    const selector = { resource, divisor, containerName: 'c' };
    t.equal(resourceValue(p, selector, facts), want, `${resource} / ${divisor}`);
  }
  t.throws(() => resourceValue(p, { resource: 'limits.cpu', containerName: 'x' }, facts));
});

const service = (name: string, namespace: string, ports: object[], clusterIP = '10.96.0.7') =>
  ({ metadata: { name, namespace }, spec: { clusterIP, ports } }) as unknown as Service; // Enough.

await t.test('environment', async (t) => {
  const services = [
    service('kubernetes', 'default', [{ name: 'https', port: 443 }], '10.96.0.1'),
    service('my-db', 'ns', [{ port: 5432, protocol: 'TCP' }]),
    service('other', 'elsewhere', [{ port: 1 }]),
    service('headless', 'ns', [{ port: 1 }], 'None'),
  ];
  const env = serviceEnv(pod({}), services);
  t.equal(env.get('MY_DB_SERVICE_HOST'), '10.96.0.7');
  t.equal(env.get('MY_DB_PORT_5432_TCP'), 'tcp://10.96.0.7:5432');
  t.equal(env.get('KUBERNETES_SERVICE_PORT_HTTPS'), '443');
  t.notOk(env.has('OTHER_SERVICE_HOST'));
  t.notOk(env.has('HEADLESS_SERVICE_HOST'));
  t.notOk(serviceEnv(pod({ enableServiceLinks: false }), services).has('MY_DB_PORT'));

  const objects = {
    configMap: async (name: string) =>
      name === 'cm' ? ({ data: { k: 'from-cm', A: 'cm-a' } } as never) : undefined,
    secret: async (name: string) =>
      name === 's'
        ? ({ data: { k: Buffer.from('hidden').toString('base64') } } as never)
        : undefined,
  };
  const of = (container: object) =>
    containerEnv(
      {
        pod: pod({}),
        container: { name: 'c', ...container },
        services,
        facts,
        objects,
        volumeFile: (name, path) => (path === 'f' ? `A='in ${name}'\nBAD='x` : undefined),
      },
      new AbortController().signal,
    );
  const file = (given: object) => ({ volumeName: 'v', path: 'f', key: 'A', ...given });
  const got = await of({
    envFrom: [{ prefix: 'P_', configMapRef: { name: 'cm' } }, { secretRef: { name: 's' } }],
    env: [
      { name: 'A', value: '$(P_k)-$(k)' },
      { name: 'B', value: '$(A) $(LATER) $(MY_DB_SERVICE_PORT)' },
      { name: 'LATER', value: 'x' },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'K', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
      { name: 'O', valueFrom: { configMapKeyRef: { name: 'none', key: 'k', optional: true } } },
      { name: 'F', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'f', key: 'A' } } },
      { name: 'G', valueFrom: { fileKeyRef: file({ path: 'none', optional: true }) } },
    ],
  });
  t.equal(got.get('F'), 'in v');
  t.notOk(got.has('G'));
  t.equal(got.get('A'), 'from-cm-hidden');
  t.equal(got.get('B'), 'from-cm-hidden $(LATER) 5432');
  t.equal(got.get('IP'), '10.0.0.5');
  t.equal(got.get('K'), 'hidden');
  t.notOk(got.has('O'));
  for (const [container, text] of [
    [{ envFrom: [{ configMapRef: { name: 'none' } }] }, 'configmap "none" not found'],
    [
      { env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'none', key: 'k' } } }] },
      'secret "none" not found',
    ],
    [
      { env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'cm', key: 'zz' } } }] },
      "couldn't find key zz in ConfigMap ns/cm",
    ],
    [
      { env: [{ name: 'X', valueFrom: { fileKeyRef: file({ path: 'none' }) } }] },
      'environment variable key "A" not found in file "none" of volume v',
    ],
    [
      { env: [{ name: 'X', valueFrom: { fileKeyRef: file({ key: 'BAD' }) } }] },
      "couldn't parse env file f of volume v",
    ],
  ] as const) {
    await t.rejects(of(container), { message: text, name: 'ConfigError' });
  }
});

await t.test('envFileValue()', async (t) => {
  const text = [
    '# comment',
    '',
    "A='1'",
    "  B='two words' # behind",
    "C='over",
    " lines '",
    "D= 'no'",
    "E=''",
    "A='again'",
    "dotted.key='=='",
  ].join('\n');
  for (const [key, value] of [
    ['A', '1'],
    ['B', 'two words'],
    ['C', 'over\n lines '],
    ['D', ''],
    ['E', ''],
    ['dotted.key', '=='],
    ['Z', undefined],
  ] as const) {
    t.equal(envFileValue(text, key), value, key);
  }
  for (const [bad, why] of [
    ['A', "line 1: expected NAME='value'"],
    ["='x'", "line 1: expected NAME='value'"],
    ["A ='x'", "line 1: expected NAME='value'"],
    ['\nA=x', 'line 2: value must be enclosed in single quotes'],
    ['A="x"', 'line 1: value must be enclosed in single quotes'],
    ["A='x\n\ny", 'line 1: unclosed single quote'],
    ["A='x\n' y", 'line 2: unexpected content after closing quote'],
  ] as const) {
    t.throws(() => envFileValue(bad, 'K'), { name: 'EnvFileError', message: why }, bad);
  }
});

await t.test('containerSecurity()', async (t) => {
  const image = (user: string) => ({
    user,
    env: [],
    entrypoint: [],
    cmd: [],
    workingDir: '',
    stopSignal: '',
    volumes: [],
    labels: {},
  });
  const of = (own: object, podContext: object = {}, user = '') =>
    containerSecurity(
      pod({ securityContext: podContext }),
      { name: 'c', securityContext: own },
      image(user),
    );
  t.match(of({ runAsUser: 7 }, { runAsUser: 5, runAsGroup: 6 }), { runAsUser: 7, runAsGroup: 6 });
  t.same(of({}, { supplementalGroups: [3], fsGroup: 9 }).supplementalGroups, [3, 9]);
  t.same(of({ privileged: true }).maskedPaths, []);
  t.ok(of({}).maskedPaths.includes('/proc/kcore'));
  t.equal(of({ allowPrivilegeEscalation: false }).noNewPrivileges, true);
  t.equal(of({}).noNewPrivileges, false);
  t.equal(of({}, { seccompProfile: { type: 'RuntimeDefault' } }).seccomp, 'RuntimeDefault');
  t.same(of({ capabilities: { add: ['CAP_NET_ADMIN', 'sys_time'] } }).addCapabilities, [
    'NET_ADMIN',
    'SYS_TIME',
  ]);
  for (const [own, user, text] of [
    [{ runAsNonRoot: true, runAsUser: 0 }, '5', /container's runAsUser breaks non-root policy/],
    [{ runAsNonRoot: true }, '', /image will run as root/],
    [{ runAsNonRoot: true }, '0:5', /image will run as root/],
    [{ runAsNonRoot: true }, 'web', /non-numeric user \(web\)/],
    [{ seccompProfile: { type: 'Localhost' } }, '', /not supported/],
  ] as const) {
    t.throws(() => of(own, {}, user), text);
  }
  t.doesNotThrow(() => of({ runAsNonRoot: true }, {}, '65534'));
});

await t.test('names, hosts and resolver', async (t) => {
  const domain = 'cluster.local';
  t.same(podHostname(pod({ subdomain: 'sub', hostname: 'h' }), domain), {
    hostname: 'h',
    domain: 'sub.ns.svc.cluster.local',
  });
  t.equal(podHostname(pod({}, { name: `${'x'.repeat(62)}-y` }), domain).hostname, 'x'.repeat(62));
  const aliased = pod({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['foo', 'bar'] }] });
  const hosts = hostsFile(aliased, {
    podIPs: ['10.0.0.5'],
    name: { hostname: 'h', domain: 'd' },
    hostFile: '',
  });
  t.match(hosts, /^# Kubernetes-managed hosts file\.\n/);
  t.match(hosts, /\n10\.0\.0\.5\th\.d\th\n/);
  t.match(hosts, /\n1\.2\.3\.4\tfoo\tbar\n$/);
  const shared = hostsFile(pod({ hostNetwork: true }), {
    podIPs: [],
    name: { hostname: 'h', domain: '' },
    hostFile: '127.0.0.1 me\n',
  });
  t.equal(shared, '# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n');

  const host = parseResolvConf(
    'search a.example.\nnameserver 9.9.9.9\noptions timeout:1 ndots:2\n',
  );
  const dns = { host, clusterDns: ['10.96.0.10'], clusterDomain: domain };
  const of = (spec: object) => formatResolvConf(podResolvConf(pod(spec), dns));
  const cluster =
    'search ns.svc.cluster.local svc.cluster.local cluster.local a.example\n' +
    'nameserver 10.96.0.10\noptions ndots:5\n';
  const own = 'search a.example\nnameserver 9.9.9.9\noptions timeout:1 ndots:2\n';
  for (const [spec, want] of [
    [{}, cluster],
    [{ hostNetwork: true }, own],
    [{ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }, cluster],
    [{ dnsPolicy: 'Default' }, own],
    [
      {
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['1.1.1.1'],
          searches: ['x'],
          options: [{ name: 'ndots', value: '1' }, { name: 'rotate' }],
        },
      },
      'search x\nnameserver 1.1.1.1\noptions ndots:1 rotate\n',
    ],
    [
      { dnsPolicy: 'Default', dnsConfig: { options: [{ name: 'ndots', value: '9' }] } },
      'search a.example\nnameserver 9.9.9.9\noptions timeout:1 ndots:9\n',
    ],
  ] as const) {
    t.equal(of(spec), want, JSON.stringify(spec));
  }
});
