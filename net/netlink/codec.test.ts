/**
 * Hex vectors of messages. The requests are what iproute2 6.1 sends for the same wish, as strace
 * decodes it, but for the nested flag (iproute2 leaves NLA_F_NESTED out) and sequence numbers.
 */
import fc from 'fast-check';
import t from 'tap';
import { must } from '#base/assert.ts';
import { parseCidr, parseIp } from '#base/ip.ts';
import {
  formatAddress,
  formatNeighbour,
  formatRoute,
  parseAddress,
  parseRoute,
} from './address-codec.ts';
import { parseFlow } from './flow.ts';
import { formatBridgePort, formatLink, parseLink } from './link-codec.ts';
import {
  NetlinkFormatError,
  eachAttribute,
  parseAcknowledgement,
  parseAttributes,
  parseDone,
  parseMessages,
} from './reader.ts';
import { NetlinkWriter } from './writer.ts';

const cidr = (text: string) => must(parseCidr(text), text);
const ip = (text: string) => must(parseIp(text), text);
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const REQUESTS: readonly {
  name: string;
  type: number;
  flags: number;
  payload: (writer: NetlinkWriter) => void;
  hex: string;
}[] = [
  {
    name: 'link set dev d0 mtu 1400',
    type: 16,
    flags: 0x5,
    payload: (w) => formatLink(w, { index: 2, mtu: 1400 }),
    hex: `28000000 1000 0500 01000000 00000000  00 00 0000 02000000 00000000 00000000
          0800 0400 78050000`,
  },
  {
    name: 'link set dev d0 up master 5',
    type: 16,
    flags: 0x5,
    payload: (w) => formatLink(w, { index: 2, up: true, masterIndex: 5 }),
    hex: `28000000 1000 0500 01000000 00000000  00 00 0000 02000000 01000000 01000000
          0800 0a00 05000000`,
  },
  {
    name: 'link add br1 type bridge',
    type: 16,
    flags: 0x605,
    payload: (w) => formatLink(w, { name: 'br1', kind: 'bridge' }),
    hex: `38000000 1000 0506 01000000 00000000  00 00 0000 00000000 00000000 00000000
          0800 0300 62723100  1000 1280 0b00 0100 62726964 67650000`,
  },
  {
    name: 'link add v0 mtu 1300 type veth peer name p0',
    type: 16,
    flags: 0x605,
    payload: (w) => formatLink(w, { name: 'v0', mtu: 1300, kind: 'veth', peer: { name: 'p0' } }),
    hex: `60000000 1000 0506 01000000 00000000  00 00 0000 00000000 00000000 00000000
          0700 0300 76300000  0800 0400 14050000
          3000 1280 0900 0100 76657468 00000000
          2000 0280 1c00 0180 00 00 0000 00000000 00000000 00000000 0700 0300 70300000`,
  },
  {
    name: 'bridge link set dev d0 isolated on',
    type: 19,
    flags: 0x5,
    payload: (w) => formatBridgePort(w, { index: 2, isolated: true }),
    hex: `2c000000 1300 0500 01000000 00000000  07 00 0000 02000000 00000000 00000000
          0c00 0c80 0500 2100 01000000`,
  },
  {
    name: 'addr add 10.1.0.1/24 dev d0',
    type: 20,
    flags: 0x605,
    payload: (w) => formatAddress(w, { index: 2, address: cidr('10.1.0.1/24') }),
    hex: `28000000 1400 0506 01000000 00000000  02 18 00 00 02000000
          0800 0200 0a010001  0800 0100 0a010001`,
  },
  {
    name: 'route replace 10.2.0.0/24 via 192.0.2.1 dev d0 proto static metric 7',
    type: 24,
    flags: 0x505,
    payload: (w) =>
      formatRoute(w, {
        family: 4,
        destination: cidr('10.2.0.0/24'),
        gateway: ip('192.0.2.1'),
        index: 2,
        priority: 7,
      }),
    hex: `3c000000 1800 0505 01000000 00000000  02 18 00 00 fe 04 00 01 00000000
          0800 0100 0a020000  0800 0500 c0000201  0800 0400 02000000  0800 0600 07000000`,
  },
  {
    name: 'neigh replace 192.0.2.9 lladdr 02:00:00:00:00:01 dev d0 nud permanent',
    type: 28,
    flags: 0x505,
    payload: (w) =>
      formatNeighbour(w, {
        index: 2,
        address: ip('192.0.2.9'),
        hardwareAddress: Uint8Array.of(2, 0, 0, 0, 0, 1),
        state: 0x80,
      }),
    hex: `30000000 1c00 0505 01000000 00000000  02 000000 02000000 8000 00 00
          0800 0100 c0000209  0a00 0200 020000000001 0000`,
  },
];

for (const row of REQUESTS) {
  t.test(`NetlinkWriter writes: ${row.name}`, async (t) => {
    const writer = new NetlinkWriter();
    writer.message({ type: row.type, flags: row.flags }, () => row.payload(writer));
    t.equal(hexOf(writer.bytes), hexOf(bytesOf(row.hex)));
    const [message] = parseMessages(writer.bytes);
    t.match(message, { type: row.type, flags: row.flags, seq: 1, portId: 0 });
  });
}

const message = (payload: string, type = 0, flags = 0) => ({
  type,
  flags,
  seq: 1,
  portId: 0,
  payload: bytesOf(payload),
});

