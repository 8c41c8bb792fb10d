import t from 'tap';
import {
  addressAt,
  cidrContains,
  cidrSize,
  formatCidr,
  formatIp,
  indexOfAddress,
  networkOf,
  parseCidr,
  parseIp,
  plainAddress,
} from './ip.ts';
import { must } from './assert.ts';

const ADDRESSES = [
  ['0.0.0.0', '0.0.0.0'],
  ['10.244.0.1', '10.244.0.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['::ffff:10.0.0.1', '::ffff:a00:1'],
  ['fd00:0:0:0:0:0:0:0', 'fd00::'],
] as const;

const BAD_ADDRESSES = [
  '',
  '10.1',
  '10.0.0.256',
  '10.0.0.01',
  '1.2.3.4.5',
  ' 1.2.3.4',
  '1.2.3.',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7::8:9',
  'fe80::1%eth0',
  '12345::',
  '::1.2.3',
  '1.2.3.4::',
  'g::',
];

for (const [text, canonical] of ADDRESSES) {
  t.test(`parseIp() reads ${text}`, async (t) => {
    t.equal(formatIp(must(parseIp(text), text)), canonical);
  });
}
t.test('parseIp() refuses what is no address', async (t) => {
  for (const text of BAD_ADDRESSES) t.equal(parseIp(text), undefined, text);
});
t.test('parseCidr() refuses what is no prefix', async (t) => {
  for (const text of [
    '',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '::/129',
    '/8',
    'x/8',
    '1.1.1.1/8/8',
  ]) {
    t.equal(parseCidr(text), undefined, text);
  }
});
t.test('networkOf() clears host bits', async (t) => {
  t.equal(formatCidr(networkOf(must(parseCidr('10.244.3.7/18'), ''))), '10.244.0.0/18');
  t.equal(
    formatCidr(networkOf(must(parseCidr('fd00:1234:ffff::1/33'), ''))),
    'fd00:1234:8000::/33',
  );
});
t.test('cidrContains() compares prefix bits of one family', async (t) => {
  const cidr = must(parseCidr('10.244.0.0/18'), '');
  for (const [ip, inside] of [
    ['10.244.63.255', true],
    ['10.244.64.0', false],
    ['::1', false],
  ] as const) {
    t.equal(cidrContains(cidr, must(parseIp(ip), ip)), inside, ip);
  }
  t.ok(cidrContains(must(parseCidr('0.0.0.0/0'), ''), must(parseIp('1.2.3.4'), '')));
});
t.test('addressAt() and indexOfAddress() are inverse', async (t) => {
  const cidr = must(parseCidr('10.244.255.0/22'), '');
  t.equal(cidrSize(cidr), 1024);
  for (const [index, text] of [
    [0, '10.244.252.0'],
    [255, '10.244.252.255'],
    [256, '10.244.253.0'],
    [1023, '10.244.255.255'],
  ] as const) {
    t.equal(formatIp(addressAt(cidr, index)), text);
    t.equal(indexOfAddress(cidr, must(parseIp(text), '')), index);
  }
  t.throws(() => addressAt(cidr, 1024), RangeError);
  t.throws(() => addressAt(cidr, -1), RangeError);
  t.equal(indexOfAddress(cidr, must(parseIp('10.245.0.0'), '')), undefined);
  t.equal(formatIp(addressAt(must(parseCidr('fd00::/64'), ''), 65537)), 'fd00::1:1');
});
t.test('plainAddress()', async (t) => {
  for (const [text, plain] of [
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '::ffff:c000:201'],
    ['fd00::1', 'fd00::1'],
    [undefined, ''],
  ] as const) {
    t.equal(plainAddress(text), plain);
  }
});
