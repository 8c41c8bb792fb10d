/** unmountVolumes() on a real kernel, in mount namespaces of its own. Needs root. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

const at = mkdtempSync(join(tmpdir(), 'bareboat-unmount-'));
t.teardown(() => rmSync(at, { recursive: true }));

/** Runs a module's text in a mount namespace with tmpfs on `at` and in it; prints what it tells. */
function inNamespace(script: string): { told: string[]; left: string } {
  const module = new URL('../../daemon/disk/unmount.ts', import.meta.url).href;
  const program = `
import { readFileSync, openSync } from 'node:fs';
import { unmountVolumes } from '${module}';
${script}
const left = readFileSync('/proc/self/mounts', 'utf8').split('\\n').filter((l) => l.includes('${at}'));
console.log(JSON.stringify({ told, left: left.join() }));`;
  const mounts = `mount -t tmpfs v ${at} && mkdir ${at}/a && mount -t tmpfs w ${at}/a`;
  const node = [process.execPath, '--no-warnings', '--input-type=module', '--eval', program];
  const shell = ['/bin/sh', '-c', `${mounts} && exec "$@"`, 'sh', ...node];
  const text = execFileSync('unshare', ['--mount', ...shell], { encoding: 'utf8' });
  return JSON.parse(text.trim().split('\n').at(-1) ?? '');
}

const mayMount = spawnSync('unshare', ['--mount', 'true']).status === 0;
const skip = mayMount ? false : 'needs the right to mount';

t.test('unmountVolumes() leaves nothing mounted', { skip }, async (t) => {
  const { told, left } = inNamespace(`const told = await unmountVolumes(['${at}']);`);
  t.same(told, []);
  t.equal(left, '');
});

t.test('unmountVolumes() waits for what is busy, and names it', { skip }, async (t) => {
  const busy = inNamespace(
    `const fd = openSync('${at}/a', 'r'); const told = await unmountVolumes(['${at}']);`,
  );
  t.equal(busy.told.length, 2);
  t.equal(busy.told[0]?.startsWith(`${at}/a is now read-only: EBUSY`), true);
  t.equal(busy.told[1]?.startsWith(`${at} is now read-only: EBUSY`), true);
  t.equal(busy.left, '', 'it is let go all the same');
});

t.test(
  'unmountVolumes() frees a volume of the overlay that lies elsewhere',
  { skip },
  async (t) => {
    const made = `
import { mkdirSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
for (const name of ['l', 'u', 'w']) mkdirSync('${at}/' + name);
mkdirSync('/tmp/bareboat-elsewhere-' + process.pid);
const target = '/tmp/bareboat-elsewhere-' + process.pid;
const options = 'lowerdir=${at}/l,upperdir=${at}/u,workdir=${at}/w';
execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, target]);
const { unmountVolumes: unmount } = await import('${new URL('../../daemon/disk/unmount.ts', import.meta.url).href}');
const told = await unmount(['${at}'], [target]);
execFileSync('rmdir', [target]);`;
    const { told, left } = inNamespace(made);
    t.same(told, []);
    t.equal(left, '');
  },
);
