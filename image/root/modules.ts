/**
 * Kernel modules of the image: which parts of the distribution's module tree go in, as path prefixes
 * below `kernel/`. The machine loads what its devices ask for (modalias) and what the supervisor names;
 * filesystems, network protocols and drivers that an appliance never meets stay out.
 */
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const MODULE_PREFIXES: readonly string[] = [
  'arch/x86/crypto/',
  'block/',
  'crypto/',
  'drivers/acpi/',
  'drivers/ata/',
  'drivers/block/',
  'drivers/cdrom/',
  'drivers/char/hw_random/',
  'drivers/char/virtio_console',
  'drivers/cpufreq/',
  'drivers/firmware/',
  'drivers/hv/',
  'drivers/input/evdev',
  'drivers/md/',
  'drivers/net/',
  'drivers/nvme/',
  'drivers/ptp/',
  'drivers/scsi/',
  'drivers/virtio/',
  'drivers/watchdog/',
  'drivers/xen/',
  'fs/erofs/',
  'fs/fat/',
  'fs/fuse/',
  'fs/isofs/', // a configuration on an ISO image
  'fs/netfs/',
  'fs/nls/',
  'fs/overlayfs/',
  'lib/',
  'net/',
];

/**
 * Modules that every start loads: the image holds them unpacked. The kernel takes ten times as long to
 * unpack xz as erofs takes for its own compression of the same bytes.
 */
const UNPACKED_PREFIXES: readonly string[] = [
  'arch/x86/crypto/',
  'crypto/crypto_simd',
  'crypto/cryptd',
  'drivers/acpi/button',
  'drivers/ata/ahci',
  'drivers/ata/libahci',
  'drivers/ata/libata',
  'drivers/block/virtio_blk',
  'drivers/char/hw_random/virtio',
  'drivers/net/net_failover',
  'drivers/net/tun',
  'drivers/net/veth',
  'drivers/net/virtio_net',
  'drivers/net/vxlan/',
  'drivers/scsi/scsi_common',
  'drivers/scsi/scsi_mod',
  'fs/erofs/',
  'fs/fat/',
  'fs/netfs/',
  'fs/nls/nls_ascii',
  'fs/nls/nls_cp437',
  'fs/nls/nls_utf8',
  'fs/overlayfs/',
  'lib/crypto/gf128mul',
  'lib/libcrc32c',
  'net/802/stp',
  'net/bridge/br_netfilter',
  'net/bridge/bridge',
  'net/core/failover',
  'net/ipv4/netfilter/nf',
  'net/ipv4/udp_tunnel',
  'net/ipv6/ip6_udp_tunnel',
  'net/ipv6/netfilter/nf',
  'net/llc/',
  'net/netfilter/nf_',
  'net/netfilter/nfnetlink.',
  'net/netfilter/nft_',
];

/**
 * Copies the modules of the one kernel in `packages` into `rootDir`; returns the kernel's version, and
 * the files (`.ko.xz`, paths from `rootDir`) that are to be unpacked.
 */
export function copyModules(
  packages: string,
  rootDir: string,
): { version: string; packed: string[] } {
  const base = join(packages, 'usr/lib/modules');
  const [version, ...others] = readdirSync(base);
  if (version === undefined || others.length > 0) {
    throw new Error(`expected one kernel in ${base}, found ${[version, ...others].join(' ')}`);
  }
  const from = join(base, version);
  const to = join(rootDir, 'usr/lib/modules', version);
  for (const name of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
    mkdirSync(to, { recursive: true });
    cpSync(join(from, name), join(to, name));
  }
  const packed: string[] = [];
  for (const entry of readdirSync(join(from, 'kernel'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const inside = path.slice(join(from, 'kernel/').length);
    if (!MODULE_PREFIXES.some((prefix) => inside.startsWith(prefix))) continue;
    const target = join(to, 'kernel', inside);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(path, target);
    if (inside.endsWith('.xz') && UNPACKED_PREFIXES.some((prefix) => inside.startsWith(prefix)))
      packed.push(target.slice(rootDir.length + 1));
  }
  return { version, packed };
}
