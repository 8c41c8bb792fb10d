/**
 * Services and DNS as pods of a development node see them: every kind of Service, what happens when
 * endpoints change, each record type, search domains and the world outside.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { decode, encode } from 'dns-packet';
import t from 'tap';
import { BUSYBOX, cannotRun, eventually, pod, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

let node: TestNode;

const SERVE = 'mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www';
const sh = (script: string) => ['sh', '-c', script];
const WAIT = 'while :; do sleep 0.1; done';

const service = (name: string, spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'default' },
  spec,
});
/** Endpoints of a Service that selects none. */
const slice = (serviceName: string, port: object, addresses: readonly string[]) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: `${serviceName}-1`,
    namespace: 'default',
    labels: { 'kubernetes.io/service-name': serviceName },
  },
  addressType: 'IPv4',
  ports: [port],
  endpoints: [{ addresses }],
});
const HTTP = { name: 'http', port: 80, targetPort: 'web' };
const ofWeb = (name: string, spec: object = {}) =>
  service(name, { selector: { app: 'web' }, ports: [HTTP], ...spec });

const always = { restartPolicy: 'Always', terminationGracePeriodSeconds: 0 };
const objects: readonly object[] = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [
            {
              name: 'web',
              image: BUSYBOX,
              command: sh(SERVE),
              ports: [{ name: 'web', containerPort: 8080 }],
              readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  },
  pod('client', { command: sh(WAIT) }, { spec: always }),
  pod(
    'member',
    { command: sh(SERVE), ports: [{ name: 'web', containerPort: 8080, hostPort: 8099 }] },
    {
      metadata: { labels: { app: 'member' } },
      spec: { ...always, hostname: 'm0', subdomain: 'members' },
    },
  ),
  pod(
    'unready',
    {
      command: sh(SERVE),
      ports: [{ name: 'web', containerPort: 8080 }],
      readinessProbe: { exec: { command: ['false'] } },
    },
    { metadata: { labels: { app: 'unready' } }, spec: always },
  ),
  ofWeb('web'),
  ofWeb('sticky', { sessionAffinity: 'ClientIP' }),
  ofWeb('headless', { clusterIP: 'None' }),
  ofWeb('ported', { type: 'NodePort', externalTrafficPolicy: 'Local' }),
  service('members', { clusterIP: 'None', selector: { app: 'member' }, ports: [HTTP] }),
  service('itself', { selector: { app: 'member' }, ports: [HTTP] }),
  service('unready', { selector: { app: 'unready' }, ports: [HTTP] }),
  service('early', {
    selector: { app: 'unready' },
    ports: [HTTP],
    publishNotReadyAddresses: true,
  }),
  service('udp', { ports: [{ port: 53, protocol: 'UDP' }] }),
  service('alias', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }),
  service('manual', { ports: [{ port: 80 }] }),
];

t.before(async () => {
  node = await TestNode.start();
  await node.create(...objects);
  await node.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  await node.kubectl('wait', '--for=condition=Ready', 'pod/client', 'pod/member', '--timeout=60s');
});
t.teardown(() => node[Symbol.asyncDispose]());

const inClient = (script: string) => node.exec('client', script);
const page = (url: string) => inClient(`wget -q -O - ${url}`);
/** The distinct pages of some requests. */
async function pages(url: string, count = 16): Promise<string[]> {
  const script = `for i in $(seq ${count}); do wget -q -O - ${url}; done | sort -u`;
  return (await inClient(script)).trim().split('\n');
}
const webPods = async () =>
  (await node.kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].metadata.name}'))
    .split(' ')
    .toSorted();
const webIps = async () =>
  (await node.kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}'))
    .split(' ')
    .toSorted();
const clusterIp = (name: string) =>
  node.kubectl('get', 'service', name, '-o', 'jsonpath={.spec.clusterIP}');

t.test('a ClusterIP spreads over its pods, by name and by address', async (t) => {
  const wanted = await webPods();
  await eventually('both answer', async () => assert.deepEqual(await pages('http://web/'), wanted));
  t.same(await pages(`http://${await clusterIp('web')}/`), wanted);
  t.match(await page('http://web.default/'), /^web-/);
  t.match(await page('http://web.default.svc.cluster.local./'), /^web-/);
  t.match(await page('http://alias/'), /^web-/, 'ExternalName');
});

