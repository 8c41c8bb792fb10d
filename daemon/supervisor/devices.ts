/**
 * Devices and the modules that they ask for: those that are there at start (coldplug, by walking
 * /sys/devices), and the kernel's uevents about those that come later (hotplug.ts).
 */
import { type Dirent, readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { ModuleLoader } from './modules.ts';

/** Modules that no device asks for, but a node needs. */
export const NODE_MODULES: readonly string[] = [
  'br_netfilter',
  'bridge',
  'button',
  'evdev',
  'fuse',
  'i6300esb',
  'nf_conntrack',
  'nf_nat',
  'nf_tables',
  'nfnetlink',
  'nft_chain_nat',
  'nft_ct',
  'nft_fib_inet',
  'nft_fib_ipv4',
  'nft_fib_ipv6',
  'nft_limit',
  'nft_log',
  'nft_masq',
  'nft_nat',
  'nft_numgen',
  'nft_redir',
  'nft_reject_inet',
  'nft_reject_ipv4',
  'nft_reject_ipv6',
  'nf_conntrack_netlink',
  'nft_hash',
  'overlay',
  'tun',
  'veth',
  'vfat',
  'nls_ascii',
  'nls_cp437',
  'nls_utf8',
  'virtio_rng',
  'vxlan',
];

/** Loads modules for all devices present; bus drivers bring further devices, hence the passes. */
export function coldplug(loader: ModuleLoader): void {
  const seen = new Set<string>();
  for (let pass = 0; pass < 4; pass++) {
    const before = seen.size;
    for (const alias of modaliases('/sys/devices')) {
      if (seen.has(alias)) continue;
      seen.add(alias);
      loader.loadFor(alias);
    }
    if (seen.size === before) return;
  }
}

function* modaliases(dir: string): Generator<string> {
  let entries: { name: string; isDirectory(): boolean }[];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EACCES')) return; // The device went away.
    throw error;
  }
  for (const entry of entries) {
    if (entry.isDirectory()) yield* modaliases(join(dir, entry.name));
    else if (entry.name === 'modalias') yield* readAlias(join(dir, entry.name));
  }
}

function* readAlias(path: string): Generator<string> {
  try {
    const alias = readFileSync(path, 'latin1').trim();
    if (alias !== '') yield alias;
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENODEV')) throw error; // The device went away.
  }
}

/** The same walk beside everything else: what came while nobody listened for uevents. */
export async function* modaliasesAsync(dir = '/sys/devices'): AsyncGenerator<string> {
  let entries: Dirent[];
  try {
    entries = await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EACCES')) return; // The device went away.
    throw error;
  }
  for (const entry of entries) {
    if (entry.isDirectory()) yield* modaliasesAsync(join(dir, entry.name));
    else if (entry.name === 'modalias') yield* readAlias(join(dir, entry.name));
  }
}

/**
 * The fields of a kernel uevent: `ACTION@DEVPATH`, then `KEY=VALUE`, each ended by a zero byte. A
 * message of udev begins with `libudev` and is none of ours: undefined.
 */
export function parseUevent(message: Uint8Array): ReadonlyMap<string, string> | undefined {
  const [head, ...rest] = Buffer.from(message).toString('utf8').split('\0');
  if (head === undefined || !/^[a-z]+@\//.test(head)) return undefined;
  const fields = new Map<string, string>();
  for (const line of rest) {
    const equals = line.indexOf('=');
    if (equals > 0) fields.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return fields;
}
