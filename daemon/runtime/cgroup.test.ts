import t from 'tap';
import { parseCgroupLayout } from './cgroup.ts';

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
