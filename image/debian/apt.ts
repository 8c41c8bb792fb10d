/**
 * A private apt: its own sources, lists and empty package database in a directory, so that packages
 * of the image's release are resolved and fetched on any Debian or Ubuntu host without touching it.
 * apt checks the archive's signatures with the keys in image/keys.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { must } from '#base/assert.ts';
import { findMirrors, formatSources } from './sources.ts';

/** A package of exactly one content. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** Of the .deb file, hexadecimal. */
  readonly sha256: string;
}

export class PackageGone extends Error {
  override readonly name = 'PackageGone';
}

export class PrivateApt {
  readonly #dir: string;
  readonly #config: string;

  /**
   * `dir` is made, and kept between runs. `architecture` is Debian's name, `amd64`. `sources` (deb822)
   * stand for those of `release` on the host's mirror.
   */
  constructor(options: {
    dir: string;
    release: string;
    architecture: string;
    keysDir: string;
    sources?: string;
  }) {
    const { dir, release, architecture, keysDir } = options;
    this.#dir = dir;
    this.#config = join(dir, 'apt.conf');
    for (const sub of ['etc', 'state/lists/partial', 'cache/archives/partial', 'download']) {
      mkdirSync(join(dir, sub), { recursive: true });
    }
    const keyrings = readdirSync(keysDir)
      .toSorted()
      .map((file) => join(keysDir, file));
    writeFileSync(join(dir, 'state/status'), '');
    const sources =
      options.sources ?? formatSources(findMirrors(release, keyrings), release, keyrings);
    writeFileSync(join(dir, 'etc/archive.sources'), sources);
    writeFileSync(
      this.#config,
      [
        `Dir "${dir}";`,
        `Dir::Etc "${dir}/etc";`,
        `Dir::Etc::SourceParts "${dir}/etc";`,
        `Dir::Etc::SourceList "/dev/null";`,
        `Dir::State "${dir}/state";`,
        `Dir::State::status "${dir}/state/status";`,
        `Dir::Cache "${dir}/cache";`,
        `APT::Architecture "${architecture}";`,
        `APT::Architectures { "${architecture}"; };`,
        'APT::Sandbox::User "root";',
        'APT::Install-Recommends "false";',
        'Acquire::Languages "none";',
        'Acquire::Retries "3";',
        '',
      ].join('\n'),
    );
  }

  /** Fetches the package lists. Throws when the network or a signature fails. */
  update(): void {
    this.#run('apt-get', ['-q', '--error-on=any', 'update']);
  }

  /** `names` and all that they depend on, in name order. */
  resolve(names: readonly string[]): LockedPackage[] {
    const plan = this.#run('apt-get', ['-q', '-s', 'install', ...names]);
    const chosen = [...plan.matchAll(/^Inst (\S+) \((\S+) /gm)].map(
      (found) => `${found[1]}=${found[2]}`,
    );
    return this.#describe(chosen);
  }

  /** The newest versions of exactly `names`, without what they depend on; of those that exist. */
  newest(names: readonly string[]): LockedPackage[] {
    return names.flatMap((name) => {
      const known = this.#run('apt-cache', ['pkgnames', name]).split('\n').includes(name);
      return known ? this.#describe([name]) : [];
    });
  }

  /**
   * Puts the .deb file into `cacheDir`, named by its hash, unless it is there.
   * Throws PackageGone when the mirror has no such version any more.
   */
  fetch(locked: LockedPackage, cacheDir: string): string {
    const target = join(cacheDir, `${locked.sha256}.deb`);
    if (existsSync(target) && hashFile(target) === locked.sha256) return target;
    mkdirSync(cacheDir, { recursive: true });
    const download = join(this.#dir, 'download', locked.name);
    rmSync(download, { recursive: true, force: true });
    mkdirSync(download, { recursive: true });
    try {
      this.#run('apt-get', ['-q', 'download', `${locked.name}=${locked.version}`], download);
    } catch (error) {
      throw new PackageGone(`${locked.name} ${locked.version} is not on the mirror`, {
        cause: error,
      });
    }
    const file = join(download, must(readdirSync(download)[0], `apt downloaded no ${locked.name}`));
    const sha256 = hashFile(file);
    if (sha256 !== locked.sha256) {
      throw new Error(
        `${locked.name} ${locked.version}: SHA-256 is ${sha256}, locked is ${locked.sha256}`,
      );
    }
    renameOrCopy(file, target);
    return target;
  }

  #describe(packages: readonly string[]): LockedPackage[] {
    if (packages.length === 0) return [];
    const text = this.#run('apt-cache', ['show', '--no-all-versions', ...packages]);
    const found = text.split('\n\n').flatMap((stanza) => {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1];
      const name = field('Package');
      if (name === undefined) return [];
      const version = must(field('Version'), `${name} has no version`);
      return [{ name, version, sha256: must(field('SHA256'), `${name} has no SHA256`) }];
    });
    return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  #run(command: string, args: readonly string[], cwd = this.#dir): string {
    return execFileSync(command, args, {
      cwd,
      encoding: 'utf8',
      env: { ...process.env, APT_CONFIG: this.#config, LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 << 20,
    });
  }
}

function hashFile(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** The download directory and the cache may lie on different filesystems. */
function renameOrCopy(from: string, to: string): void {
  const staged = `${to}.${process.pid}`;
  writeFileSync(staged, readFileSync(from));
  renameSync(staged, to);
  rmSync(from);
}
