/**
 * The build root: the compiler and the image tools of the locked `build` packages, unpacked into a
 * directory and run there by chroot in a mount namespace of their own, so that the host's compiler and
 * libraries never show in the image. Needs root (or sudo).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { unpackPackages } from './debian/unpack.ts';

export class BuildRoot {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Unpacks the packages, unless they are there. */
  prepare(debFiles: readonly string[]): void {
    unpackPackages(debFiles, this.#dir);
    mkdirSync(join(this.#dir, 'work'), { recursive: true });
    mkdirSync(join(this.#dir, 'proc'), { recursive: true });
    mkdirSync(join(this.#dir, 'dev'), { recursive: true });
  }

  /** A file of the build root, as the host sees it. */
  path(inside: string): string {
    return join(this.#dir, inside);
  }

  /**
   * Runs a tool with `workDir` of the host as /work; paths in `argv` are absolute. Returns its output.
   * Throws with the tool's messages when it fails.
   */
  run(argv: readonly string[], workDir: string): string {
    const script = [
      'umask 022', // mkfs.erofs, for one, writes it into the image.
      'mount --bind "$1" "$2/work"',
      'mount --bind /dev "$2/dev"',
      'mount -t proc proc "$2/proc"',
      'root=$2; shift 2',
      'exec chroot "$root" "$@"',
    ].join(' && ');
    const command = ['unshare', '--mount', 'sh', '-c', script, 'sh', workDir, this.#dir, ...argv];
    const [program = '', ...args] = process.getuid?.() === 0 ? command : ['sudo', '-E', ...command];
    const env = {
      PATH: '/usr/bin:/usr/sbin:/bin:/sbin',
      LC_ALL: 'C',
      TZ: 'UTC',
      SOURCE_DATE_EPOCH: '315532800', // 1980, the oldest that FAT can say: mtools makes 1970 2098.
    };
    const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 << 20, env });
    if (result.error !== undefined) throw result.error;
    if (result.status !== 0) {
      throw new Error(
        `${argv.join(' ')} failed (${result.status}): ${result.stderr}${result.stdout}`,
      );
    }
    return result.stdout;
  }
}
