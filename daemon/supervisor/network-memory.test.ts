/** NetworkMemory: what the next supervisor of a boot knows of leases and links. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Lease } from './dhcp.ts';
import { NetworkMemory } from './network-memory.ts';

const lease: Lease = {
  address: '10.0.2.15/24',
  routers: [],
  nameservers: [],
  timeServers: [],
  hostName: undefined,
  mtu: undefined,
};

function scratch(t: Test): () => NetworkMemory {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-network-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return () => new NetworkMemory(join(dir, 'run/network.json'));
}

t.test('NetworkMemory is read again', async (t) => {
  const open = scratch(t);
  const first = open();
  first.onDhcp({ kind: 'bound', link: 'eth0', lease });
  first.onDhcp({ kind: 'none' });
  first.rememberMtu('eth0', 1500);
  first.rememberMtu('eth0', 9000);
  t.match(open().leases.get('eth0'), { address: '10.0.2.15/24' });
  t.equal(open().mtus.get('eth0'), 1500, 'the first one');
  open().onDhcp({ kind: 'released', link: 'eth0' });
  t.equal(open().leases.size, 0);
});

t.test('NetworkMemory forgets links that are gone', async (t) => {
  const open = scratch(t);
  const memory = open();
  for (const link of ['eth0', 'eth1']) memory.onDhcp({ kind: 'bound', link, lease });
  memory.rememberMtu('eth1', 1500);
  memory.keepOnly(['lo', 'eth0']);
  t.same([...open().leases.keys()], ['eth0']);
  t.equal(open().mtus.size, 0);
});
