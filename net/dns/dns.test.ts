/** The cluster DNS over real sockets on loopback, before an upstream server of the test's own. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Answer,
  type DecodedPacket,
  type RecordType,
  decode,
  encode,
  streamEncode,
} from 'dns-packet';
import t from 'tap';
import { must } from '#base/assert.ts';
import { RealClock } from '#base/clock.ts';
import { parseCidr } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { silentLog } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { TestInformer, testService, testSlice } from '#net/test-objects.ts';
import { ClusterDns, parseNameservers } from './dns.ts';
import { framed } from './upstream.ts';

/** `A 10.96.0.1`, with priorities and the like left out. */
function readAnswer(answer: Answer): string {
  if (answer.type === 'SRV') return `SRV ${answer.data.port} ${answer.data.target}`;
  if (answer.type === 'TXT') return `TXT ${String(answer.data)}`;
  if (answer.type === 'SOA') return `SOA ${answer.data.mname}`;
  const data = 'data' in answer && typeof answer.data === 'string' ? ` ${answer.data}` : '';
  return `${answer.type}${data}`;
}

const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

function readPacket(packet: DecodedPacket): string {
  const flags = packet.flags ?? 0;
  const rcode = RCODES[flags & 0xf] ?? String(flags & 0xf);
  const answers = (packet.answers ?? []).map((answer) => readAnswer(answer));
  const authorities = (packet.authorities ?? []).map(({ type }) => type);
  const marks = [(flags & 0x0400) !== 0 ? 'AA' : '', (flags & 0x0200) !== 0 ? 'TC' : ''];
  return [rcode, ...marks, ...answers.sort(), ...authorities.map((type) => `(${type})`)]
    .filter((word) => word !== '')
    .join(' ');
}

function question(name: string, type: RecordType, opt?: number): Buffer {
  const additionals: Answer[] =
    opt === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: opt,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ];
  return encode({
    type: 'query',
    id: 4711,
    flags: 0x0100,
    questions: [{ name, type, class: 'IN' }],
    additionals,
  });
}

async function askUdp(port: number, query: Uint8Array): Promise<DecodedPacket> {
  const socket = createSocket('udp4');
  try {
    socket.send(query, port, '127.0.0.1');
    const [message] = await once(socket, 'message', { signal: AbortSignal.timeout(15_000) });
    return decode(message);
  } finally {
    socket.close();
  }
}

async function askTcp(port: number, queries: readonly Buffer[]): Promise<DecodedPacket[]> {
  const socket = connect(port, '127.0.0.1');
  let received = Buffer.alloc(0);
  const packets: DecodedPacket[] = [];
  for (const query of queries) {
    socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]));
  }
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    while (received.length > 2 && received.length >= received.readUInt16BE(0) + 2) {
      packets.push(decode(received.subarray(2, received.readUInt16BE(0) + 2)));
      received = received.subarray(received.readUInt16BE(0) + 2);
    }
    if (packets.length === queries.length) break;
  }
  socket.destroy();
  return packets;
}

class SkippingClock extends RealClock {
  skippedMs = 0;
  override monotonicMs(): number {
    return super.monotonicMs() + this.skippedMs;
  }
}

/** A name server that knows example.org, and counts what it is asked. */
async function startUpstream() {
  const counts = new Map<string, number>();
  const answer = (query: DecodedPacket, tcp: boolean): Parameters<typeof encode>[0] => {
    const asked = must(query.questions?.[0], 'question');
    counts.set(asked.name, (counts.get(asked.name) ?? 0) + 1);
    const shared = { type: 'response', id: query.id, questions: query.questions } as const;
    if (asked.name.startsWith('long')) {
      const many = Array.from(
        { length: 120 },
        (_, i): Answer => ({ type: 'A', name: asked.name, ttl: 60, data: `192.0.2.${i}` }),
      );
      return tcp ? { ...shared, answers: many } : { ...shared, flags: 0x0200 };
    }
    if (asked.name === 'www.example.org' && asked.type === 'A') {
      return { ...shared, answers: [{ type: 'A', name: asked.name, ttl: 300, data: '192.0.2.1' }] };
    }
    const soa: Answer = {
      type: 'SOA',
      name: 'example.org',
      ttl: 60,
      data: { mname: 'ns', rname: 'x', minimum: 60 },
    };
    return { ...shared, flags: 3, authorities: [soa] };
  };
  const udp = createSocket('udp4');
  udp.on('message', (message, from) => {
    udp.send(encode(answer(decode(message), false)), from.port, from.address);
  });
  udp.bind(0, '127.0.0.2');
  await once(udp, 'listening');
  const { port } = udp.address();
  const tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) =>
      socket.end(streamEncode(answer(decode(chunk.subarray(2)), true))),
    );
  });
  tcp.listen(port, '127.0.0.2');
  await once(tcp, 'listening');
  return {
    port,
    counts,
    [Symbol.dispose]() {
      udp.close();
      tcp.close();
    },
  };
}

