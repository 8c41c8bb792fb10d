/** Compiles what the image runs of C and C++ in the build root: stage0 and node-pty's addon. */
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildRoot } from './build-root.ts';
import type { ImagePaths } from './paths.ts';

export interface Compiled {
  readonly stage0: string;
  readonly dhcpEvent: string;
  /** Folder like node_modules/node-pty, with the addon built for the pinned Node. */
  readonly nodePty: string;
}

/** Compiles into out/compiled. `nodeHome` is the pinned Node's package: bin/ and include/. */
export function compileAddons(buildRoot: BuildRoot, paths: ImagePaths, nodeHome: string): Compiled {
  const work = join(paths.out, 'compiled');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  for (const name of ['stage0', 'dhcp-event']) {
    cpSync(join(paths.source, 'stage0', `${name}.c`), join(work, `${name}.c`));
    const flags = ['-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror'];
    buildRoot.run(['gcc', ...flags, '-o', `/work/${name}`, `/work/${name}.c`], work);
  }

  const modules = join(paths.repository, 'node_modules');
  const nodePty = join(work, 'node-pty');
  cpSync(join(modules, 'node-pty'), nodePty, {
    recursive: true,
    filter: (path) =>
      !/\/(build|deps|prebuilds|third_party)(\/|$)/.test(path.slice(modules.length)),
  });
  cpSync(join(modules, 'node-addon-api'), join(work, 'node-addon-api'), { recursive: true });
  cpSync(join(nodeHome, 'include'), join(work, 'include'), { recursive: true });
  mkdirSync(join(nodePty, 'build/Release'), { recursive: true });
  buildRoot.run(
    [
      'g++',
      '-shared',
      '-fPIC',
      '-O2',
      '-s',
      '-std=c++20',
      '-DNAPI_CPP_EXCEPTIONS',
      '-DBUILDING_NODE_EXTENSION',
      '-DNODE_GYP_MODULE_NAME=pty',
      '-I/work/include/node',
      '-I/work/node-addon-api',
      '-o',
      '/work/node-pty/build/Release/pty.node',
      '/work/node-pty/src/unix/pty.cc',
      '-lutil',
    ],
    work,
  );
  return { stage0: join(work, 'stage0'), dhcpEvent: join(work, 'dhcp-event'), nodePty };
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
