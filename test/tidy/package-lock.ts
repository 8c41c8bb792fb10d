/**
 * Completes package-lock.json after `npm install`: some registries do not carry the builds of optional
 * packages for other platforms, npm then leaves them out of the lock, and `npm ci` refuses it as out
 * of step. Each missing one is entered with the version that its dependent pins and the platform that
 * its name tells; no machine of another platform than the entry's ever fetches it.
 * `--check` only compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Entry {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const SYSTEMS = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'win32',
  'sunos',
  'aix',
  'wasi',
  'wasm32',
];
const CPUS = [
  'arm64',
  'arm',
  'ia32',
  'x64',
  'riscv64',
  'ppc64',
  's390x',
  'loong64',
  'mips64el',
  'wasm32',
];

/** Entries to add to `packages` (the lock's map), by their path in it. */
export function missingEntries(packages: Record<string, Entry>): Record<string, Entry> {
  const missing: Record<string, Entry> = {};
  for (const entry of Object.values(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      if (path in packages || !/^\d/.test(version)) continue;
      missing[path] = { version, optional: true, ...platformOf(name) };
    }
  }
  return missing;
}

/** `@biomejs/cli-linux-x64-musl` runs on linux, x64, musl; ABI suffixes such as `gnueabihf` are libc. */
function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.find((system) => words.includes(system)) ?? 'none';
  const cpu =
    CPUS.find((c) => words.includes(c)) ?? (words.includes('riscv64gc') ? 'riscv64' : 'none');
  const musl = words.some((word) => word.startsWith('musl'));
  return { os: [os], cpu: [cpu], ...(musl && { libc: ['musl'] }) };
}

if (import.meta.main) {
  const path = join(import.meta.dirname, '../../package-lock.json');
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const missing = missingEntries(lock.packages);
  const count = Object.keys(missing).length;
  if (count > 0 && process.argv.includes('--check')) {
    console.error(`package-lock.json lacks ${count} platform packages: run make npm-lock`);
    process.exitCode = 1;
  } else if (count > 0) {
    const [root, ...rest] = Object.entries({ ...lock.packages, ...missing });
    const sorted = rest.toSorted(([a], [b]) => a.localeCompare(b, 'en'));
    lock.packages = Object.fromEntries(root === undefined ? sorted : [root, ...sorted]);
    writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
    console.log(`package-lock.json: entered ${count} platform packages`);
  }
}
