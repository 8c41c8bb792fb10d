/**
 * The pod network on a real kernel: a node and pods as namespaces of this process, and an outside
 * host behind the node. Needs root; nothing touches the host's own namespace.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { must } from '#base/assert.ts';
import { parseCidr, parseIp } from '#base/ip.ts';
import { CLONE, setns, unshare } from '#base/linux/syscall.ts';
import { silentLog } from '#base/log.ts';
import { RtNetlink, inNetnsFd } from '#net/netlink/netlink.ts';
import { BridgePodNetwork } from '#net/pod/pod.ts';
import { NetWorker, type TestNetns, connectOutside, createNetns } from './net-worker.ts';

const cidr = (text: string) => must(parseCidr(text), text);
const signal = new AbortController().signal;

t.test('pod network', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  unshare(CLONE.NEWNET); // The main thread is the node from here on.
  const node: TestNetns = createNetns();
  setns(node.fd, CLONE.NEWNET);
  const outside = createNetns();
  connectOutside(outside);
  const dir = mkdtempSync(join(tmpdir(), 'net-pod-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const options = {
    log: silentLog,
    bridgeName: 'bareboat0',
    podCidr: cidr('10.244.1.0/24'),
    clusterCidr: cidr('10.244.0.0/16'),
    allocationFile: join(dir, 'allocations.json'),
  };
  let network = new BridgePodNetwork(options);
  t.teardown(() => network[Symbol.dispose]());
  const [a, b] = [createNetns(), createNetns()];
  const port = (protocol: 'TCP' | 'UDP', hostPort: number, hostIP = '') => ({
    protocol,
    hostPort,
    hostIP,
    containerPort: 80,
  });
  const attachA = { sandboxId: 'a', netnsPath: a.path, hostPorts: [] };
  const attachB = {
    sandboxId: 'b',
    netnsPath: b.path,
    hostPorts: [
      port('TCP', 8080),
      port('UDP', 8080),
      port('TCP', 8081, '127.0.0.1'),
      port('TCP', 8082, '192.0.2.1'),
    ],
  };
  t.same(await network.attach(attachA, signal), { ips: ['10.244.1.2'] });
  t.same(await network.attach(attachB, signal), { ips: ['10.244.1.3'] });

  await using onNode = new NetWorker(node);
  await using inA = new NetWorker(a);
  await using inB = new NetWorker(b);
  await using out = new NetWorker(outside);
  await inA.serveTcp(80, 'A');
  await inB.serveTcp(80, 'B');
  await inB.serveUdp(80, 'B');
  await out.serveTcp(80, 'OUT');
  await onNode.serveTcp(9000, 'NODE');
  await onNode.serveTcp(9001, 'PRIVATE', '127.0.0.1');

  const cases = [
    ['pod to pod keeps the source', () => inA.dialTcp('10.244.1.3', 80), 'B 10.244.1.2'],
    ['pod to itself by its own address', () => inA.dialTcp('10.244.1.2', 80), 'A 10.244.1.2'],
    ['pod to its loopback', () => inA.dialTcp('127.0.0.1', 80), 'A 127.0.0.1'],
    ['node to pod', () => onNode.dialTcp('10.244.1.3', 80), 'B 10.244.1.1'],
    ['pod to node', () => inA.dialTcp('192.0.2.1', 9000), 'NODE 10.244.1.2'],
    ['pod to outside is masqueraded', () => inA.dialTcp('192.0.2.2', 80), 'OUT 192.0.2.1'],
    ['host port from outside', () => out.dialTcp('192.0.2.1', 8080), 'B 192.0.2.2'],
    ['host port of UDP from outside', () => out.dialUdp('192.0.2.1', 8080), 'B 192.0.2.2'],
    ['host port from another pod', () => inA.dialTcp('192.0.2.1', 8080), 'B 10.244.1.2'],
    ['host port of the pod itself', () => inB.dialTcp('192.0.2.1', 8080), 'B 10.244.1.1'],
    ['host port from the node', () => onNode.dialTcp('192.0.2.1', 8080), 'B 192.0.2.1'],
    ['host port on loopback', () => onNode.dialTcp('127.0.0.1', 8080), 'B 10.244.1.1'],
    ['host port of 127.0.0.1 alone', () => onNode.dialTcp('127.0.0.1', 8081), 'B 10.244.1.1'],
    [
      'host port of 127.0.0.1 is not for others',
      () => out.dialTcp('192.0.2.1', 8081),
      'ECONNREFUSED',
    ],
    ['host port of one address', () => out.dialTcp('192.0.2.1', 8082), 'B 192.0.2.2'],
    ['host port of another address', () => onNode.dialTcp('127.0.0.1', 8082), 'ECONNREFUSED'],
  ] as const;
  for (const [name, dial, expected] of cases) t.equal(await dial(), expected, name);

  await t.test('the loopback of the node is not reachable from a pod', async (t) => {
    inNetnsFd(a.fd, () => {
      writeFileSync('/proc/sys/net/ipv4/conf/all/route_localnet', '1');
      using rt = new RtNetlink();
      const lo = must(rt.link('lo'), 'lo');
      rt.deleteAddress({ index: lo.index, address: cidr('127.0.0.1/8') });
      const { index } = must(rt.link('eth0'), 'eth0');
      rt.putRoute({
        family: 4,
        destination: cidr('127.0.0.1/32'),
        gateway: must(parseIp('10.244.1.1'), ''),
        index,
      });
    });
    t.equal(
      await inA.dialTcp('127.0.0.1', 9001, { timeoutMs: 300, localAddress: '10.244.1.2' }),
      'TIMEOUT',
    );
  });

  await t.test('attach() is idempotent and survives a restart', async (t) => {
    network[Symbol.dispose]();
    network = new BridgePodNetwork(options);
    t.same(await network.attach(attachB, signal), { ips: ['10.244.1.3'] });
    t.equal(await out.dialTcp('192.0.2.1', 8080), 'B 192.0.2.2');
    using rt = new RtNetlink();
    t.equal(rt.links().filter((link) => link.kind === 'veth' && link.masterIndex !== 0).length, 2);
    t.equal(must(rt.link('bareboat0'), 'bridge').mtu, 1450, 'MTU of the uplink');
  });

  await t.test('attach() of a missing namespace names it', async (t) => {
    const request = { sandboxId: 'x', netnsPath: '/nowhere', hostPorts: [] };
    await t.rejects(network.attach(request, signal), { code: 'NETNS_MISSING' });
    await network.detach('x', signal);
  });

  await t.test('retain() and detach() release links, addresses and ports', async (t) => {
    await network.retain(new Set(['a']), signal);
    t.same([...network.addresses()], [['a', '10.244.1.2']]);
    t.equal(await out.dialTcp('192.0.2.1', 8080), 'ECONNREFUSED');
    await network.detach('a', signal);
    await network.detach('a', signal);
    using rt = new RtNetlink();
    t.same(
      rt
        .links()
        .map((link) => link.name)
        .sort(),
      ['bareboat0', 'lo', 'uplink'],
    );
    const c = createNetns();
    t.same(await network.attach({ sandboxId: 'c', netnsPath: c.path, hostPorts: [] }, signal), {
      ips: ['10.244.1.5'],
    });
  });

  await t.test('an unreadable allocation file is put aside', async (t) => {
    network[Symbol.dispose]();
    writeFileSync(options.allocationFile, '{"version":1,');
    network = new BridgePodNetwork(options);
    t.equal(network.addresses().size, 0);
    t.ok(existsSync(`${options.allocationFile}.broken`));
    t.equal(readFileSync(`${options.allocationFile}.broken`, 'utf8'), '{"version":1,');
  });
});
