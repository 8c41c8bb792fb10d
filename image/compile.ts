/** Compiles what the image runs of C in the build root, stage0 and dhcpcd's hook, and strips Node. */
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildRoot } from './build-root.ts';
import type { ImagePaths } from './paths.ts';

export interface Compiled {
  readonly stage0: string;
  readonly dhcpEvent: string;
}

/** Compiles image/stage0 into out/compiled. Throws with the compiler's messages. */
export function compilePrograms(buildRoot: BuildRoot, paths: ImagePaths): Compiled {
  const work = join(paths.out, 'compiled');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  for (const name of ['stage0', 'dhcp-event']) {
    cpSync(join(paths.source, 'stage0', `${name}.c`), join(work, `${name}.c`));
    const flags = ['-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror'];
    buildRoot.run(['gcc', ...flags, '-o', `/work/${name}`, `/work/${name}.c`], work);
  }
  return { stage0: join(work, 'stage0'), dhcpEvent: join(work, 'dhcp-event') };
}

/** The node executable without symbols (strip saves a fifth of it), made once per version. */
export function strippedNode(buildRoot: BuildRoot, paths: ImagePaths, nodeHome: string): string {
  const work = join(paths.out, `node-${process.version}`);
  const stripped = join(work, 'node');
  if (existsSync(stripped)) return stripped;
  mkdirSync(work, { recursive: true });
  cpSync(join(nodeHome, 'bin/node'), join(work, 'node.full'));
  buildRoot.run(['strip', '--strip-unneeded', '-o', '/work/node.new', '/work/node.full'], work);
  cpSync(join(work, 'node.new'), stripped);
  rmSync(join(work, 'node.full'));
  rmSync(join(work, 'node.new'));
  return stripped;
}
