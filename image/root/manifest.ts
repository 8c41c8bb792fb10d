/**
 * The root filesystem of the image, as data: everything that the machine has, and nothing else.
 * Libraries are not named here: image/root/build.ts adds those that the programs need, and
 * executables.txt lists all that may be run, which test/host/image-root.test.ts compares.
 */

/** A program out of a Debian package (or of Node's npm package). */
export interface Program {
  readonly from: string;
  readonly to: string;
  readonly why: string;
}

export const PROGRAMS: readonly Program[] = [
  { from: 'usr/bin/conmon', to: 'usr/bin/conmon', why: 'holds stdio of a container' },
  { from: 'usr/sbin/runc', to: 'usr/sbin/runc', why: 'starts containers' },
  { from: 'usr/sbin/chronyd', to: 'usr/sbin/chronyd', why: 'time' },
  { from: 'usr/sbin/dhcpcd', to: 'usr/sbin/dhcpcd', why: 'addresses' },
  { from: 'usr/sbin/e2fsck', to: 'usr/sbin/e2fsck', why: 'checks ext4 after a power cut' },
  { from: 'usr/sbin/mke2fs', to: 'usr/sbin/mke2fs', why: 'formats at first boot' },
  { from: 'usr/sbin/resize2fs', to: 'usr/sbin/resize2fs', why: 'grows with the disk' },
];

/** Data files out of packages. */
export const DATA: readonly Program[] = [
  { from: 'etc/mke2fs.conf', to: 'etc/mke2fs.conf', why: 'feature sets of ext4' },
];

/** Users that packages' install scripts would have made, and ours (design: process tree). */
export const USERS = [
  { name: 'root', uid: 0, home: '/root' },
  { name: 'gateway', uid: 901, home: '/' },
  { name: 'control', uid: 902, home: '/' },
  { name: 'chrony', uid: 903, home: '/' },
  { name: 'dhcpcd', uid: 904, home: '/run/dhcpcd' },
  { name: 'nobody', uid: 65534, home: '/' },
] as const;

/** Empty directories: mount points and places for state, made by the supervisor's mounts. */
export const DIRECTORIES: readonly { readonly path: string; readonly mode?: number }[] = [
  { path: 'dev' },
  { path: 'etc' },
  { path: 'mnt' },
  { path: 'opt' },
  { path: 'proc' },
  { path: 'root', mode: 0o700 },
  { path: 'run' },
  { path: 'sys' },
  { path: 'tmp', mode: 0o1777 },
  { path: 'usr/lib/bareboat' },
  { path: 'usr/lib/modules' },
  { path: 'var' },
];

export const SYMLINKS: readonly { readonly path: string; readonly target: string }[] = [
  { path: 'bin', target: 'usr/bin' },
  { path: 'lib', target: 'usr/lib' },
  { path: 'lib64', target: 'usr/lib64' },
  { path: 'sbin', target: 'usr/sbin' },
  { path: 'etc/mtab', target: '../proc/self/mounts' },
  { path: 'etc/resolv.conf', target: '../run/bareboat/resolv.conf' },
  { path: 'var/run', target: '../run' },
];

/** Text files. */
export const FILES: readonly { readonly path: string; readonly text: string }[] = [
  {
    path: 'etc/passwd',
    text: USERS.map((u) => `${u.name}:x:${u.uid}:${u.uid}::${u.home}:/\n`).join(''),
  },
  { path: 'etc/group', text: USERS.map((u) => `${u.name}:x:${u.uid}:\n`).join('') },
  { path: 'etc/nsswitch.conf', text: 'passwd: files\ngroup: files\nhosts: files dns\n' },
  { path: 'etc/hosts', text: '127.0.0.1 localhost\n::1 localhost\n' },
  { path: 'etc/ssl/openssl.cnf', text: '' },
  // One lease for each wired link; the rest is options of the unit.
  {
    path: 'etc/dhcpcd.conf',
    text: 'duid\npersistent\noption domain_name_servers, ntp_servers, host_name, interface_mtu\nrequire dhcp_server_identifier\ndenyinterfaces veth* bareboat* cni* docker* br-*\n',
  },
];

/** Certificates of the public CAs: one file, as programs expect it. */
export const CA_CERTIFICATES = {
  fromDirectory: 'usr/share/ca-certificates/mozilla',
  to: 'etc/ssl/certs/ca-certificates.crt',
} as const;
