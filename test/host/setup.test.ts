/**
 * Setting up on a fresh machine: a minimal Debian with Debian's nodejs and npm, an empty HOME, no compiler,
 * and what git would clone. `./setup dev` must leave a checkout that can be checked and tested.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { archiveWorkTree } from '../work-tree.ts';
import { addSurroundings, Chroot, ensureChroot, registryProblem } from './setup-chroot.ts';

/** Fetches some 400 npm packages: a minute and a half here. */
const SETUP_MS = 360_000;

function skipReason(): string | undefined {
  if (process.getuid?.() !== 0) return 'a chroot needs root';
  if (!existsSync('/usr/bin/mmdebstrap')) return 'needs mmdebstrap: ./setup test installs it';
  return registryProblem();
}

const reason = skipReason();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(880_000); // What the parts may take, and less than what the rung gives a file.

const dir = mkdtempSync(join(tmpdir(), 'bareboat-setup-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
const chroot = new Chroot(ensureChroot(), dir);
addSurroundings(chroot.upper);
mkdirSync(join(chroot.upper, 'home/fresh'), { recursive: true });
mkdirSync(join(chroot.upper, 'checkout'));
const archive = join(dir, 'checkout.tar');
archiveWorkTree(archive);
execFileSync('tar', [
  '--extract',
  '--file',
  archive,
  '--directory',
  join(chroot.upper, 'checkout'),
]);

const run = (command: string, timeoutMs: number) =>
  chroot.run(`cd /checkout && ${command}`, { home: '/home/fresh', timeoutMs });

t.test('the machine has what a user is told to have, and no compiler', async (t) => {
  t.match(run('node --version', 20_000).text, /^v(2\d|[3-9]\d)\./);
  for (const program of ['gcc', 'g++', 'cc', 'make', 'git']) {
    t.not(run(`command -v ${program}`, 20_000).code, 0, program);
  }
  t.same(readdirSync(join(chroot.upper, 'home/fresh')), [], 'HOME is empty');
});

t.test('./setup dev installs what is missing', async (t) => {
  const { code, text } = run('./setup dev', SETUP_MS);
  t.equal(code, 0, code === 0 ? 'succeeds' : text);
  t.match(text, /setup: installing Debian packages:.* make/);
  t.match(text, /setup: installing npm packages/);
  t.not(run('command -v gcc', 20_000).code, 0, 'still no compiler');
});

t.test('./setup dev does nothing the second time', async (t) => {
  t.same(run('./setup dev', 20_000), { code: 0, text: '' });
});

t.test('the checkout can be checked and tested', async (t) => {
  t.match(run('make help', 20_000).text, /^run /m);
  const path =
    'PATH=$PWD/node_modules/node-linux-$(node -p process.arch)/bin:$PWD/node_modules/.bin:$PATH';
  t.match(run(`${path} tsc --version`, 60_000), { code: 0, text: /^Version 7\./ });
  const tested = run(`${path} tap --reporter=tap base/kube/quantity.test.ts`, 60_000);
  t.match(tested, { code: 0, text: /# \{ total: [1-9]\d*, pass: [1-9]\d* \}/ });
});
