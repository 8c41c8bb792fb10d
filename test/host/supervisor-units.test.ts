/** UnitRunner with real processes: restart, adoption, order of stopping. Needs no privileges. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { must } from '#base/assert.ts';
import { RealClock } from '#base/clock.ts';
import { FdLog } from '#base/log.ts';
import { UnitRunner, type UnitSpec } from '#daemon/supervisor/unit-runner.ts';

const DEADLINE_MS = 10_000;
const uid = process.getuid?.() ?? 0;

function makeRunner(dir: string, reports: string[] = []): UnitRunner {
  return new UnitRunner({
    clock: new RealClock(),
    log: new FdLog({ fd: 2, area: 'test', level: 'error' }),
    runDir: join(dir, 'run'),
    logDir: join(dir, 'log'),
    onReport: (unit, { message }) => reports.push(`${unit}: ${message}`),
  });
}

function unit(name: string, script: string, more: Partial<UnitSpec> = {}): UnitSpec {
  return {
    name,
    argv: ['/bin/sh', '-c', script],
    env: { PATH: '/usr/bin:/bin' },
    uid,
    after: [],
    dirs: [],
    stopTimeoutMs: 2000,
    cgroupFiles: [],
    ...more,
  };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await sleep(10);
  }
}

function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-units-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false; // It was reaped.
  }
}

t.test('a unit that was killed runs again within a second', async (t) => {
  using runner = makeRunner(scratch(t));
  runner.add(unit('a', 'exec sleep 60'));
  runner.want('a');
  const first = must(runner.state('a').pid, 'pid');
  const atMs = Date.now();
  process.kill(first, 'SIGKILL');
  await until('a new process', () => ![undefined, first].includes(runner.state('a').pid));
  t.ok(Date.now() - atMs < 1000);
  t.match(runner.state('a'), { restartCount: 1, lastExit: { signal: 9 } });
  await runner.stopAll();
  t.equal(runner.state('a').phase, 'stopped');
});

t.test('a second runner adopts what runs and starts nothing twice', async (t) => {
  const dir = scratch(t);
  const spec = unit('a', 'echo started; exec sleep 60');
  const first = makeRunner(dir);
  first.add(spec);
  first.want('a');
  const pid = must(first.state('a').pid, 'pid');
  const log = () => readFileSync(join(dir, 'log/a.log'), 'utf8');
  await until('its first line', () => log() !== '');
  first[Symbol.dispose]();
  using second = makeRunner(dir);
  second.add(spec);
  second.want('a');
  t.match(second.state('a'), { phase: 'running', pid });
  t.equal(log(), 'started\n');
  await second.stopAll();
  t.notOk(isAlive(pid));
});

t.test('stopAll ends dependents first, and what ignores SIGTERM', async (t) => {
  const dir = scratch(t);
  using runner = makeRunner(dir);
  const mark = (name: string) =>
    `trap 'echo ${name} >>${dir}/order; exit 0' TERM; echo up; while :; do sleep 0.05; done`;
  runner.add(unit('base', mark('base')));
  runner.add(unit('top', mark('top'), { after: ['base'] }));
  runner.add(unit('deaf', `trap '' TERM; echo up; exec sleep 60`, { stopTimeoutMs: 200 }));
  runner.want('top');
  t.same(runner.waitingFor('top'), ['base']);
  runner.want('base');
  runner.want('deaf');
  const isUp = (name: string) => readFileSync(join(dir, `log/${name}.log`), 'utf8') !== '';
  await until('all are up', () => runner.names().every(isUp));
  await runner.stopAll();
  t.equal(readFileSync(join(dir, 'order'), 'utf8'), 'top\nbase\n');
  t.match(runner.state('deaf').lastExit, { signal: 9 });
});

t.test('stopAll overtakes a restart under way', async (t) => {
  using runner = makeRunner(scratch(t));
  runner.add(unit('a', 'exec sleep 60'));
  runner.add(unit('b', 'exec sleep 60'));
  runner.want('a');
  runner.want('b');
  runner.unwant('b');
  let wanted = false;
  runner.onStopped('b', () => {
    runner.want('b');
    wanted = true;
  });
  await runner.stopAll();
  await until('the restart was asked for', () => wanted);
  t.equal(runner.state('b').phase, 'stopped');
});

t.test('a process that cannot join its cgroup does not run on', async (t) => {
  const dir = scratch(t);
  using runner = makeRunner(dir);
  const files = [join(dir, 'missing/cgroup.procs')];
  runner.add(unit('a', `echo $$ >>${dir}/pids; exec sleep 60`, { cgroupFiles: files }));
  runner.want('a');
  t.equal(runner.state('a').phase, 'backoff');
  await until('two more attempts', () => runner.state('a').restartCount > 2);
  await runner.stopAll();
  const children = () =>
    readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').map(Number);
  await until('no process is left', () => children().every((pid) => pid === 0 || !isAlive(pid)));
});
