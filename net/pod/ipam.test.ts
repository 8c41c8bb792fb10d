import t from 'tap';
import { must } from '#base/assert.ts';
import { parseCidr } from '#base/ip.ts';
import { EMPTY_IPAM, type IpamState, allocate, release } from './ipam.ts';

const cidr = must(parseCidr('10.244.0.0/29'), ''); // .2 to .6 are for pods.

function take(state: IpamState, sandboxId: string) {
  return allocate(state, cidr, { sandboxId, linkName: `veth-${sandboxId}`, hostPorts: [] });
}

t.test('allocate() gives each address once and then none', async (t) => {
  let state = EMPTY_IPAM;
  const ips: string[] = [];
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    const step = must(take(state, id), id);
    state = step.state;
    ips.push(step.allocation.ip);
  }
  t.same(ips, ['10.244.0.2', '10.244.0.3', '10.244.0.4', '10.244.0.5', '10.244.0.6']);
  t.equal(take(state, 'f'), undefined);
  state = release(state, 'c');
  t.equal(must(take(state, 'f'), 'f').allocation.ip, '10.244.0.4');
});

t.test('allocate() uses a released address as late as possible', async (t) => {
  let state = EMPTY_IPAM;
  const seen: string[] = [];
  for (let round = 0; round < 6; round++) {
    const step = must(take(state, 'x'), 'x');
    seen.push(step.allocation.ip);
    state = release(step.state, 'x');
  }
  t.same(
    seen.map((ip) => ip.at(-1)),
    ['2', '3', '4', '5', '6', '2'],
  );
});

t.test('allocate() wraps over taken addresses', async (t) => {
  let state = EMPTY_IPAM;
  for (const id of ['a', 'b', 'c', 'd', 'e']) state = must(take(state, id), id).state;
  state = release(release(state, 'b'), 'e');
  const first = must(take(state, 'f'), 'f');
  t.equal(first.allocation.ip, '10.244.0.3');
  t.equal(must(take(first.state, 'g'), 'g').allocation.ip, '10.244.0.6');
});

t.test('allocate() finds the one free address of a full prefix from any start', async (t) => {
  let full = EMPTY_IPAM;
  for (const id of ['a', 'b', 'c', 'd', 'e']) full = must(take(full, id), id).state;
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    for (let nextIndex = 0; nextIndex < 9; nextIndex++) {
      const state = { ...release(full, id), nextIndex };
      const freed = must(full.allocations.get(id), id).ip;
      t.equal(must(take(state, 'z'), 'z').allocation.ip, freed);
    }
  }
});
