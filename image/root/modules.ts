/**
 * Kernel modules of the image: which parts of the distribution's module tree go in, as path prefixes
 * below `kernel/`, and whatever these need. The machine loads what its devices ask for (modalias) and
 * what the supervisor names; pods and CNI plugins expect the rest of the network stack to be there.
 * Left out: filesystems and network protocols that nothing of ours mounts or speaks (NFS, Ceph, SMC,
 * RDS, TIPC, DCCP, L2TP), drivers of machines that are no virtual machines, backends of hypervisors,
 * RAID and caches that need tools the image has not, tests.
 * All are unpacked: erofs compresses them as well as xz does, and the kernel takes ten times as long to
 * unpack xz.
 */
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { assert } from '#base/assert.ts';
import type { BuildRoot } from '../build-root.ts';

/** `folder/` takes all that is in it, `folder/name` what begins so, `folder/name.` exactly this one. */
export const MODULE_PREFIXES: readonly string[] = [
  // Ciphers and sums of dm-crypt, IPsec, WireGuard, TLS and ext4; those of other days stay out.
  ...below(
    'arch/x86/crypto',
    'aesni-intel. chacha-x86_64. crc32-pclmul. crc32c-intel. crct10dif-pclmul. curve25519-x86_64.',
    'ghash-clmulni-intel. poly1305-x86_64. sha1-ssse3. sha256-ssse3. sha512-ssse3.',
  ),
  'block/',
  ...below(
    'crypto',
    'af_alg. algif_ authenc blake2b_generic. ccm. chacha cmac. cryptd. crypto_null. crypto_simd.',
    'cts. echainiv. essiv. gcm. geniv. ghash-generic. lz4. lz4hc. poly1305_generic. seqiv.',
    'xcbc. xts. xxhash_generic. zstd.',
  ),
  'drivers/acpi/button.',
  'drivers/ata/ahci.',
  'drivers/ata/ata_piix.',
  ...below('drivers/block', 'loop. nbd. virtio_blk. xen-blkfront. zram/'),
  'drivers/cdrom/',
  'drivers/char/hw_random/',
  'drivers/firmware/efi/',
  'drivers/firmware/qemu_fw_cfg.',
  'drivers/hv/',
  'drivers/input/evdev',
  ...below(
    'drivers/md',
    'dm-crypt. dm-integrity. dm-mirror. dm-mod. dm-multipath. dm-round-robin. dm-service-time.',
    'dm-snapshot. dm-thin-pool. dm-verity.',
  ),
  ...below(
    'drivers/net',
    'bonding/ dummy. ethernet/ geneve. hyperv/ ifb. ipvlan/ macvlan. macvtap. net_failover.',
    'netconsole. nlmon. tap. tun. veth. virtio_net. vmxnet3/ vrf. vxlan/ wireguard/ xen-netfront.',
  ),
  'drivers/nvme/host/nvme-tcp.',
  'drivers/ptp/',
  ...below(
    'drivers/scsi',
    'hv_storvsc. iscsi_tcp. sd_mod. sg. sr_mod. virtio_scsi. vmw_pvscsi. xen-scsifront.',
  ),
  'drivers/virtio/',
  'drivers/watchdog/',
  'drivers/xen/xen-evtchn.',
  'drivers/xen/xenfs/',
  'fs/erofs/',
  'fs/fat/',
  'fs/fuse/',
  'fs/isofs/', // a configuration on an ISO image
  ...below('fs/nls', 'nls_ascii. nls_cp437. nls_iso8859-1. nls_utf8.'),
  'fs/overlayfs/',
  'lib/ts_', // xt_string asks for them by name
  ...below(
    'net',
    '802/ 8021q/ bridge/ core/failover. ipv4/ ipv6/ key/ llc/ mptcp/ netfilter/ netlink/ nsh/',
    'openvswitch/ packet/ psample/ sched/ sctp/ tls/ unix/ vmw_vsock/ xdp/ xfrm/',
  ),
];

function below(folder: string, ...names: readonly string[]): string[] {
  return names.flatMap((line) => line.split(' ').map((name) => `${folder}/${name}`));
}

/**
 * Paths of the modules that go in, sorted, out of depmod's `modules.dep` of the whole tree (`path: path...`,
 * modules.dep(5), paths beginning with `kernel/`).
 */
export function selectModules(dep: string): string[] {
  const selected = new Set<string>();
  for (const line of dep.split('\n')) {
    const [path = '', needs = ''] = line.split(':');
    if (!MODULE_PREFIXES.some((prefix) => path.startsWith(`kernel/${prefix}`))) continue;
    selected.add(path);
    for (const need of needs.split(' ')) if (need !== '') selected.add(need);
  }
  return [...selected].toSorted();
}

/**
 * The modules to load for module `name`, itself last, as paths out of `modules.dep`: it lists what a module
 * needs nearest first. Throws when there is no such module.
 */
export function modulesInOrder(dep: string, name: string): string[] {
  const line = dep.split('\n').find((text) => text.split(':')[0]?.endsWith(`/${name}.ko`));
  assert(line !== undefined, `the kernel has no module ${name}`);
  const [path = '', needs = ''] = line.split(':');
  return [path, ...needs.split(' ').filter((need) => need !== '')].toReversed();
}

/**
 * Copies the modules of the one kernel in `packages` into `rootDir` and writes depmod's indices there;
 * returns the kernel's version.
 */
export function copyModules(buildRoot: BuildRoot, packages: string, rootDir: string): string {
  const base = join(packages, 'usr/lib/modules');
  const [version, ...others] = readdirSync(base);
  if (version === undefined || others.length > 0) {
    throw new Error(`expected one kernel in ${base}, found ${[version, ...others].join(' ')}`);
  }
  const from = join(base, version);
  const to = join(rootDir, 'usr/lib/modules', version);
  mkdirSync(to, { recursive: true });
  for (const name of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
    cpSync(join(from, name), join(to, name));
  }
  const indices = buildRoot.run(['depmod', '--dry-run', '-b', '/work', version], packages);
  const selected = selectModules(indices.slice(0, indices.indexOf('\n# ')));
  assert(selected.length > 0, `depmod named none of the modules of ${version}`);
  for (const path of selected) {
    mkdirSync(dirname(join(to, path)), { recursive: true });
    cpSync(join(from, path), join(to, path));
  }
  const packed = selected.filter((path) => path.endsWith('.xz'));
  const inRoot = (path: string) => join('/work/usr/lib/modules', version, path);
  if (packed.length > 0) buildRoot.run(['xz', '--decompress', ...packed.map(inRoot)], rootDir);
  buildRoot.run(['depmod', '-b', '/work', version], rootDir);
  return version;
}
