/**
 * A minimal Debian of the image's release with Debian's own nodejs and npm, as a user's fresh machine has
 * them, made by mmdebstrap from the host's mirror once and kept outside the tree. Each use sees it through
 * an overlay of its own. What a machine has from elsewhere comes from this host: mirror, name servers,
 * proxies, certificates, npm's registry.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { findMirrors, formatSources } from '#image/debian/sources.ts';
import { RELEASE } from '#image/packages.ts';
import { imagePaths } from '#image/paths.ts';

const PACKAGES = ['ca-certificates', 'nodejs', 'npm'];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** On a slow machine with a slow mirror. */
const MAKE_MS = 480_000;

/** Settings of npm that say where packages come from and how they are reached. */
const NPM_KEYS = ['registry', 'proxy', 'https-proxy', 'noproxy', 'cafile', 'strict-ssl'];

/** The folder of the minimal system, made at the first call. Throws with mmdebstrap's messages. */
export function ensureChroot(): string {
  const paths = imagePaths();
  const keysDir = join(paths.source, 'keys');
  const keyrings = readdirSync(keysDir)
    .toSorted()
    .map((name) => join(keysDir, name));
  const mirrors = findMirrors(RELEASE, keyrings);
  const key = createHash('sha256').update(JSON.stringify([RELEASE, PACKAGES, mirrors]));
  const target = join(dirname(paths.debCache), 'chroot', key.digest('hex').slice(0, 16));
  if (existsSync(target)) return target;
  const fresh = `${target}.${process.pid}`;
  const sources = `${fresh}.sources`;
  mkdirSync(dirname(target), { recursive: true });
  try {
    writeFileSync(sources, formatSources(mirrors, RELEASE, keyrings));
    // It is thrown away when it is not whole: dpkg need not wait for the disk.
    const fast = ['--dpkgopt=force-unsafe-io', '--dpkgopt=path-exclude=/usr/share/doc/*'];
    const options = ['--mode=root', '--variant=apt', `--include=${PACKAGES.join(',')}`, ...fast];
    execFileSync('mmdebstrap', [...options, RELEASE, fresh, sources], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: MAKE_MS,
    });
    // Its apt finds the archive's keys where its own package put them.
    rmSync(join(fresh, 'etc/apt/sources.list.d'), { recursive: true, force: true });
    rmSync(join(fresh, 'etc/apt/sources.list'), { force: true });
    mkdirSync(join(fresh, 'etc/apt/sources.list.d'));
    writeFileSync(
      join(fresh, 'etc/apt/sources.list.d/debian.sources'),
      formatSources(mirrors, RELEASE, [KEYRING]),
    );
    renameSync(fresh, target);
  } finally {
    rmSync(sources, { force: true });
    rmSync(fresh, { recursive: true, force: true });
  }
  return target;
}

/** Puts into `upper`, a layer over the system, what a machine here has from its surroundings. */
export function addSurroundings(upper: string): void {
  const put = (path: string, from = path) => {
    if (!existsSync(from)) return;
    mkdirSync(dirname(join(upper, path)), { recursive: true });
    copyFileSync(from, join(upper, path));
  };
  put('/etc/resolv.conf');
  put('/etc/hosts');
  put('/etc/ssl/certs/ca-certificates.crt');
  const acquire = execFileSync('apt-config', ['dump', 'Acquire'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /::(Proxy|CaInfo|Verify-Peer)\b/.test(line));
  mkdirSync(join(upper, 'etc/apt/apt.conf.d'), { recursive: true });
  writeFileSync(join(upper, 'etc/apt/apt.conf.d/90host'), `${acquire.join('\n')}\n`);
  const settings = npmSettings();
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(upper, 'etc/npmrc'), lines.join(''));
  if (settings['cafile'] !== undefined) put(settings['cafile']);
}

/** npm's settings of this host that are not its defaults, out of every file and the environment. */
function npmSettings(): Record<string, string> {
  const output = execFileSync('npm', ['config', 'ls', '--long', '--json'], {
    encoding: 'utf8',
    maxBuffer: 16 << 20,
  });
  const all: Record<string, unknown> = JSON.parse(output);
  return Object.fromEntries(
    NPM_KEYS.flatMap((name) => {
      const value = all[name];
      return typeof value === 'string' && value !== '' ? [[name, value] as const] : [];
    }),
  );
}

/** Why the registries cannot be reached, or undefined: asks each for one small thing. */
export function registryProblem(): string | undefined {
  const { dependencies } = JSON.parse(
    readFileSync(join(imagePaths().repository, 'package.json'), 'utf8'),
  );
  const asked = spawnSync('npm', ['view', `ws@${dependencies.ws}`, 'version'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (asked.status === 0) return undefined;
  return `npm's registry does not answer: ${asked.error?.message ?? asked.stderr.trim().split('\n')[0]}`;
}

export interface Outcome {
  readonly code: number | null;
  /** Output and messages, as they came. */
  readonly text: string;
}

/** One use of the system: `dir` holds its layer and its mounts. */
export class Chroot {
  readonly #lower: string;
  readonly #dir: string;

  constructor(lower: string, dir: string) {
    this.#lower = lower;
    this.#dir = dir;
    for (const name of ['upper', 'work', 'root']) mkdirSync(join(dir, name), { recursive: true });
  }

  /** The layer: what is written here is there in the system. */
  get upper(): string {
    return join(this.#dir, 'upper');
  }

  /**
   * Runs `script` by the system's shell, as root, in mount and process namespaces of its own, with nothing
   * in the environment but PATH and HOME. Its mounts and processes end with it.
   */
  run(script: string, options: { home: string; timeoutMs: number }): Outcome {
    const enter = [
      'set -e',
      'layers="lowerdir=$1,upperdir=$2/upper,workdir=$2/work"; root=$2/root; script=$3; home=$4',
      'mount -t overlay -o "$layers" overlay "$root"',
      'mount -t proc proc "$root/proc"',
      'mount --rbind /dev "$root/dev"',
      'mount -t tmpfs tmpfs "$root/tmp"',
      'exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" chroot "$root" /bin/sh -c "$script"',
    ].join('\n');
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
    const args = [...namespaces, 'sh', '-c', enter, 'sh', this.#lower, this.#dir, script];
    const result = spawnSync('unshare', [...args, options.home], {
      encoding: 'utf8',
      timeout: options.timeoutMs,
      maxBuffer: 64 << 20,
    });
    const error = result.error === undefined ? '' : `\n${result.error.message}`;
    return { code: result.status, text: `${result.stdout}${result.stderr}${error}` };
  }
}