function clusterObjects() {
  const services = new TestInformer<Service>();
  const endpointSlices = new TestInformer<EndpointSlice>();
  const web = [{ name: 'http', port: 80, protocol: 'TCP' }];
  services.set(
    testService('web', '10.96.0.1', {
      ports: [...web, { name: 'dns', port: 53, protocol: 'UDP' }],
    }),
  );
  services.set(testService('dual', '10.96.0.2', { clusterIPs: ['10.96.0.2', 'fd00::2'] }));
  services.set(testService('none', 'None', { ports: web }));
  endpointSlices.set(
    testSlice(
      'none',
      [
        { ip: '10.244.0.5', hostname: 'db-0' },
        { ip: '10.244.0.6' },
        { ip: '10.244.0.7', ready: false, hostname: 'db-2' },
      ],
      { ports: web },
    ),
  );
  endpointSlices.set(
    testSlice('none', [{ ip: 'fd00::5', hostname: 'db-0' }], {
      suffix: 'v6',
      addressType: 'IPv6',
      ports: web,
    }),
  );
  services.set(testService('early', 'None', { publishNotReadyAddresses: true }));
  endpointSlices.set(testSlice('early', [{ ip: '10.244.0.8', ready: false }]));
  services.set(testService('empty', 'None'));
  services.set(
    testService('outside', '', { type: 'ExternalName', externalName: 'www.example.org' }),
  );
  services.set(
    testService('lost', '', { type: 'ExternalName', externalName: 'nowhere.example.org' }),
  );
  services.set(
    testService('inside', '', {
      type: 'ExternalName',
      externalName: 'web.default.svc.cluster.local.',
    }),
  );
  services.set(
    testService('loop', '', {
      type: 'ExternalName',
      externalName: 'loop.default.svc.cluster.local',
    }),
  );
  services.set(testService('many', 'None'));
  endpointSlices.set(
    testSlice(
      'many',
      Array.from({ length: 100 }, (_, i) => ({ ip: `10.244.1.${i}` })),
    ),
  );
  services.set(testService('few', 'None'));
  endpointSlices.set(
    testSlice(
      'few',
      Array.from({ length: 28 }, (_, i) => ({ ip: `10.244.2.${i}` })),
    ),
  );
  return { services, endpointSlices };
}

