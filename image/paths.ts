/** Where the image's sources, its products and the caches shared between checkouts lie. */
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { assert } from '#base/assert.ts';

export interface ImagePaths {
  /** The checkout. */
  readonly repository: string;
  /** The folder image/ of the checkout. */
  readonly source: string;
  readonly lock: string;
  /** Products; not in git. */
  readonly out: string;
  /** Private apt: lists and configuration. */
  readonly apt: string;
  /** Verified .deb files, outside the tree so that a clean clone finds them. */
  readonly debCache: string;
}

export function imagePaths(): ImagePaths {
  const source = import.meta.dirname;
  const repository = dirname(source);
  const out = join(repository, 'out');
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return {
    repository,
    source,
    lock: join(source, 'packages.lock.json'),
    out,
    apt: join(out, 'apt'),
    debCache: join(cache, 'bareboat/deb'),
  };
}

/** Debian's name of this machine's architecture. */
export function debianArchitecture(): string {
  const names: Partial<Record<NodeJS.Architecture, string>> = { x64: 'amd64', arm64: 'arm64' };
  const name = names[process.arch];
  assert(name !== undefined, `no Debian packages are locked for ${process.arch}`);
  return name;
}