t.test('session affinity keeps a client at one pod', async (t) => {
  t.equal((await pages('http://sticky/', 20)).length, 1);
});

t.test('node ports and host ports', async (t) => {
  const port = await node.kubectl(
    'get',
    'service',
    'ported',
    '-o',
    'jsonpath={.spec.ports[0].nodePort}',
  );
  const { nodeIp } = node.identity;
  const fetched = async (at: string) => (await fetch(`http://${at}/`)).text();
  t.match(await fetched(`${nodeIp}:${port}`), /^web-/, 'from outside');
  t.match(await page(`http://${nodeIp}:${port}/`), /^web-/, 'from a pod');
  t.equal(await fetched(`${nodeIp}:8099`), 'm0\n');
});

t.test('a pod reaches itself through its Service', async (t) => {
  t.equal(await node.exec('member', 'wget -q -O - http://itself/'), 'm0\n');
});

t.test('without a ready endpoint connections are refused at once', async (t) => {
  const startedAt = performance.now();
  const refused = await node.run(['exec', 'client', '--', 'wget', '-O', '-', 'http://unready/']);
  t.match(refused.stderr, /Connection refused/);
  t.ok(performance.now() - startedAt < 10_000);
  t.equal(await page('http://early/'), 'unready\n', 'publishNotReadyAddresses');
});

t.test('endpoints follow: scaled, deleted, written by hand', async (t) => {
  await node.kubectl('scale', 'deployment/web', '--replicas=3');
  await node.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  const three = await webPods();
  t.equal(three.length, 3);
  await eventually('the third takes part', async () =>
    assert.deepEqual(await pages('http://web/', 40), three),
  );
  await node.kubectl('scale', 'deployment/web', '--replicas=1');
  await eventually('one is left', async () => {
    const left = await webPods();
    assert.equal(left.length, 1);
    assert.deepEqual(await pages('http://web/', 10), left);
  });
  await node.create(slice('manual', { port: 8080, protocol: 'TCP' }, await webIps()));
  await eventually('the slice counts', async () =>
    assert.match(await page('http://manual/'), /^web-/),
  );
  const gone = await clusterIp('itself');
  await node.kubectl('delete', 'service', 'itself');
  await eventually('a deleted Service does not answer', async () => {
    const { code } = await node.run(['exec', 'client', '--', 'nc', '-w', '1', gone, '80']);
    return code !== 0;
  });
});

/** `nslookup`, one line for each answer. */
async function lookup(name: string, type: string, ...server: string[]): Promise<string[]> {
  const words = ['nslookup', `-type=${type}`, name, ...server];
  const { stdout } = await node.run(['exec', 'client', '--', ...words]);
  return stdout
    .split('\n')
    .slice(2) // The server.
    .map((line) => line.trim().replaceAll(/\s+/g, ' '))
    .filter((line) => line !== '' && line !== 'Non-authoritative answer:')
    .toSorted();
}

t.test('DNS: A records', async (t) => {
  const domain = 'default.svc.cluster.local';
  const a = (name: string, ip: string) => [`Address: ${ip}`, `Name: ${name}`];
  t.same(await lookup(`web.${domain}`, 'a'), a(`web.${domain}`, await clusterIp('web')));
  const headless = (await lookup(`headless.${domain}`, 'a')).filter((l) => l.startsWith('Address'));
  t.same(
    headless,
    (await webIps()).map((ip) => `Address: ${ip}`),
  );
  const { podIP } = (await node.get('pod', 'member')).status;
  const member = `m0.members.${domain}`;
  t.same(await lookup(member, 'a'), a(member, podIP), 'the name of one pod');
  const dashed = `${podIP.replaceAll('.', '-')}.default.pod.cluster.local`;
  t.same(await lookup(dashed, 'a'), a(dashed, podIP));
  t.match((await lookup(`none.${domain}`, 'a')).join(), /NXDOMAIN/);
  t.notMatch((await lookup(`web.${domain}`, 'aaaa')).join(), /NXDOMAIN/, 'no data is no absence');
  t.match((await lookup(`alias.${domain}`, 'cname')).join(), `canonical name = web.${domain}`);
});

