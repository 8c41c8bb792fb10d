/** planNetworkConfig(): what each field of `network` and of a lease leads to. */
import t from 'tap';
import { must } from '#base/assert.ts';
import { formatCidr, formatIp, parseCidr } from '#base/ip.ts';
import { parseMachineConfig } from '#base/machine-config.ts';
import type { NetworkChange, ObservedNetwork } from '#net/link/link.ts';
import type { Lease } from './dhcp.ts';
import { addressesOn, planNetworkConfig, refusalText } from './network-plan.ts';

const links = [
  { name: 'eth0', mac: '52:54:00:00:00:01' },
  { name: 'eth1', mac: '52:54:00:00:00:02' },
];
const lease: Lease = {
  address: '10.0.2.15/24',
  routers: ['10.0.2.2', '10.0.2.3'],
  nameservers: ['10.0.2.53'],
  timeServers: ['10.0.2.123'],
  hostName: 'Box.example.com',
  mtu: 1400,
};

function plan(network: string, leases: Record<string, Lease> = { eth0: lease }, mtus = {}) {
  const yaml = `version: 1\nnode: {name: n}\ncluster: {name: c}\nnetwork: ${network}\n`;
  const config = network === '' ? undefined : parseMachineConfig(yaml).network;
  const result = planNetworkConfig({
    links,
    leases: new Map(Object.entries(leases)),
    mtus: new Map(Object.entries(mtus)),
    config,
  });
  const { wanted, ...rest } = result;
  return {
    links: wanted.links.map(({ name, mtu, addresses }) => ({
      name,
      mtu,
      addresses: addresses.map(formatCidr),
    })),
    routes: wanted.routes.map(
      ({ linkName, gateway, metric }) =>
        `${linkName} ${gateway === undefined ? '-' : formatIp(gateway)} ${metric}`,
    ),
    ...rest,
  };
}

t.test('planNetworkConfig() follows leases without a configuration', async (t) => {
  t.same(plan(''), {
    links: [
      { name: 'eth0', mtu: 1400, addresses: ['10.0.2.15/24'] },
      { name: 'eth1', mtu: undefined, addresses: [] },
    ],
    routes: ['eth0 10.0.2.2 1000'],
    nameservers: ['10.0.2.53'],
    timeServers: ['10.0.2.123'],
    hostName: 'box',
    withoutDhcp: [],
    problems: [],
  });
});

const rows: { name: string; network: string; expected: object }[] = [
  {
    name: 'sets static addresses, gateway and MTU of a link without DHCP',
    network:
      '{links: [{name: eth0, dhcp: false, addresses: [192.0.2.9/24], gateway: 192.0.2.1, mtu: 9000}]}',
    expected: {
      links: [{ name: 'eth0', mtu: 9000, addresses: ['192.0.2.9/24'] }, {}],
      routes: ['eth0 192.0.2.1 1000'],
      withoutDhcp: ['eth0'],
      nameservers: [],
      timeServers: [],
    },
  },
  {
    name: 'knows a link by its hardware address',
    network: '{links: [{mac: "52:54:00:00:00:02", addresses: [192.0.2.9/24]}]}',
    expected: { links: [{}, { name: 'eth1', addresses: ['192.0.2.9/24'] }], problems: [] },
  },
  {
    name: 'adds static addresses to a lease, and puts its gateway first',
    network: '{links: [{name: eth0, addresses: [192.0.2.9/24], gateway: 192.0.2.1}]}',
    expected: {
      links: [{ addresses: ['192.0.2.9/24', '10.0.2.15/24'] }, {}],
      routes: ['eth0 192.0.2.1 1000'],
    },
  },
  {
    name: 'takes name servers instead of those of a lease, time servers beside them',
    network: '{nameservers: [192.0.2.53], timeServers: [time.example.com]}',
    expected: { nameservers: ['192.0.2.53'], timeServers: ['time.example.com', '10.0.2.123'] },
  },
  {
    name: 'names a link that is not there',
    network: '{links: [{name: eth0}, {name: eth7}, {mac: "52:54:00:00:00:09"}]}',
    expected: {
      problems: [
        'network.links[1]: this machine has no wired link eth7',
        'network.links[2]: this machine has no wired link 52:54:00:00:00:09',
      ],
    },
  },
  {
    name: 'names servers beyond those that resolv.conf takes',
    network: '{nameservers: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4]}',
    expected: {
      nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
      problems: ['network.nameservers: only 3 are used, not 192.0.2.4'],
    },
  },
];
for (const { name, network, expected } of rows) {
  t.test(`planNetworkConfig() ${name}`, async (t) => {
    t.match(plan(network), expected);
  });
}

t.test('planNetworkConfig() gives a link the MTU back that it had', async (t) => {
  t.equal(plan('{}', {}, { eth0: 1500 }).links[0]?.mtu, 1500);
  t.equal(plan('{}', { eth0: lease }, { eth0: 1500 }).links[0]?.mtu, 1400, 'a lease says better');
});

for (const hostName of ['', 'localhost', '-x', 'a_b', undefined]) {
  t.test(`planNetworkConfig() takes no host name from ${JSON.stringify(hostName)}`, async (t) => {
    t.equal(plan('', { eth0: { ...lease, hostName } }).hostName, undefined);
  });
}

t.test('refusalText() names the field, or the lease', async (t) => {
  const yaml =
    'version: 1\nnode: {name: n}\ncluster: {name: c}\nnetwork: {links: [{name: eth0, mtu: 65535}]}\n';
  const config = parseMachineConfig(yaml).network;
  const link = { name: 'eth0', mac: '52:54:00:00:00:01' };
  const text = (change: NetworkChange) => refusalText(change, { link, config, code: 'EINVAL' });
  t.equal(
    text({ kind: 'setLink', index: 2, mtu: 65535 }),
    'network.links[0].mtu: eth0: the kernel refuses 65535: EINVAL',
  );
  t.equal(
    text({
      kind: 'putAddress',
      index: 2,
      address: { family: 4, address: Uint8Array.of(10, 0, 2, 15), prefixLength: 24 },
    }),
    'lease of eth0: eth0: the kernel refuses 10.0.2.15/24: EINVAL',
  );
});

t.test('addressesOn() names what others reach, IPv4 first', async (t) => {
  const address = (index: number, text: string, scope = 0) =>
    ({
      index,
      address: must(parseCidr(text), text),
      scope,
    }) as ObservedNetwork['addresses'][number]; // Enough.
  const addresses = [
    address(2, 'fe80::1/64', 253),
    address(2, 'fd00::2/64'),
    address(2, '192.0.2.10/24'),
    address(3, '10.0.0.1/8'),
    address(2, '169.254.1.1/16', 253),
  ];
  t.same(addressesOn(new Set([2]), addresses), ['192.0.2.10', '169.254.1.1', 'fd00::2']);
});