t.test('parseLink(), parseAddress() and parseRoute() read what the kernel says', async (t) => {
  const link = `00 00 0100 07000000 43100100 00000000
    0900 0300 65746830 00000000  0800 0400 78050000  0a00 0100 0a5800000005 0000
    0500 1000 06000000  0800 0a00 03000000  1000 1200 0900 0100 76657468 00000000`;
  t.match(parseLink(message(link)), {
    index: 7,
    name: 'eth0',
    kind: 'veth',
    type: 1,
    mtu: 1400,
    masterIndex: 3,
    address: '0a:58:00:00:00:05',
    operState: 'up',
    flags: 0x11043,
  });
  const address = '02 18 80 00 07000000 0800 0100 0a010000 0800 0200 0a010001 0800 0800 80000000';
  t.match(parseAddress(message(address)), {
    index: 7,
    scope: 0,
    permanent: true,
    address: { family: 4, prefixLength: 24, address: ip('10.1.0.1') },
  });
  t.equal(parseAddress(message('11 00 00 00 07000000')), undefined, 'another family');
  const route =
    '02 00 00 00 fe 03 00 01 00000000 0800 0f00 fe000000 0800 0500 0a010001 0800 0400 07000000';
  t.match(parseRoute(message(route)), {
    family: 4,
    destination: undefined,
    gateway: ip('10.1.0.1'),
    index: 7,
    table: 254,
    protocol: 3,
  });
});

t.test('parseFlow() reads both directions', async (t) => {
  const tuple = (source: string, destination: string, ports: string) =>
    `1400 0180 0800 0100 ${source} 0800 0200 ${destination}
     1c00 0280 0500 0100 11000000 0600 0200 ${ports.slice(0, 4)} 0000 0600 0300 ${ports.slice(4)} 0000`;
  const flow = `02 00 0000
    3400 0180 ${tuple('0a010002', '0a600008', '15b30035')}
    3400 0280 ${tuple('0a010003', '0a010002', '003515b3')}`;
  t.match(parseFlow(message(flow)), {
    protocol: 17,
    original: {
      source: ip('10.1.0.2'),
      destination: ip('10.96.0.8'),
      sourcePort: 5555,
      destinationPort: 53,
    },
    reply: { source: ip('10.1.0.3'), sourcePort: 53 },
  });
  t.equal(parseFlow(message('02 00 0000')), undefined);
});

t.test('parseAcknowledgement() gives errno and the kernel’s words', async (t) => {
  t.same(parseAcknowledgement(message('00000000 14000000 1000 0500 01000000 00000000', 2, 0x100)), {
    errno: 0,
    extack: '',
  });
  const text = `eaffffff 14000000 1000 0500 01000000 00000000 0800 0100 6f6f7000`;
  t.same(parseAcknowledgement(message(text, 2, 0x300)), { errno: 22, extack: 'oop' });
  const whole = `ffffffff 14000000 1000 0500 01000000 00000000 01020304 0800 0100 6f6f7000`;
  t.same(parseAcknowledgement(message(whole, 2, 0x200)), { errno: 1, extack: 'oop' });
  t.equal(parseDone(message('f3ffffff', 3)), 13);
  t.equal(parseDone(message('', 3)), 0);
});

const BAD_MESSAGES = [
  ['head cut off', '10000000 0000'],
  ['length below the head', '0f000000 0000 0000 00000000 00000000'],
  ['length beyond the end', '11000000 0000 0000 00000000 00000000'],
] as const;
for (const [name, hex] of BAD_MESSAGES) {
  t.test(`parseMessages() refuses: ${name}`, async (t) => {
    t.throws(() => parseMessages(bytesOf(hex)), NetlinkFormatError);
  });
}
t.test('eachAttribute() refuses lengths below 4 and beyond the end', async (t) => {
  for (const hex of ['0300 0100', '0900 0100 01020304', '0000 0000 00000000']) {
    t.throws(() => eachAttribute(bytesOf(hex)), NetlinkFormatError, hex);
  }
});

t.test('readers end on any bytes', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const read of [parseMessages, parseAttributes]) {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof NetlinkFormatError)) throw error;
        }
      }
    }),
  );
  t.pass('100 inputs');
});

t.test('NetlinkWriter and parseAttributes() are inverse', async (t) => {
  const attribute = fc.record({
    type: fc.integer({ min: 1, max: 0x3fff }),
    value: fc.uint8Array({ maxLength: 70 }),
  });
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 30 }), (list) => {
      const writer = new NetlinkWriter(1, 16);
      writer.message({ type: 1, flags: 0 }, () => {
        for (const { type, value } of list) writer.attribute(type, value);
      });
      const [only] = parseMessages(writer.bytes);
      const read = eachAttribute(must(only, 'one message').payload);
      t.same(
        read.map(({ type, value }) => [type, hexOf(value)]),
        list.map(({ type, value }) => [type, hexOf(value)]),
      );
    }),
    { numRuns: 50 },
  );
});

t.test('NetlinkWriter asserts that an attribute fits 16 bits', async (t) => {
  const writer = new NetlinkWriter();
  t.throws(() => writer.attribute(1, new Uint8Array(65_532)), /65532/);
  t.throws(
    () =>
      new NetlinkWriter().nest(1, () => new NetlinkWriter()) &&
      writer.nest(1, () => {
        for (let i = 0; i < 20; i++) writer.attribute(1, new Uint8Array(4000));
      }),
    /bytes/,
  );
});