const N = 'default.svc.cluster.local';
const ROWS: readonly (readonly [string, RecordType, string])[] = [
  [`web.${N}`, 'A', 'NOERROR AA A 10.96.0.1'],
  [`WEB.Default.svc.CLUSTER.local`, 'A', 'NOERROR AA A 10.96.0.1'],
  [`web.${N}`, 'AAAA', 'NOERROR AA (SOA)'],
  [`web.${N}`, 'MX', 'NOERROR AA (SOA)'],
  [`dual.${N}`, 'AAAA', 'NOERROR AA AAAA fd00::2'],
  [`nothing.${N}`, 'A', 'NXDOMAIN AA (SOA)'],
  ['web.nowhere.svc.cluster.local', 'A', 'NXDOMAIN AA (SOA)'],
  [`www.example.org.${N}`, 'A', 'NXDOMAIN AA (SOA)'],
  ['www.example.org.svc.cluster.local', 'A', 'NXDOMAIN AA (SOA)'],
  ['www.example.org.cluster.local', 'A', 'NXDOMAIN AA (SOA)'],
  [N, 'A', 'NOERROR AA (SOA)'],
  ['svc.cluster.local', 'A', 'NOERROR AA (SOA)'],
  ['cluster.local', 'SOA', 'NOERROR AA SOA ns.dns.cluster.local'],
  ['cluster.local', 'NS', 'NOERROR AA NS ns.dns.cluster.local'],
  ['ns.dns.cluster.local', 'A', 'NOERROR AA A 127.0.0.1'],
  ['dns-version.cluster.local', 'TXT', 'NOERROR AA TXT 1.1.0'],
  [`_http._tcp.web.${N}`, 'SRV', `NOERROR AA SRV 80 web.${N}`],
  [`_dns._udp.web.${N}`, 'SRV', `NOERROR AA SRV 53 web.${N}`],
  [`_http._udp.web.${N}`, 'SRV', 'NXDOMAIN AA (SOA)'],
  [`_tcp.web.${N}`, 'SRV', 'NOERROR AA (SOA)'],
  [`x.web.${N}`, 'A', 'NXDOMAIN AA (SOA)'],
  [`none.${N}`, 'A', 'NOERROR AA A 10.244.0.5 A 10.244.0.6'],
  [`none.${N}`, 'AAAA', 'NOERROR AA AAAA fd00::5'],
  [`db-0.none.${N}`, 'A', 'NOERROR AA A 10.244.0.5'],
  [`db-0.none.${N}`, 'AAAA', 'NOERROR AA AAAA fd00::5'],
  [`10-244-0-6.none.${N}`, 'A', 'NOERROR AA A 10.244.0.6'],
  [`db-2.none.${N}`, 'A', 'NXDOMAIN AA (SOA)'],
  [`early.${N}`, 'A', 'NOERROR AA A 10.244.0.8'],
  [`empty.${N}`, 'A', 'NOERROR AA (SOA)'],
  [`_http._tcp.none.${N}`, 'SRV', `NOERROR AA SRV 80 10-244-0-6.none.${N} SRV 80 db-0.none.${N}`],
  ['1.0.96.10.in-addr.arpa', 'PTR', `NOERROR AA PTR web.${N}`],
  [
    '2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa',
    'PTR',
    `NOERROR AA PTR dual.${N}`,
  ],
  ['5.0.244.10.in-addr.arpa', 'PTR', `NOERROR AA PTR db-0.none.${N}`],
  ['6.0.244.10.in-addr.arpa', 'PTR', 'NXDOMAIN'],
  ['9.9.96.10.in-addr.arpa', 'PTR', 'NXDOMAIN'],
  ['10-244-0-9.default.pod.cluster.local', 'A', 'NOERROR AA A 10.244.0.9'],
  ['10-244-0.default.pod.cluster.local', 'A', 'NXDOMAIN AA (SOA)'],
  [`outside.${N}`, 'CNAME', 'NOERROR AA CNAME www.example.org'],
  [`outside.${N}`, 'A', 'NOERROR A 192.0.2.1 CNAME www.example.org'],
  [`lost.${N}`, 'A', 'NXDOMAIN CNAME nowhere.example.org'],
  [`inside.${N}`, 'A', `NOERROR AA A 10.96.0.1 CNAME web.${N}`],
  [`loop.${N}`, 'A', 'SERVFAIL AA'],
  ['www.example.org', 'A', 'NOERROR A 192.0.2.1'],
  ['nowhere.example.org', 'A', 'NXDOMAIN (SOA)'],
];

