/**
 * kube-proxy on a real kernel: a node with pods A and B, an outside host behind it. Needs root; nothing
 * touches the host's own namespace.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { must } from '#base/assert.ts';
import { RealClock } from '#base/clock.ts';
import { parseCidr, parseIp } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { CLONE, setns, unshare } from '#base/linux/syscall.ts';
import { silentLog } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { ClusterDns } from '#net/dns/dns.ts';
import { RtNetlink, inNetnsFd } from '#net/netlink/netlink.ts';
import { Nftables } from '#net/nftables/nftables.ts';
import { BridgePodNetwork } from '#net/pod/pod.ts';
import { planPodTable } from '#net/pod/rules.ts';
import { ProxyState, ServiceProxy } from '#net/proxy/proxy.ts';
import { TestInformer, testService, testSlice } from '#net/test-objects.ts';
import { NetWorker, type TestNetns, connectOutside, createNetns } from './net-worker.ts';

const cidr = (text: string) => must(parseCidr(text), text);
const clock = new RealClock();
const rootless = process.getuid?.() === 0 ? false : 'needs root';
const DNS = '10.96.0.10';
const [A, B] = ['10.244.1.2', '10.244.1.3'];

/** Polls until `read` gives `expected`; what it gave last is returned either way. */
async function eventually(read: () => Promise<string>, expected: string): Promise<string> {
  const deadline = Date.now() + 5000;
  for (;;) {
    const value = await read();
    if (value === expected || Date.now() > deadline) return value;
    await clock.sleep(20, AbortSignal.timeout(5000));
  }
}

t.test('the kernel takes the tables of IPv6', { skip: rootless }, async (t) => {
  unshare(CLONE.NEWNET);
  const state = new ProxyState({
    family: 6,
    tableName: 'kube-proxy',
    podCidr: cidr('fd00:10::/64'),
    serviceCidrs: [cidr('fd00:96::/112')],
    placement: { nodeName: 'node' },
    ownAddresses: new Set(),
  });
  const rows = [
    { sessionAffinity: 'ClientIP' },
    { externalTrafficPolicy: 'Local', externalIPs: ['2001:db8::1'], sessionAffinity: 'ClientIP' },
    { ingress: ['2001:db8::2'], loadBalancerSourceRanges: ['2001:db8::/32'] },
  ];
  for (const [i, spec] of rows.entries()) {
    state.setService(testService(`s${i}`, `fd00:96::${i + 1}`, spec));
    const endpoints = [{ ip: 'fd00:10::2', node: 'node' }, { ip: 'fd00:10::3' }];
    state.setSlice(testSlice(`s${i}`, endpoints, { addressType: 'IPv6' }));
  }
  state.plan();
  using nft = new Nftables();
  t.ok(nft.sync(state.table()) > 0);
  t.equal(nft.sync(state.table()), 0, 'and gives them back as they were given');
  const pods = planPodTable(
    {
      family: 6,
      tableName: 'pods',
      bridgeName: 'br0',
      clusterCidr: cidr('fd00:10::/64'),
      podCidr: cidr('fd00:10::/64'),
    },
    [],
  );
  t.ok(nft.sync(pods) > 0);
  t.equal(nft.sync(pods), 0);
});

