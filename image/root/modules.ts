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
  'fs/netfs/',
  'fs/nls/',
  'fs/overlayfs/',
  'lib/',
  'net/',
];

/** Copies the modules of the one kernel in `packages` into `rootDir`; returns the kernel's version. */
export function copyModules(packages: string, rootDir: string): string {
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
  for (const entry of readdirSync(join(from, 'kernel'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const inside = path.slice(join(from, 'kernel/').length);
    if (!MODULE_PREFIXES.some((prefix) => inside.startsWith(prefix))) continue;
    const target = join(to, 'kernel', inside);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(path, target);
  }
  return version;
}
