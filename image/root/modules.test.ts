import t from 'tap';
import { modulesInOrder, selectModules } from './modules.ts';

const DEP = [
  'kernel/fs/erofs/erofs.ko.xz: kernel/fs/netfs/netfs.ko.xz kernel/lib/libcrc32c.ko.xz',
  'kernel/fs/netfs/netfs.ko.xz:',
  'kernel/fs/nfs/nfs.ko.xz: kernel/net/sunrpc/sunrpc.ko.xz',
  'kernel/net/sunrpc/sunrpc.ko.xz:',
  'kernel/lib/libcrc32c.ko.xz:',
  'kernel/drivers/net/tun.ko.xz:',
  'kernel/drivers/net/tunnel-of-something.ko.xz:',
  'kernel/crypto/tcrypt.ko.xz:',
  'kernel/crypto/xts.ko.xz:',
  '',
].join('\n');

t.test('selectModules() takes what the list names and what that needs, nothing else', async (t) => {
  t.same(selectModules(DEP), [
    'kernel/crypto/xts.ko.xz',
    'kernel/drivers/net/tun.ko.xz',
    'kernel/fs/erofs/erofs.ko.xz',
    'kernel/fs/netfs/netfs.ko.xz',
    'kernel/lib/libcrc32c.ko.xz',
  ]);
});

t.test('modulesInOrder() names what a module needs before it', async (t) => {
  const dep = 'fs/erofs.ko: fs/netfs.ko lib/libcrc32c.ko\nfs/netfs.ko: lib/libcrc32c.ko\n';
  t.same(modulesInOrder(dep, 'erofs'), ['lib/libcrc32c.ko', 'fs/netfs.ko', 'fs/erofs.ko']);
  t.throws(() => modulesInOrder(dep, 'ext4'), /no module ext4/);
});
