/** Sysctls against a folder that stands for /proc/sys. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { minFreeKilobytes, NODE_SYSCTLS, planSysctls, Sysctls } from './sysctls.ts';

const LARGE = 64 * 2 ** 30;

function scratch(t: Test, values: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-sysctls-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const root = join(dir, 'sys');
  for (const [path, value] of Object.entries(values)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), `${value}\n`);
  }
  const recordFile = join(dir, 'run/sysctls.json');
  const open = () => new Sysctls({ root, recordFile, memoryBytes: LARGE });
  return { root, open, read: (path: string) => readFileSync(join(root, path), 'utf8').trimEnd() };
}

t.test('planSysctls() puts the configuration over what a node needs', async (t) => {
  const wanted = planSysctls({ 'vm.max_map_count': '5', 'net.core.somaxconn': '1' }, LARGE);
  t.same(wanted.get('vm/max_map_count'), { value: '5', name: 'vm.max_map_count' });
  t.same(wanted.get('net/core/somaxconn'), { value: '1', name: 'net.core.somaxconn' });
  t.same(wanted.get('vm/overcommit_memory'), { value: '1', name: undefined });
  t.equal(wanted.size, Object.keys(NODE_SYSCTLS).length + 1);
});

t.test(
  'planSysctls() lets a small machine use what the kernel would keep for huge pages',
  async (t) => {
    t.equal(minFreeKilobytes(2 * 2 ** 30), 5792);
    t.equal(minFreeKilobytes(LARGE), undefined);
    t.same(planSysctls({}, 2 * 2 ** 30).get('vm/min_free_kbytes'), {
      value: '5792',
      name: undefined,
    });
    const configured = { 'vm.min_free_kbytes': '70000' };
    t.match(planSysctls(configured, 2 * 2 ** 30).get('vm/min_free_kbytes'), { value: '70000' });
  },
);

t.test('apply() sets values, and puts back what was before', async (t) => {
  const { open, read } = scratch(t, { 'vm/swappiness': '60', 'vm/max_map_count': '65530' });
  const first = open();
  t.same(first.apply({ 'vm.swappiness': '10', 'vm.max_map_count': '7' }), []);
  t.equal(read('vm/swappiness'), '10');
  t.equal(read('vm/max_map_count'), '7');
  // The next supervisor of this boot.
  const second = open();
  t.same(second.apply({}), []);
  t.equal(read('vm/swappiness'), '60', 'as it was');
  t.equal(read('vm/max_map_count'), '262144', 'as a node needs it');
  t.same(open().apply({}), []);
  t.equal(read('vm/swappiness'), '60');
});

t.test('apply() names what this kernel does not have', async (t) => {
  const { root, open } = scratch(t, { 'net/ipv4/tcp_rmem': '4096\t87380\t6291456' });
  const sysctls = open();
  const configured = {
    'vm.swapiness': '1',
    'net.ipv4': '1',
    'net.ipv4.tcp_rmem': '4096 87380 6291456',
  };
  const problems = [
    'sysctls.vm.swapiness: this kernel has no such parameter',
    'sysctls.net.ipv4: this kernel has no such parameter',
  ];
  t.same(sysctls.missing(configured), problems);
  t.same(sysctls.apply(configured), problems);
  t.notOk(existsSync(join(root, 'vm/swapiness')), 'not made');
  t.match(
    readFileSync(join(root, 'net/ipv4/tcp_rmem'), 'utf8'),
    /\t/,
    'the same value is not written',
  );
});
