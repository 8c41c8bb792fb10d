/** Walks a tree without following symbolic links: of a root tree these may lead anywhere. */
import { type Dirent, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Everything below `dir`, in name order, with its path from `dir`; a folder comes before what it holds. */
export function* walk(dir: string, below = ''): Generator<{ path: string; entry: Dirent }> {
  const entries = readdirSync(join(dir, below), { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(below, entry.name);
    yield { path, entry };
    if (entry.isDirectory()) yield* walk(dir, path);
  }
}