t.test('DNS: SRV and PTR', async (t) => {
  const domain = 'default.svc.cluster.local';
  const srv = await lookup(`_http._tcp.web.${domain}`, 'srv');
  t.match(srv.join(), new RegExp(`_http._tcp.web.${domain} service = 0 100 80 web.${domain}`));
  const headless = await lookup(`_http._tcp.members.${domain}`, 'srv');
  t.match(headless.join(), new RegExp(`service = 0 100 8080 m0.members.${domain}`));
  const reverse = (ip: string) => `${ip.split('.').toReversed().join('.')}.in-addr.arpa`;
  const ptr = async (ip: string) => (await lookup(reverse(ip), 'ptr')).join();
  t.match(await ptr(await clusterIp('web')), `name = web.${domain}`);
  t.match(await ptr((await node.get('pod', 'member')).status.podIP), `name = m0.members.${domain}`);
  t.match(await ptr('10.96.77.77'), /NXDOMAIN/);
});

/** The name server of the world outside: knows one name. */
async function outside(address: string): Promise<{ socket: Socket; asked: string[] }> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (bytes, from) => {
    const query = decode(bytes);
    const [question] = query.questions ?? [];
    if (question === undefined) return;
    asked.push(`${question.name} ${question.type}`);
    const known = question.name === 'far.example' && question.type === 'A';
    const answer = encode({
      type: 'response',
      id: query.id ?? 0,
      flags: known ? 0 : 3, // NXDOMAIN.
      questions: [question],
      answers: known ? [{ type: 'A', name: question.name, ttl: 30, data: '192.0.2.80' }] : [],
    });
    socket.send(answer, from.port, from.address);
  });
  socket.bind(53, address);
  await once(socket, 'listening');
  return { socket, asked };
}

t.test('DNS: names of the world outside are asked for there', async (t) => {
  const world = await outside(node.identity.hostIp);
  t.teardown(() => world.socket.close());
  const agent = node.pidOf('agent');
  writeFileSync(
    `/proc/${agent}/root/run/bareboat/resolv.conf`,
    `nameserver ${node.identity.hostIp}\n`,
  );
  await eventually('the answer came', async () => {
    assert.deepEqual(await lookup('far.example.', 'a'), [
      'Address: 192.0.2.80',
      'Name: far.example',
    ]);
  });
  t.match((await lookup('nowhere.example.', 'a')).join(), /NXDOMAIN/);
  const before = world.asked.length;
  await lookup('far.example.', 'a');
  t.equal(world.asked.filter((name) => name === 'far.example A').length, 1, 'the answer is kept');
  await lookup('web', 'a');
  t.notOk(
    world.asked.slice(before).some((name) => name.includes('cluster.local')),
    'ours stays here',
  );
});

t.test('UDP: a name server behind a Service', async (t) => {
  const { hostIp } = node.identity;
  const world = await outside(hostIp);
  t.teardown(() => world.socket.close());
  await node.create(slice('udp', { port: 53, protocol: 'UDP' }, [hostIp]));
  const ip = await clusterIp('udp');
  await eventually('it answers', async () => {
    const answer = await lookup('far.example.', 'a', ip);
    assert.deepEqual(answer, ['Address: 192.0.2.80', 'Name: far.example']);
  });
  t.match(world.asked, ['far.example A']);
});

t.test('the network works on while the agent is away', async (t) => {
  const pid = node.pidOf('agent') ?? 0;
  const { nodeIp } = node.identity;
  const port = await node.kubectl(
    'get',
    'service',
    'ported',
    '-o',
    'jsonpath={.spec.ports[0].nodePort}',
  );
  process.kill(pid, 'SIGKILL');
  const answer = await fetch(`http://${nodeIp}:${port}/`);
  t.match(await answer.text(), /^web-/, 'rules and addresses stay');
  await eventually('another agent runs', () => ![undefined, pid].includes(node.pidOf('agent')));
  await eventually('it answers names', async () =>
    assert.match(await page('http://web/'), /^web-/),
  );
  await node.create(pod('late', { command: sh(SERVE) }, { spec: always }));
  await node.waitFor('late', '{.status.phase}', 'Running');
  const { podIP } = (await node.get('pod', 'late')).status;
  await eventually('a new pod is reached', async () =>
    assert.equal(await page(`http://${podIP}:8080/`), 'late\n'),
  );
  const { stdout } = await node.run([
    'get',
    'pods',
    '-A',
    '-o',
    'jsonpath={.items[*].status.podIP}',
  ]);
  const ips = stdout.split(' ');
  t.equal(new Set(ips).size, ips.length, 'no address is given twice');
});
