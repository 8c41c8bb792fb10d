import t from 'tap';
import { parseDhcpEvent } from './dhcp.ts';

const message = (variables: Record<string, string>) =>
  Object.entries(variables)
    .map(([key, value]) => `${key}=${value}\0`)
    .join('');

t.test('parseDhcpEvent() reads a lease', async (t) => {
  const event = parseDhcpEvent(
    message({
      reason: 'BOUND',
      interface: 'eth0',
      new_ip_address: '10.0.2.15',
      new_subnet_cidr: '24',
      new_routers: '10.0.2.2',
      new_domain_name_servers: '10.0.2.3 10.0.2.4',
      new_interface_mtu: '1400',
    }),
  );
  t.same(event, {
    kind: 'bound',
    link: 'eth0',
    lease: {
      address: '10.0.2.15/24',
      routers: ['10.0.2.2'],
      nameservers: ['10.0.2.3', '10.0.2.4'],
      timeServers: [],
      hostName: undefined,
      mtu: 1400,
    },
  });
});

const rows = [
  {
    name: 'the end of a lease',
    variables: { reason: 'EXPIRE', interface: 'eth0' },
    kind: 'released',
  },
  {
    name: 'a cable that was pulled',
    variables: { reason: 'NOCARRIER', interface: 'eth0' },
    kind: 'released',
  },
  {
    name: 'the end of the client',
    variables: { reason: 'STOPPED', interface: 'eth0' },
    kind: 'none',
  },
  { name: 'an event without a link', variables: { reason: 'BOUND' }, kind: 'none' },
  {
    name: 'a lease without an address',
    variables: { reason: 'BOUND', interface: 'eth0' },
    kind: 'none',
  },
  {
    name: 'an event that tells nothing',
    variables: { reason: 'PREINIT', interface: 'eth0' },
    kind: 'none',
  },
] as const;
for (const c of rows) {
  t.test(`parseDhcpEvent() reads ${c.name}`, async (t) => {
    t.equal(parseDhcpEvent(message(c.variables)).kind, c.kind);
  });
}
