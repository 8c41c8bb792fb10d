import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { silentLog } from '#base/log.ts';
import { Cgroups, parseCgroupLayout } from './cgroup.ts';

const V2 =
  '30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot';
const V1 = [
  '31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
  '32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
  '33 30 0:29 / /sys/fs/cgroup/memory rw shared:7 master:2 - cgroup cgroup rw,memory',
  '34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup none rw,xattr,name=systemd',
  '35 30 0:31 / /other/memory rw - cgroup cgroup rw,memory',
  '36 30 0:32 / / rw - ext4 /dev/vda rw',
].join('\n');

t.same(parseCgroupLayout(V2), { version: 2, mounts: new Map([['', '/sys/fs/cgroup']]) });
t.same(parseCgroupLayout(V1), {
  version: 1,
  mounts: new Map([
    ['cpu', '/sys/fs/cgroup/cpu,cpuacct'],
    ['cpuacct', '/sys/fs/cgroup/cpu,cpuacct'],
    ['memory', '/sys/fs/cgroup/memory'],
    ['name=systemd', '/sys/fs/cgroup/systemd'],
    ['unified', '/sys/fs/cgroup/unified'],
  ]),
});
t.equal(parseCgroupLayout('36 30 0:32 / / rw - ext4 /dev/vda rw'), undefined);
t.equal(parseCgroupLayout(''), undefined);

await t.test('Cgroups on v2, over plain files', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'bareboat-cgroup-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const write = (path: string, text: string) => writeFileSync(join(root, path), text);
  const read = (path: string) => readFileSync(join(root, path), 'utf8');
  mkdirSync(join(root, 'kubepods/pod1/abc'), { recursive: true });
  write('cgroup.controllers', 'cpuset cpu io memory hugetlb pids rdma');
  write('kubepods/cgroup.controllers', 'cpu memory pids');
  write('kubepods/pod1/cgroup.controllers', 'cpu memory pids');
  const cgroups = new Cgroups({ version: 2, mounts: new Map([['', root]]) }, silentLog);
  cgroups.create('/kubepods/pod1', { cpuShares: 1024, memoryLimitBytes: 1000 });
  t.equal(read('cgroup.subtree_control'), '+cpu +cpuset +memory +pids +io');
  t.equal(read('kubepods/pod1/cgroup.subtree_control'), '+cpu +memory +pids');
  t.equal(read('kubepods/pod1/cpu.weight'), '39');
  t.equal(read('kubepods/pod1/memory.max'), '1000');
  cgroups.addMonitor('/kubepods/pod1', 42);
  t.equal(read('kubepods/pod1/conmon/cgroup.procs'), '42');
  t.ok(cgroups.hasMonitor('/kubepods/pod1', 42));
  t.notOk(cgroups.hasMonitor('/kubepods/pod1', 4));
  t.equal(cgroups.stats('/kubepods/pod1/abc', 5), undefined);
  write('kubepods/pod1/abc/memory.current', '5000\n');
  write('kubepods/pod1/abc/memory.stat', 'anon 3000\ninactive_file 1500\n');
  write('kubepods/pod1/abc/memory.events', 'low 0\nhigh 0\noom 3\noom_kill 2\n');
  write('kubepods/pod1/abc/cpu.stat', 'usage_usec 12345\nuser_usec 1\n');
  write('kubepods/pod1/abc/pids.current', '3\n');
  t.same(cgroups.stats('/kubepods/pod1/abc', 5), {
    atMs: 5,
    cpuUsageNanos: 12_345_000,
    memoryUsageBytes: 5000,
    memoryWorkingSetBytes: 3500,
    pids: 3,
  });
  t.equal(cgroups.oomKillCount('/kubepods/pod1/abc'), 2);
  t.equal(cgroups.oomKillCount('/gone'), 0);
  t.ok(cgroups.remove('/gone'));
  t.end();
});
