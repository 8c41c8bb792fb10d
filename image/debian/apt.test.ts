/** PrivateApt and the lock against a mirror of this test's own, in a folder. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { imagePaths } from '../paths.ts';
import { type LockedPackage, PackageGone, PrivateApt } from './apt.ts';
import { fetchLock } from './lock.ts';

const skip = existsSync('/usr/bin/dpkg-deb') && existsSync('/usr/bin/apt-get') ? false : 'no apt';
const dir = mkdtempSync(join(tmpdir(), 'bareboat-mirror-'));
const mirror = join(dir, 'mirror');
const cacheDir = join(dir, 'cache');
t.teardown(() => rmSync(dir, { recursive: true }));

/** Puts an empty package on the mirror; returns what a lock says of it. */
function publish(name: string, version: string, depends?: string): LockedPackage {
  const tree = join(dir, 'tree');
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  mkdirSync(mirror, { recursive: true });
  const control = [
    `Package: ${name}`,
    `Version: ${version}`,
    'Architecture: all',
    'Maintainer: nobody <nobody@example.org>',
    'Description: nothing',
    ...(depends === undefined ? [] : [`Depends: ${depends}`]),
    '',
  ].join('\n');
  writeFileSync(join(tree, 'DEBIAN/control'), control);
  const file = `${name}.deb`;
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', tree, join(mirror, file)], {
    stdio: 'ignore',
  });
  const bytes = readFileSync(join(mirror, file));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const stanza = `${control}Filename: ./${file}\nSize: ${bytes.length}\nSHA256: ${sha256}\n\n`;
  const index = join(mirror, 'Packages');
  writeFileSync(index, `${existsSync(index) ? readFileSync(index, 'utf8') : ''}${stanza}`);
  return { name, version, sha256 };
}

const gone = (name: string): LockedPackage => ({ name, version: '0.1', sha256: '0'.repeat(64) });

t.test('packages of a mirror that has moved on', { skip }, async (t) => {
  const kept = publish('kept', '1.0');
  const moved = publish('moved', '2.0-1');
  const kernel = publish('linux-image-6.12.9+deb13-cloud-amd64', '6.12.9-1');
  const meta = publish('linux-image-cloud-amd64', '6.12.9-1', kernel.name);
  const apt = new PrivateApt({
    dir: join(dir, 'apt'),
    release: 'trixie',
    architecture: 'amd64',
    keysDir: join(imagePaths().source, 'keys'),
    sources: `Types: deb\nURIs: file:${mirror}\nSuites: ./\nTrusted: yes\n`,
  });
  apt.update();

  t.same(apt.resolve([meta.name]), [kernel, meta], 'resolve() names dependencies as well');
  t.same(apt.newest(['moved', 'mov', 'unheard-of']), [moved], 'newest() names those that exist');
  t.throws(() => apt.fetch(gone('moved'), cacheDir), PackageGone);
  t.throws(() => apt.fetch({ ...kept, sha256: '0'.repeat(64) }, cacheDir), /locked is 000/);

  const lines: string[] = [];
  const old = gone('linux-image-6.12.8+deb13-cloud-amd64');
  const fetched = fetchLock(
    apt,
    {
      release: 'trixie',
      architecture: 'amd64',
      root: [kept, gone('moved'), old],
      build: [gone('moved')],
    },
    { cacheDir, say: (line) => lines.push(line) },
  );
  const withFile = (p: LockedPackage) => ({ ...p, file: join(cacheDir, `${p.sha256}.deb`) });
  t.same(fetched.root, [kept, moved, kernel].map(withFile), 'the build goes on with successors');
  t.same(fetched.build, [withFile(moved)]);
  for (const { file } of fetched.root) t.ok(existsSync(file));
  t.same(fetched.drift, [
    { name: 'moved', locked: '0.1', used: '2.0-1' },
    { name: old.name, locked: '0.1', used: '6.12.9-1' },
  ]);
  t.same(lines, [
    'lock: drifted: moved 0.1 -> 2.0-1',
    `lock: drifted: ${old.name} 0.1 -> 6.12.9-1`,
  ]);

  const lock = { release: 'trixie', architecture: 'amd64', root: [gone('unheard-of')], build: [] };
  t.throws(
    () => fetchLock(apt, lock, { cacheDir, say: () => {} }),
    /no version of unheard-of is on the mirror/,
  );
});
