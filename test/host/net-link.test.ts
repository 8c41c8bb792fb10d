/** rtnetlink, events and net/link on a real kernel, in namespaces of this process. Needs root. */
import { EventEmitter, once } from 'node:events';
import t from 'tap';
import { must } from '#base/assert.ts';
import { formatCidr, parseCidr, parseIp } from '#base/ip.ts';
import { CLONE, unshare } from '#base/linux/syscall.ts';
import { NodeLinks, hasCarrier, isWired, primaryAddress } from '#net/link/link.ts';
import {
  RTNLGRP,
  RtNetlink,
  inNetns,
  subscribeRoute,
  subscribeUevents,
} from '#net/netlink/netlink.ts';
import { NUD } from '#net/netlink/port.ts';
import { createNetns } from './net-worker.ts';

const cidr = (text: string) => must(parseCidr(text), text);
const ip = (text: string) => must(parseIp(text), text);
const skip = process.getuid?.() === 0 ? false : 'needs root';

t.before(() => {
  if (skip === false) unshare(CLONE.NEWNET);
});

t.test('RtNetlink makes, reads, renames and deletes links', { skip }, async (t) => {
  using rt = new RtNetlink();
  rt.createLink({ name: 'br0', kind: 'bridge', mtu: 1400, up: true });
  const other = createNetns();
  rt.createLink({ name: 'v0', kind: 'veth', peer: { name: 'p0', netnsFd: other.fd, mtu: 1300 } });
  const bridge = must(rt.link('br0'), 'br0');
  t.match(bridge, { kind: 'bridge', mtu: 1400 });
  const veth = must(rt.link('v0'), 'v0');
  rt.setLink({ index: veth.index, masterIndex: bridge.index, up: true });
  rt.setBridgePort({ index: veth.index, hairpin: true, isolated: true });
  t.equal(rt.link('v0')?.masterIndex, bridge.index);
  rt.setLink({ index: veth.index, masterIndex: 0, up: false });
  rt.setLink({
    index: veth.index,
    name: 'v1',
    mtu: 1280,
    hardwareAddress: Uint8Array.of(2, 0, 0, 0, 0, 9),
  });
  t.equal(rt.link('v0'), undefined);
  t.match(rt.link('v1'), { mtu: 1280, address: '02:00:00:00:00:09', masterIndex: 0 });
  t.equal(
    inNetns(other.path, () => {
      using inside = new RtNetlink();
      return inside.link('p0')?.mtu;
    }),
    1300,
  );
  rt.deleteLink({ name: 'v1' });
  rt.deleteLink({ name: 'v1' });
  rt.deleteLink({ index: bridge.index });
  t.same(
    rt.links().map((link) => link.name),
    ['lo'],
  );
});

t.test('RtNetlink says what the kernel refuses, and why', { skip }, async (t) => {
  using rt = new RtNetlink();
  const cases = [
    [
      'a name that is taken',
      () => rt.createLink({ name: 'lo', kind: 'bridge' }),
      { code: 'EEXIST' },
    ],
    [
      'a name that is too long',
      () => rt.createLink({ name: 'abcdefghijklmnop', kind: 'bridge' }),
      { code: 'ERANGE', extack: /policy/ },
    ],
    [
      'a gateway out of reach',
      () => rt.putRoute({ family: 4, gateway: ip('192.0.2.9') }),
      { code: 'ENETUNREACH', extack: /gateway/ },
    ],
    [
      'an address on no link',
      () => rt.putAddress({ index: 9999, address: cidr('192.0.2.1/24') }),
      { code: 'ENODEV' },
    ],
  ] as const;
  for (const [name, run, expected] of cases) {
    t.throws(run, { name: 'NetlinkError', ...expected }, name);
  }
  rt.deleteRoute({ family: 4, destination: cidr('203.0.113.0/24'), index: 1 });
  rt.deleteAddress({ index: 1, address: cidr('203.0.113.1/24') });
});

t.test('RtNetlink dumps thousands of routes, and neighbours', { skip }, async (t) => {
  using rt = new RtNetlink();
  rt.createLink({ name: 'br1', kind: 'bridge', up: true });
  const { index } = must(rt.link('br1'), 'br1');
  for (let i = 0; i < 2000; i++) {
    rt.putRoute({ family: 4, destination: cidr(`10.${i >> 8}.${i & 255}.0/24`), index });
  }
  t.equal(rt.routes(4).filter((route) => route.index === index).length, 2000);
  const hardwareAddress = Uint8Array.of(2, 0, 0, 0, 0, 1);
  rt.putNeighbour({ index, address: ip('10.0.0.9'), hardwareAddress, state: NUD.PERMANENT });
  const permanent = rt.neighbours().filter(({ state }) => state === NUD.PERMANENT);
  t.match(permanent, [{ index, hardwareAddress, state: NUD.PERMANENT }]);
  rt.deleteNeighbour({ index, address: ip('10.0.0.9'), hardwareAddress: undefined, state: 0 });
  rt.deleteLink({ index });
});

