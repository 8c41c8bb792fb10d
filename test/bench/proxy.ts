/**
 * First sync of 10,000 services with two endpoints each, then single changes, against the real kernel
 * in a network namespace of its own. Root: `node test/bench/proxy.ts [SERVICES]`.
 * Budget (design.md section 12): 500 ms and 5 ms.
 */
import { must } from '#base/assert.ts';
import { parseCidr } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { CLONE, unshare } from '#base/linux/syscall.ts';
import { Nftables } from '#net/nftables/nftables.ts';
import { ProxyState } from '#net/proxy/proxy.ts';

const serviceCount = Number(process.argv[2] ?? 10_000);
const CHANGES = 50;

const meta = (name: string) => ({
  namespace: 'bench',
  name,
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

function service(i: number): Service {
  const clusterIP = `10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta(`s${i}`),
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    },
    status: {},
  };
}

function slice(i: number, generation = 0): EndpointSlice {
  const ip = (n: number) => `10.244.${(n >> 8) & 255}.${n & 255}`;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: { ...meta(`s${i}-x`), labels: { 'kubernetes.io/service-name': `s${i}` } },
    endpoints: [0, 1].map((n) => ({
      addresses: [ip(i * 2 + n + generation)],
      conditions: { ready: true },
      nodeName: 'other',
    })),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  };
}

unshare(CLONE.NEWNET);
using nft = new Nftables();
const table = { family: 'ip', name: 'kube-proxy' } as const;
const state = new ProxyState({
  family: 4,
  tableName: table.name,
  podCidr: must(parseCidr('10.244.0.0/16'), 'pods'),
  serviceCidrs: [must(parseCidr('10.96.0.0/12'), 'services')],
  placement: { nodeName: 'node' },
  ownAddresses: new Set(),
});

const report = (what: string, ms: number) => console.log(`${what.padEnd(40)} ${ms.toFixed(2)} ms`);
function timed(what: string, run: () => void): void {
  const cpu = process.threadCpuUsage();
  const start = performance.now();
  run();
  report(what, performance.now() - start);
  const { user, system } = process.threadCpuUsage(cpu); // Without what others did meanwhile.
  report(`${what}: CPU`, (user + system) / 1000);
}
function commit(): void {
  const { changes } = state.plan();
  nft.apply(table, changes);
}

const objects = Array.from({ length: serviceCount }, (_, i) => ({
  service: service(i),
  slice: slice(i),
}));
timed(`first sync of ${serviceCount} services`, () => {
  for (const object of objects) {
    state.setService(object.service);
    state.setSlice(object.slice);
  }
  nft.sync(state.planWhole().table);
});
timed('comparison with the kernel, no change', () => nft.sync(state.table()));

function median(what: string, change: (i: number) => void): void {
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const start = performance.now();
    change(i);
    commit();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  report(`${what}: median`, times[CHANGES >> 1] ?? 0);
  report(`${what}: p95`, times[Math.floor(CHANGES * 0.95)] ?? 0);
}
median('endpoints of one service replaced', (i) => state.setSlice(slice(i, 7)));
median('one service added', (i) => {
  state.setService(service(serviceCount + i));
  state.setSlice(slice(serviceCount + i));
});
median('one service deleted', (i) => {
  state.deleteService(service(serviceCount + i));
  state.deleteSlice(slice(serviceCount + i));
});
timed('table deleted', () => nft.deleteTable(table));
