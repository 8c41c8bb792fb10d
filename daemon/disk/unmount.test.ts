import t from 'tap';
import { planUnmounts } from './unmount.ts';

const mountinfo = `22 1 0:20 / / rw - erofs /root.erofs ro
30 22 253:2 / /var/lib/bareboat/state rw,noatime - ext4 /dev/vda2 rw
31 22 253:4 / /var/lib/bareboat/agent rw,noatime - ext4 /dev/vda4 rw
40 31 0:50 / /var/lib/bareboat/agent/runtime/c1/rootfs rw - overlay overlay rw
41 40 0:51 / /var/lib/bareboat/agent/pods/u/volumes/with\\040blank rw - tmpfs tmpfs rw
42 22 0:52 / /var/lib/bareboat/agents rw - tmpfs tmpfs rw
43 31 253:4 / /var/lib/bareboat/agent rw - ext4 /dev/vda4 rw
`;

t.test('planUnmounts() takes the newest first, and only what lies below', async (t) => {
  t.same(planUnmounts(mountinfo, ['/var/lib/bareboat/state', '/var/lib/bareboat/agent']), [
    '/var/lib/bareboat/agent',
    '/var/lib/bareboat/agent/pods/u/volumes/with blank',
    '/var/lib/bareboat/agent/runtime/c1/rootfs',
    '/var/lib/bareboat/agent',
    '/var/lib/bareboat/state',
  ]);
  t.same(planUnmounts(mountinfo, []), []);
});