t.test('cluster DNS', async (t) => {
  using upstream = await startUpstream();
  const dir = mkdtempSync(join(tmpdir(), 'dns-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const resolvConfPath = join(dir, 'resolv.conf');
  writeFileSync(resolvConfPath, 'search example.org\nnameserver 127.0.0.1\nnameserver 127.0.0.2\n');
  const { services, endpointSlices } = clusterObjects();
  await using tasks = new TaskScope(new AbortController().signal);
  const clock = new SkippingClock();
  const dns = new ClusterDns({
    clock,
    log: silentLog,
    services,
    endpointSlices,
    clusterDomain: 'cluster.local',
    address: '127.0.0.1',
    port: 0,
    ownCidrs: ['10.96.0.0/16', '10.244.0.0/16'].map((text) => must(parseCidr(text), text)),
    resolvConfPath,
    upstreamPort: upstream.port,
  });
  tasks.spawn('dns', (signal) => dns.run(signal));
  const port = await Promise.race([dns.listening, tasks.join().then(() => 0)]);

  for (const [name, type, expected] of ROWS) {
    t.equal(readPacket(await askUdp(port, question(name, type))), expected, `${type} ${name}`);
  }

  await t.test('echoes identifier and spelling', async (t) => {
    const packet = await askUdp(port, question(`wEb.${N}`, 'A'));
    t.equal(packet.id, 4711);
    t.equal(packet.questions?.[0]?.name, `wEb.${N}`);
    t.equal(packet.answers?.[0]?.name, `wEb.${N}`);
    t.equal((packet.flags ?? 0) & 0x0180, 0x0180, 'recursion desired and available');
  });

  await t.test('truncates by the size that the client allows', async (t) => {
    t.equal(readPacket(await askUdp(port, question(`many.${N}`, 'A'))), 'NOERROR AA TC');
    t.equal(readPacket(await askUdp(port, question(`many.${N}`, 'A', 4096))), 'NOERROR AA TC');
    const few = await askUdp(port, question(`few.${N}`, 'A'));
    t.equal(few.answers?.length, 28, 'compressed');
    t.same(new Set(few.answers?.map(({ name }) => name)), new Set([`few.${N}`]));
    const [whole, other] = await askTcp(port, [
      question(`many.${N}`, 'A'),
      question(`web.${N}`, 'A'),
    ]);
    t.equal(whole?.answers?.length, 100);
    t.equal(readPacket(must(other, 'second answer')), 'NOERROR AA A 10.96.0.1');
    t.equal(readPacket(await askUdp(port, question('long.example.org', 'A'))), 'NOERROR TC');
    const [long] = await askTcp(port, [question('long.example.org', 'A')]);
    t.equal(long?.answers?.length, 120);
  });

  await t.test('speaks EDNS version 0', async (t) => {
    const packet = await askUdp(port, question(`web.${N}`, 'A', 1400));
    t.match(packet.additionals, [{ type: 'OPT', udpPayloadSize: 1232, extendedRcode: 0 }]);
    const query = decode(question(`web.${N}`, 'A', 1400));
    for (const record of query.additionals ?? []) if (record.type === 'OPT') record.ednsVersion = 1;
    const refused = await askUdp(port, encode(query));
    t.match(refused.additionals, [{ type: 'OPT', extendedRcode: 1 }], 'BADVERS');
  });

  await t.test('keeps answers of the outside, absences too', async (t) => {
    const before = upstream.counts.get('www.example.org');
    t.equal(
      readPacket(await askUdp(port, question('www.example.org', 'A'))),
      'NOERROR A 192.0.2.1',
    );
    t.equal(readPacket(await askUdp(port, question('nowhere.example.org', 'A'))), 'NXDOMAIN (SOA)');
    t.equal(upstream.counts.get('www.example.org'), before);
    t.ok((upstream.counts.get('nowhere.example.org') ?? 0) <= 2);
    const inCluster = [...upstream.counts.keys()].filter((name) =>
      /cluster\.local$|arpa$/.test(name),
    );
    t.same(inCluster, [], 'nothing of the cluster was asked for outside');
  });

  await t.test('asks once for equal questions at the same time', async (t) => {
    const asked = Array.from({ length: 20 }, () => askUdp(port, question('same.example.org', 'A')));
    for (const packet of await Promise.all(asked)) t.equal(readPacket(packet), 'NXDOMAIN (SOA)');
    t.equal(upstream.counts.get('same.example.org'), 1);
  });

  await t.test('refuses what it cannot do, and survives what is no query', async (t) => {
    const base = decode(question(`web.${N}`, 'A'));
    const changed = (change: object) => encode({ ...base, ...change });
    t.equal(readPacket(await askUdp(port, changed({ flags: 0x2000 }))), 'NOTIMP');
    t.equal(readPacket(await askUdp(port, changed({ questions: [] }))), 'FORMERR');
    const chaos = [{ name: 'version.bind', type: 'TXT', class: 'CH' }];
    t.equal(readPacket(await askUdp(port, changed({ questions: chaos }))), 'REFUSED');
    const socket = createSocket('udp4');
    const noise = [
      [],
      [1, 2, 3],
      Array<number>(12).fill(255),
      [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63],
    ];
    for (const bytes of noise) socket.send(Uint8Array.from(bytes), port, '127.0.0.1');
    socket.send(encode({ ...base, type: 'response' }), port, '127.0.0.1');
    t.equal(readPacket(await askUdp(port, question(`web.${N}`, 'A'))), 'NOERROR AA A 10.96.0.1');
    socket.close();
  });

  await t.test('cuts off who asks by TCP and never reads', async (t) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined); // A reset is one way of being cut off.
    socket.pause();
    const frames = Buffer.concat(
      Array<Buffer>(64).fill(Buffer.from(framed(question(`many.${N}`, 'A')))),
    );
    let isOpen = true;
    const closed = new Promise<void>((resolve) => {
      socket.on('close', () => {
        isOpen = false;
        resolve();
      });
    });
    const endAtMs = Date.now() + 5000;
    while (isOpen && Date.now() < endAtMs) {
      if (socket.write(frames)) await new Promise(setImmediate);
      else await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
    }
    t.notOk(isOpen);
    socket.destroy();
  });

  await t.test('follows changes', async (t) => {
    services.delete(testService('web', '10.96.0.1'));
    t.equal(readPacket(await askUdp(port, question(`web.${N}`, 'A'))), 'NXDOMAIN AA (SOA)');
    t.equal(readPacket(await askUdp(port, question('1.0.96.10.in-addr.arpa', 'PTR'))), 'NXDOMAIN');
    services.set(testService('web', '10.96.0.9'));
    t.equal(readPacket(await askUdp(port, question(`web.${N}`, 'A'))), 'NOERROR AA A 10.96.0.9');
    endpointSlices.set(testSlice('none', [{ ip: '10.244.0.6', hostname: 'db-1' }]));
    t.equal(readPacket(await askUdp(port, question(`none.${N}`, 'A'))), 'NOERROR AA A 10.244.0.6');
    t.equal(readPacket(await askUdp(port, question('5.0.244.10.in-addr.arpa', 'PTR'))), 'NXDOMAIN');
    t.equal(
      readPacket(await askUdp(port, question('6.0.244.10.in-addr.arpa', 'PTR'))),
      `NOERROR AA PTR db-1.none.${N}`,
    );
  });

  await t.test('SERVFAIL until the cluster was seen once', async (t) => {
    endpointSlices.hasSynced = false;
    t.equal(readPacket(await askUdp(port, question(`web.${N}`, 'A'))), 'SERVFAIL');
    t.equal(readPacket(await askUdp(port, question(`nothing.${N}`, 'A'))), 'SERVFAIL');
    t.equal(
      readPacket(await askUdp(port, question('www.example.org', 'A'))),
      'NOERROR A 192.0.2.1',
    );
    endpointSlices.hasSynced = true;
  });

  await t.test('a silent name server delays only the first lookups', async (t) => {
    writeFileSync(resolvConfPath, 'nameserver 127.0.0.3\n'); // Bound, and never answers.
    clock.skippedMs += 6000;
    const silent = createSocket('udp4');
    silent.bind(upstream.port, '127.0.0.3');
    await once(silent, 'listening');
    const first = ['a', 'b', 'c'].map((name) => askUdp(port, question(`${name}.example.com`, 'A')));
    for (const packet of await Promise.all(first)) t.equal(readPacket(packet), 'SERVFAIL');
    const start = performance.now();
    t.equal(readPacket(await askUdp(port, question('d.example.com', 'A'))), 'SERVFAIL');
    t.ok(performance.now() - start < 1500, 'soon');
    silent.close();
  });

  await t.test('SERVFAIL when the node has no other name server', async (t) => {
    writeFileSync(resolvConfPath, 'nameserver 127.0.0.1\n');
    clock.skippedMs += 6000;
    t.equal(readPacket(await askUdp(port, question('fresh.example.org', 'A'))), 'SERVFAIL');
  });
});

t.test('parseNameservers() takes addresses in order', async (t) => {
  const text =
    '# x\nnameserver 192.0.2.1\n nameserver  fe80::1%eth0 \nnameserver nonsense\nsearch a\n';
  t.same(parseNameservers(text), ['192.0.2.1', 'fe80::1']);
});
