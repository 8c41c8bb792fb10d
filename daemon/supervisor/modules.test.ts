import t from 'tap';
import { modulesFor, parseModuleIndex, planLoad } from './modules.ts';

const index = parseModuleIndex(
  'kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz kernel/drivers/virtio/virtio.ko.xz\n' +
    'kernel/net/core/failover.ko.xz:\nkernel/drivers/virtio/virtio.ko.xz:\nkernel/lib/lib-crc32c.ko:\n',
  '# comment\nalias virtio:d00000001v* virtio_net\nalias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\nalias fs-x[ab]y lib-crc32c\n',
);

t.test('planLoad() loads dependencies first', async (t) => {
  t.same(planLoad(index, 'virtio-net'), [
    'kernel/drivers/virtio/virtio.ko.xz',
    'kernel/net/core/failover.ko.xz',
    'kernel/drivers/net/virtio_net.ko.xz',
  ]);
  t.same(planLoad(index, 'lib_crc32c'), ['kernel/lib/lib-crc32c.ko']);
  t.same(planLoad(index, 'ext4'), [], 'built in or unknown');
});

t.test('modulesFor() matches depmod patterns', async (t) => {
  t.same(modulesFor(index, 'virtio:d00000001v00001AF4'), ['virtio_net']);
  t.same(modulesFor(index, 'pci:v00008086d0000100Esv0000sd0000bc02sc00i00'), ['e1000']);
  t.same(modulesFor(index, 'fs-xay'), ['lib_crc32c']);
  t.same(modulesFor(index, 'fs-xcy'), []);
  t.same(modulesFor(index, 'virtio:d00000002v00001AF4'), []);
});
