/** Capability sets of containers. Pure. Numbers: include/uapi/linux/capability.h. */

/** In order of their numbers. */
const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
] as const;

/** What an unprivileged container gets, as with containerd and docker. */
const DEFAULTS: readonly string[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
  'AUDIT_WRITE',
];

/** Names in a mask such as CapPrm of /proc/self/status (hexadecimal). */
export function parseCapabilityMask(hex: string): ReadonlySet<string> {
  const mask = BigInt(`0x${hex.trim()}`);
  return new Set(NAMES.filter((_, bit) => (mask & (1n << BigInt(bit))) !== 0n));
}

/**
 * `CAP_*` names of the container's set, in kernel order. What this process has not (`available`)
 * cannot be given: runc would fail.
 */
export function planCapabilities(
  request: { privileged: boolean; add: readonly string[]; drop: readonly string[] },
  available: ReadonlySet<string>,
): readonly string[] {
  const bare = (name: string): string => name.toUpperCase().replace(/^CAP_/, '');
  const [add, drop] = [request.add.map(bare), request.drop.map(bare)];
  let set = new Set(DEFAULTS);
  if (add.includes('ALL') || request.privileged) set = new Set(NAMES);
  if (drop.includes('ALL') && !request.privileged) set = new Set();
  if (!request.privileged) {
    for (const name of add) set.add(name);
    for (const name of drop) set.delete(name);
  }
  return NAMES.filter((name) => set.has(name) && available.has(name)).map((name) => `CAP_${name}`);
}