t.test('subscribeRoute() tells of changes, and of losses', { skip }, async (t) => {
  using rt = new RtNetlink();
  const events = new EventEmitter();
  const ended = (error: Error) => t.fail(error.message);
  const what = { groups: [RTNLGRP.LINK], bufferBytes: 4096 };
  using _subscription = subscribeRoute(what, (notice) => events.emit(notice.kind), ended);
  const signal = AbortSignal.timeout(5000);
  const told = once(events, 'messages', { signal });
  rt.createLink({ name: 'br2', kind: 'bridge' });
  await told;
  const lost = once(events, 'lost', { signal: AbortSignal.timeout(5000) });
  const { index } = must(rt.link('br2'), 'br2');
  // Nobody reads while this runs: more notifications than the buffer holds.
  for (let i = 0; i < 50; i++) rt.setLink({ index, up: i % 2 === 0 });
  await lost;
  const again = once(events, 'messages', { signal });
  rt.deleteLink({ index });
  await again;
});

t.test('subscribeUevents() tells of devices that come', { skip }, async (t) => {
  using rt = new RtNetlink();
  const events = new EventEmitter();
  const subscription = subscribeUevents(
    (notice) => {
      if (notice.kind === 'uevent') events.emit('uevent', Buffer.from(notice.bytes).toString());
    },
    (error) => t.fail(error.message),
  );
  const told = once(events, 'uevent', { signal: AbortSignal.timeout(5000) });
  rt.createLink({ name: 'br3', kind: 'bridge' });
  const [text = ''] = await told;
  t.match(text, /^add@\/devices\/virtual\/net\/br3\0ACTION=add\0.*INTERFACE=br3\0/s);
  subscription[Symbol.dispose]();
  rt.deleteLink({ name: 'br3' });
});

t.test('NodeLinks makes the network as wanted, and only that', { skip }, async (t) => {
  using links = new NodeLinks();
  using rt = new RtNetlink();
  links.loopbackUp();
  for (const name of ['eth0', 'eth1'])
    rt.createLink({ name, kind: 'veth', peer: { name: `${name}-peer` } });
  rt.setLink({ index: must(rt.link('eth0-peer'), 'peer').index, up: true });
  const eth0 = must(rt.link('eth0'), 'eth0').index;
  rt.putAddress({ index: must(rt.link('eth1'), 'eth1').index, address: cidr('198.51.100.1/24') });
  const wanted = {
    links: [
      { name: 'eth0', mtu: 1450, addresses: [cidr('192.0.2.10/24'), cidr('fd00::a/64')] },
      { name: 'absent', addresses: [] },
    ],
    routes: [
      { linkName: 'eth0', family: 4 as const, gateway: ip('192.0.2.1'), metric: 100 },
      {
        linkName: 'eth0',
        family: 4 as const,
        destination: cidr('203.0.113.0/24'),
        gateway: ip('192.0.2.2'),
        metric: 0,
      },
    ],
  };
  t.ok(links.apply(wanted).length > 0);
  t.same(links.apply(wanted), [], 'nothing is left to do');
  t.equal(primaryAddress(links.observe()), '192.0.2.10');
  const changed = {
    ...wanted,
    links: [{ name: 'eth0', addresses: [cidr('192.0.2.11/24')] }],
    routes: wanted.routes.slice(0, 1),
  };
  links.apply(changed);
  const { addresses, routes } = links.observe();
  const texts = addresses
    .filter(({ scope }) => scope === 0)
    .map(({ address }) => formatCidr(address));
  t.same(texts.sort(), ['192.0.2.11/24', '198.51.100.1/24'], 'other links are left alone');
  t.equal(
    routes.filter(
      ({ destination }) =>
        destination !== undefined && formatCidr(destination) === '203.0.113.0/24',
    ).length,
    0,
  );
  t.equal(primaryAddress(links.observe()), '192.0.2.11');
  const link = must(
    links.observe().links.find(({ index }) => index === eth0),
    'eth0',
  );
  t.equal(isWired(link), false, 'a veth is no wire');
  t.equal(hasCarrier(link), true);
  links.setUp('eth0', false);
  t.equal(hasCarrier(must(rt.link('eth0'), 'eth0')), false);
});

t.test('NodeLinks makes the rest when the kernel refuses a change', { skip }, async (t) => {
  using links = new NodeLinks();
  using rt = new RtNetlink();
  rt.createLink({ name: 'eth2', kind: 'veth', peer: { name: 'eth2-peer' } });
  rt.setLink({ index: must(rt.link('eth2-peer'), 'peer').index, up: true });
  const gateway = ip('203.0.113.1');
  const wanted = {
    links: [{ name: 'eth2', mtu: 70_000, addresses: [cidr('192.0.2.20/24')] }],
    routes: [{ linkName: 'eth2', family: 4 as const, gateway, metric: 100 }],
  };
  t.throws(() => links.apply(wanted), { code: 'EINVAL' });
  const refused: string[] = [];
  const tell = ({ kind }: { kind: string }, error: { code: string }) =>
    refused.push(`${kind} ${error.code}`);
  links.apply(wanted, tell);
  t.same(refused, ['setLink EINVAL', 'putRoute ENETUNREACH'], 'each once');
  const { index } = must(rt.link('eth2'), 'eth2');
  const own = links.observe().addresses.filter((a) => a.index === index && a.scope === 0);
  t.same(
    own.map(({ address }) => formatCidr(address)),
    ['192.0.2.20/24'],
  );
});
