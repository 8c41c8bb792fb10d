/**
 * Upstream's recorded documents for tests: from the Go module cache where that has them. Tests skip
 * with a reason else; what must always run is committed beside this file.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSIONS: Readonly<Record<string, string>> = { 'k8s.io/kubernetes': 'v1.36.3' };

/** The folder of an upstream module, or undefined when this machine has none. */
export function upstreamModule(name: string): string | undefined {
  const cache =
    process.env['GOMODCACHE'] ?? join(process.env['GOPATH'] ?? join(homedir(), 'go'), 'pkg/mod');
  const folder = join(cache, `${name}@${VERSIONS[name] ?? 'v0.36.3'}`);
  return existsSync(folder) ? folder : undefined;
}

export const NO_UPSTREAM = 'k8s.io modules are not in the Go module cache of this machine';

/** A recorded document or ours, comparable: upstream's lack enumerations and what texts say of them. */
export function withoutEnums(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEnums);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, v]) => !(key === 'enum' && Array.isArray(v)))
      .map(([key, v]) =>
        key === 'description' && typeof v === 'string'
          ? [key, v.split('\n\nPossible enum values')[0]]
          : [key, withoutEnums(v)],
      ),
  );
}
