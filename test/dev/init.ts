/**
 * Process 1 of a development node, second half: starts control and agent as the supervisor would,
 * starts them again when they die, reaps orphans (conmon's and runc's children come to process 1), and
 * on SIGTERM stops them in order. Its end ends every process of the node.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdirSync, openSync } from 'node:fs';
import process from 'node:process';
import { peekExited, reap } from '#base/linux/syscall.ts';
import { FdLog } from '#base/log.ts';

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;
/** A unit that ran this long starts again without back-off. */
const HEALTHY_MS = 10_000;
const STOP_TIMEOUT_MS = 8_000;

interface UnitSpec {
  readonly name: string;
  readonly uid: number;
  /** Directories made for it, owned by its uid. */
  readonly dirs: readonly string[];
}

const UNITS: readonly UnitSpec[] = [
  { name: 'control', uid: 902, dirs: ['/var/lib/bareboat/control', '/var/cache/bareboat/control'] },
  {
    name: 'agent',
    uid: 0,
    dirs: ['/var/lib/bareboat/agent', '/run/bareboat/agent', '/var/cache/bareboat/agent'],
  },
];

const log = new FdLog({ area: 'dev-init' });

class Unit {
  readonly #spec: UnitSpec;
  #child: ChildProcess | undefined;
  #failures = 0;
  #stopping = false;
  #onExit: () => void = () => {};

  constructor(spec: UnitSpec) {
    this.#spec = spec;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const { name, uid, dirs } = this.#spec;
    for (const dir of dirs) {
      mkdirSync(dir, { recursive: true });
      chownSync(dir, uid, uid);
    }
    const logFd = openSync(`/var/log/bareboat/${name}.log`, 'a');
    const startedAt = performance.now();
    const child = spawn(
      '/usr/bin/node',
      [
        '--no-warnings',
        '--max-semi-space-size=4',
        `/usr/lib/bareboat/${name}.js`,
        `/run/bareboat/config/${name}.json`,
      ],
      {
        uid,
        gid: uid,
        cwd: '/',
        stdio: ['ignore', logFd, logFd],
        env: { PATH: '/usr/bin:/usr/sbin', NODE_COMPILE_CACHE: `/var/cache/bareboat/${name}` },
      },
    );
    this.#child = child;
    log.info('unit started', { unit: name, pid: child.pid });
    child.once('exit', (code, signal) => {
      this.#child = undefined;
      log.info('unit exited', { unit: name, code, signal });
      if (this.#stopping) {
        this.#onExit();
        return;
      }
      this.#failures = performance.now() - startedAt > HEALTHY_MS ? 0 : this.#failures + 1;
      const waitMs = Math.min(
        BACKOFF_MS_MIN * 2 ** Math.max(0, this.#failures - 1),
        BACKOFF_MS_MAX,
      );
      setTimeout(() => this.start(), waitMs);
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === undefined) return;
    await new Promise<void>((resolve) => {
      this.#onExit = resolve;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS).unref();
    });
  }
}

for (const dir of ['/var/log/bareboat', '/var/log/pods', '/var/lib/bareboat', '/run/bareboat']) {
  mkdirSync(dir, { recursive: true });
}
chownSync('/run/bareboat', 0, 0);
mkdirSync('/run/bareboat/control', { recursive: true });
chownSync('/run/bareboat/control', 902, 902);
const units = UNITS.map((spec) => new Unit(spec));
for (const unit of units) unit.start();

/** Children that libuv knows are left to it; a zombie of its own at the head hides later ones. */
function sweep(): void {
  const own = new Set(units.map((unit) => unit.pid));
  for (let exited = peekExited(); exited !== undefined; exited = peekExited()) {
    if (own.has(exited.pid)) break;
    reap(exited.pid);
  }
}
process.on('SIGCHLD', () => setImmediate(sweep));
setInterval(sweep, 1000);

async function shutDown(): Promise<void> {
  log.info('stopping');
  for (const unit of units.toReversed()) await unit.stop();
  process.exit(0);
}
let stopping: Promise<void> | undefined;
process.on('SIGTERM', () => {
  stopping ??= shutDown();
});
