/**
 * Where Debian's packages come from: the mirror that the user's apt already uses, or, on a host that
 * is not Debian, the default of mmdebstrap. No host name is written down in this repository.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#base/assert.ts';

export interface Mirrors {
  /** URI of the main archive. */
  readonly main: string;
  readonly security: string;
}

/** The deb822 text for a private apt: `release`, its updates and security, from `mirrors`. */
export function formatSources(
  mirrors: Mirrors,
  release: string,
  keyrings: readonly string[],
): string {
  const stanza = (uri: string, suites: string) =>
    `Types: deb\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\nSigned-By: ${keyrings.join(' ')}\n`;
  return `${stanza(mirrors.main, `${release} ${release}-updates`)}\n${stanza(mirrors.security, `${release}-security`)}`;
}

/**
 * The mirrors among lines of `apt-get indextargets` (`REPO_URI RELEASE`): a `*-security` suite names
 * the security archive, another suite the main one.
 */
export function pickMirrors(lines: readonly string[]): Mirrors | undefined {
  const targets = lines.map((line) => line.split(' ')).filter((words) => words.length === 2);
  const uriOf = (security: boolean) =>
    targets.find(
      ([uri, suite]) => isDebian(uri) && (suite ?? '').endsWith('-security') === security,
    )?.[0];
  const main = uriOf(false);
  if (main === undefined) return undefined;
  return { main, security: uriOf(true) ?? `${main.replace(/\/debian\/?$/, '')}/debian-security/` };
}

/** Mirrors keep the archive's own folder names, `debian` and `debian-security`. */
function isDebian(uri: string | undefined): boolean {
  return /\/debian(-security)?\/?$/.test(uri ?? '');
}

/** Asks the host's apt, then mmdebstrap. `keyrings` are files with the archive's public keys. */
export function findMirrors(release: string, keyrings: readonly string[]): Mirrors {
  const lines = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI) $(RELEASE)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  ).split('\n');
  return pickMirrors(lines) ?? mmdebstrapMirrors(release, keyrings);
}

function mmdebstrapMirrors(release: string, keyrings: readonly string[]): Mirrors {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-mirrors-'));
  try {
    const options = keyrings.map((file) => `--keyring=${file}`);
    execFileSync('mmdebstrap', ['--variant=custom', '--mode=root', ...options, release, dir], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const text = readFileSync(join(dir, 'etc/apt/sources.list'), 'utf8');
    const lines = text
      .split('\n')
      .map((line) => /^deb (?:\[[^\]]*\] )?(\S+) (\S+) /.exec(line))
      .flatMap((found) => (found === null ? [] : [`${found[1]} ${found[2]}`]));
    return must(pickMirrors(lines), `mmdebstrap wrote no mirror for ${release}: ${text}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
