/**
 * stage0 as init of a pid namespace, keeping a supervisor-like shell script: started again when killed,
 * orphans reaped and told on fd 3, exit codes end the namespace. It is the image's own, compiled by the
 * locked compiler. Needs root.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { compilePrograms } from '#image/compile.ts';
import { imagePaths } from '#image/paths.ts';
import { preparePackages } from '#image/steps.ts';

const DEADLINE_MS = 10_000;

const skip = process.getuid?.() === 0 ? false : 'needs root';
const dir = mkdtempSync(join(tmpdir(), 'bareboat-stage0-'));
t.teardown(() => rmSync(dir, { recursive: true }));

let stage0Path = '';
t.before(() => {
  if (skip !== false) return;
  const paths = imagePaths();
  stage0Path = compilePrograms(preparePackages(paths).buildRoot, paths).stage0;
});

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await sleep(10);
  }
}

/** `script` is what stage0 keeps running, as process number 2 and up of a namespace of its own. */
function startStage0(script: string): ChildProcess {
  const path = join(dir, 'supervisor.sh');
  writeFileSync(path, script);
  const namespace = ['--pid', '--fork', '--kill-child', '--mount-proc'];
  const args = [...namespace, stage0Path, '/bin/sh', path];
  return spawn('/usr/bin/unshare', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const lines = (name: string) =>
  existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8').trim().split('\n') : [];

t.test('a supervisor that was killed runs again within a second', { skip }, async (t) => {
  // The first leaves an orphan that ends with 7 after it, and kills itself; the second reads fd 3.
  const stage0 = startStage0(`
cut -d' ' -f1 /proc/uptime >>${dir}/starts
if [ ! -e ${dir}/first ]; then
  : >${dir}/first
  sh -c 'while [ ! -e ${dir}/second ]; do sleep 0.05; done; exit 7' 3<&- &
  echo $! >${dir}/orphan
  kill -KILL $$
fi
: >${dir}/second
while read -r line <&3; do echo "$line" >>${dir}/told; done
`);
  const orphan = () => lines('orphan')[0] ?? '';
  const expected = () => `${orphan()} ${7 << 8}`;
  await until('the orphan is told', () => lines('told').includes(expected()));
  const [first = 0, second = Number.POSITIVE_INFINITY] = lines('starts').map(Number);
  t.ok(second - first < 1, `again after ${second - first} s`);
  const exited = once(stage0, 'exit');
  stage0.kill('SIGKILL');
  await exited;
});

for (const code of [64, 65, 66]) {
  t.test(`exit code ${code} ends the namespace`, { skip }, async (t) => {
    const stage0 = startStage0(`sleep 600 & echo x >>${dir}/runs-${code}; exit ${code}`);
    const deadline = setTimeout(() => stage0.kill('SIGKILL'), DEADLINE_MS);
    const [exitCode, signal] = await once(stage0, 'exit');
    clearTimeout(deadline);
    t.equal(lines(`runs-${code}`).length, 1, 'not started again');
    t.not(signal, 'SIGKILL', `ended by itself: ${String(exitCode)} ${String(signal)}`);
  });
}
