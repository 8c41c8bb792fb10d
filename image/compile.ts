/** Compiles what the image runs of C, stage0 and dhcpcd's hook, in the build root, against musl: static and small. */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
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
  const specs = `/usr/lib/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-musl/musl-gcc.specs`;
  for (const name of ['stage0', 'dhcp-event']) {
    cpSync(join(paths.source, 'stage0', `${name}.c`), join(work, `${name}.c`));
    const flags = ['-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-specs', specs];
    buildRoot.run(['gcc', `/work/${name}.c`, ...flags, '-o', `/work/${name}`], work);
  }
  return { stage0: join(work, 'stage0'), dhcpEvent: join(work, 'dhcp-event') };
}