t.test('service proxy', { skip: rootless }, async (t) => {
  unshare(CLONE.NEWNET); // The main thread is the node from here on.
  const node: TestNetns = createNetns();
  setns(node.fd, CLONE.NEWNET);
  const outside = createNetns();
  connectOutside(outside);
  inNetnsFd(outside.fd, () => {
    using out = new RtNetlink();
    const { index } = must(out.link('eth0'), 'eth0');
    for (const text of ['198.51.100.0/24', '10.96.0.0/16']) {
      out.putRoute({
        family: 4,
        destination: cidr(text),
        gateway: must(parseIp('192.0.2.1'), ''),
        index,
      });
    }
  });
  const dir = mkdtempSync(join(tmpdir(), 'net-proxy-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  using network = new BridgePodNetwork({
    log: silentLog,
    bridgeName: 'bareboat0',
    podCidr: cidr('10.244.1.0/24'),
    clusterCidr: cidr('10.244.0.0/16'),
    allocationFile: join(dir, 'allocations.json'),
  });
  const [a, b] = [createNetns(), createNetns()];
  const signal = new AbortController().signal;
  await network.attach({ sandboxId: 'a', netnsPath: a.path, hostPorts: [] }, signal);
  await network.attach({ sandboxId: 'b', netnsPath: b.path, hostPorts: [] }, signal);
  await using onNode = new NetWorker(node);
  await using inA = new NetWorker(a);
  await using inB = new NetWorker(b);
  await using out = new NetWorker(outside);
  await inA.serveTcp(80, 'A');
  await inB.serveTcp(80, 'B');
  await inA.serveUdp(53, 'A');
  await inB.serveUdp(53, 'B');

  const services = new TestInformer<Service>();
  const endpointSlices = new TestInformer<EndpointSlice>();
  const [onA, onB] = [
    { ip: A, node: 'node' },
    { ip: B, node: 'node' },
  ];
  const elsewhere = { ip: '10.244.9.9', node: 'other' };
  const local = { externalTrafficPolicy: 'Local' };
  const port = (nodePort: number) => [{ name: '', port: 80, protocol: 'TCP', nodePort }];

  services.set(testService('both', '10.96.0.1'));
  endpointSlices.set(testSlice('both', [onA, onB]));
  services.set(
    testService('only-a', '10.96.0.2', {
      type: 'NodePort',
      ports: port(30002),
      externalIPs: ['198.51.100.1'],
    }),
  );
  endpointSlices.set(testSlice('only-a', [onA]));
  services.set(testService('none', '10.96.0.3', { type: 'NodePort', ports: port(30003) }));
  services.set(
    testService('local', '10.96.0.4', {
      type: 'LoadBalancer',
      ports: port(30004),
      ingress: ['198.51.100.2'],
      ...local,
      loadBalancerSourceRanges: ['192.0.2.0/30'],
    }),
  );
  endpointSlices.set(testSlice('local', [onB, elsewhere]));
  services.set(
    testService('remote', '10.96.0.5', {
      type: 'NodePort',
      ports: port(30005),
      ...local,
      internalTrafficPolicy: 'Local',
    }),
  );
  endpointSlices.set(testSlice('remote', [elsewhere]));
  services.set(
    testService('sticky', '10.96.0.6', {
      type: 'NodePort',
      ports: port(30006),
      sessionAffinity: 'ClientIP',
    }),
  );
  endpointSlices.set(testSlice('sticky', [onA, onB]));
  services.set(
    testService('guarded', '10.96.0.7', {
      type: 'LoadBalancer',
      ingress: ['198.51.100.3'],
      loadBalancerSourceRanges: ['203.0.113.0/24'],
    }),
  );
  endpointSlices.set(testSlice('guarded', [onA]));
  services.set(
    testService('kubernetes', '10.96.0.9', {
      ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
    }),
  );
  endpointSlices.set(
    testSlice('kubernetes', [{ ip: '192.0.2.1' }], {
      ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
    }),
  );
  await onNode.serveTcp(6443, 'API');
  const udp = { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] };
  services.set(testService('udp', '10.96.0.8', udp));
  endpointSlices.set(testSlice('udp', [onA], udp));

  await using tasks = new TaskScope(signal);
  const options = {
    clock,
    log: silentLog,
    services,
    endpointSlices,
    family: 4,
    nodeName: 'node',
    podCidr: cidr('10.244.0.0/16'),
    serviceCidrs: [cidr('10.96.0.0/16')],
    ownAddresses: [DNS],
  } as const;
  const proxy = new ServiceProxy(options);
  tasks.spawn('proxy', (taskSignal) => proxy.run(taskSignal));
  await Promise.race([proxy.synced, tasks.join()]);

  const many = async (dial: () => Promise<string>) =>
    [...new Set(await Promise.all(Array.from({ length: 24 }, dial)))].sort().join(', ');
  const short = { timeoutMs: 250 };
  const cases = [
    [
      'balances over all endpoints',
      () => many(() => out.dialTcp('10.96.0.1', 80)),
      'A 10.244.1.1, B 10.244.1.1',
    ],
    ['pod to service keeps its source', () => inB.dialTcp('10.96.0.2', 80), `A ${B}`],
    ['pod to itself through a service', () => inA.dialTcp('10.96.0.2', 80), 'A 10.244.1.1'],
    ['node to cluster IP', () => onNode.dialTcp('10.96.0.2', 80), 'A 10.244.1.1'],
    ['cluster IP, port that no service has', () => inA.dialTcp('10.96.0.2', 81), 'ECONNREFUSED'],
    ['the same from the node', () => onNode.dialTcp('10.96.0.2', 81), 'ECONNREFUSED'],
    ['address that no service has', () => inA.dialTcp('10.96.9.9', 80, short), 'TIMEOUT'],
    ['service without endpoints', () => inA.dialTcp('10.96.0.3', 80), 'ECONNREFUSED'],
    ['the same from the node', () => onNode.dialTcp('10.96.0.3', 80), 'ECONNREFUSED'],
    ['node port without endpoints', () => out.dialTcp('192.0.2.1', 30003), 'ECONNREFUSED'],
    ['node port from outside', () => out.dialTcp('192.0.2.1', 30002), 'A 10.244.1.1'],
    ['node port from the node', () => onNode.dialTcp('192.0.2.1', 30002), 'A 10.244.1.1'],
    ['node port from a pod', () => inB.dialTcp('192.0.2.1', 30002), 'A 10.244.1.1'],
    ['external IP from outside', () => out.dialTcp('198.51.100.1', 80), 'A 10.244.1.1'],
    [
      'node port with local policy keeps the source',
      () => many(() => out.dialTcp('192.0.2.1', 30004)),
      'B 192.0.2.2',
    ],
    [
      'load balancer IP with local policy',
      () => many(() => out.dialTcp('198.51.100.2', 80)),
      'B 192.0.2.2',
    ],
    [
      'load balancer IP, source out of range',
      () => out.dialTcp('198.51.100.3', 80, short),
      'TIMEOUT',
    ],
    ['cluster IP of the same service', () => out.dialTcp('10.96.0.7', 80), 'A 10.244.1.1'],
    [
      'local policy without local endpoint',
      () => out.dialTcp('192.0.2.1', 30005, short),
      'TIMEOUT',
    ],
    [
      'internal local policy without local endpoint',
      () => inA.dialTcp('10.96.0.5', 80, short),
      'TIMEOUT',
    ],
    ['pod to a service of the node', () => inA.dialTcp('10.96.0.9', 443), `API ${A}`],
    ['node to a service of its own', () => onNode.dialTcp('10.96.0.9', 443), 'API 192.0.2.1'],
    ['UDP to service', () => inB.dialUdp('10.96.0.8', 53), `A ${B}`],
  ] as const;
  for (const [name, dial, expected] of cases) t.equal(await dial(), expected, name);

  await t.test('session affinity keeps an endpoint until it is gone', async (t) => {
    for (const [host, dialPort] of [
      ['10.96.0.6', 80],
      ['192.0.2.1', 30006],
    ] as const) {
      const first = await many(() => out.dialTcp(host, dialPort));
      t.match(first, /^[AB] 10\.244\.1\.1$/, `${host} always answers with one`);
      const [keep, name] = first.startsWith('A') ? [onB, 'B'] : [onA, 'A'];
      endpointSlices.set(testSlice('sticky', [keep]));
      t.equal(
        await eventually(() => out.dialTcp(host, dialPort), `${name} 10.244.1.1`),
        `${name} 10.244.1.1`,
      );
      endpointSlices.set(testSlice('sticky', [onA, onB]));
      t.equal(
        await many(() => out.dialTcp(host, dialPort)),
        `${name} 10.244.1.1`,
        'and stays with the new one',
      );
    }
  });

  await t.test('a UDP flow follows when its endpoint is replaced', async (t) => {
    const dial = () => out.dialUdp('10.96.0.8', 53, { localPort: 5555, timeoutMs: 300 });
    t.equal(await dial(), 'A 10.244.1.1');
    endpointSlices.set(testSlice('udp', [onB], udp));
    t.equal(await eventually(dial, 'B 10.244.1.1'), 'B 10.244.1.1');
    endpointSlices.set(testSlice('udp', [], udp));
    t.equal(await eventually(dial, 'ECONNREFUSED'), 'ECONNREFUSED');
    endpointSlices.set(testSlice('udp', [onA], udp));
    t.equal(await eventually(dial, 'A 10.244.1.1'), 'A 10.244.1.1');
  });

  await t.test('changes of services reach the kernel', async (t) => {
    const added = testService('added', '10.96.1.1');
    services.set(added);
    endpointSlices.set(testSlice('added', [onB]));
    t.equal(await eventually(() => inA.dialTcp('10.96.1.1', 80, short), `B ${A}`), `B ${A}`);
    services.delete(added);
    t.equal(await eventually(() => inA.dialTcp('10.96.1.1', 80, short), 'TIMEOUT'), 'TIMEOUT');
  });

  await t.test('pods and the node reach the cluster DNS', async (t) => {
    const resolvConfPath = join(dir, 'resolv.conf');
    writeFileSync(resolvConfPath, '');
    const port53 = [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
    ];
    services.set(testService('kube-dns', DNS, { ports: port53 }));
    services.set(testService('group', 'None'));
    const group = Array.from({ length: 90 }, (_, i) => ({ ip: `10.244.7.${i}` }));
    endpointSlices.set(testSlice('group', group));
    const dns = new ClusterDns({
      clock,
      log: silentLog,
      services,
      endpointSlices,
      clusterDomain: 'cluster.local',
      address: DNS,
      ownCidrs: [],
      resolvConfPath,
    });
    tasks.spawn('dns', (taskSignal) => dns.run(taskSignal));
    await Promise.race([dns.listening, tasks.join()]);
    const name = 'both.default.svc.cluster.local';
    for (const from of [inA, inB, onNode]) t.equal(await from.resolve(DNS, name), '10.96.0.1');
    const many = await inA.resolve(DNS, 'group.default.svc.cluster.local');
    t.equal(many.split(' ').length, 90, 'too long for a datagram, comes by TCP');
    t.equal(await inA.resolve(DNS, 'none.such.svc.cluster.local'), 'ENOTFOUND');
    t.equal(await inA.resolve(DNS, 'example.org'), 'ESERVFAIL');
    t.equal(
      await inA.resolve(DNS, '_dns._udp.kube-dns.default.svc.cluster.local', 'SRV'),
      '53 kube-dns.default.svc.cluster.local',
    );
  });

  await t.test('a table that somebody removed is made again', async (t) => {
    using nft = new Nftables();
    nft.deleteTable({ family: 'ip', name: 'kube-proxy' });
    services.set(testService('late', '10.96.1.2'));
    t.equal(await eventually(() => inB.dialTcp('10.96.0.2', 80, short), `A ${B}`), `A ${B}`);
  });

  const skip = existsSync('/usr/sbin/nft') ? false : 'no nft on this host';
  await t.test('nft reads the table as it is meant', { skip }, async (t) => {
    services.delete(testService('sticky', '10.96.0.6')); // nft aborts on its rules' concatenations.
    await tasks[Symbol.asyncDispose]();
    await using again = new TaskScope(signal);
    const restarted = new ServiceProxy(options);
    again.spawn('proxy', (taskSignal) => restarted.run(taskSignal));
    await Promise.race([restarted.synced, again.join()]);
    const text = execFileSync('nft', ['list', 'table', 'ip', 'kube-proxy'], { encoding: 'utf8' });
    for (const line of [
      'ip daddr . meta l4proto . th dport vmap @service-ips',
      'fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports',
      'dnat ip to numgen random mod 2 . ip daddr . meta l4proto . th dport map @vip-cluster-endpoints',
      'elements = { 10.96.0.1, 10.96.0.2,',
      'meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random',
      'ip saddr . ip daddr @hairpins masquerade',
      'ip daddr @cluster-ips reject',
      'ip daddr 10.96.0.0/16 drop',
    ]) {
      t.match(text, line);
    }
  });
});
