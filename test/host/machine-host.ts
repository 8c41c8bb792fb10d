/**
 * The machine without the machine: stage0 and the supervisor of the image in namespaces of this host, with
 * the image's root tree as root, a veth as its wire and a folder of the host as /var. It runs in memory (no
 * disk is its own), may not set the host's clock or load modules, and sees only the network's sysctls
 * writable. Everything else is what a machine does.
 *
 * The wire ends in the network namespace of the calling process, which must be one of its own.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, type ProcessId, processId } from '#base/linux/process.ts';
import {
  createCgroups,
  type Hierarchy,
  parseHierarchies,
  processesIn,
  removeCgroups,
} from '#test/dev/cgroups.ts';
import type { EnterConfig } from '#test/dev/enter.ts';

const CHECKOUT = dirname(dirname(import.meta.dirname));
export const OUTSIDE = '10.99.0.1';
export const INSIDE = '10.99.0.2';
const LINK = 'machine0';

export interface HostProcess {
  readonly pid: number;
  readonly command: string;
}

export class HostMachine {
  readonly dir: string;
  readonly #cgroup: string;
  readonly #hierarchies: readonly Hierarchy[];
  #init: ProcessId | undefined;

  /** Keeps its things in `dir`, /var among them: the next start of the machine finds it. */
  constructor(dir: string) {
    this.dir = dir;
    const id = createHash('sha256').update(dir).digest('hex').slice(0, 8);
    this.#cgroup = `bareboat-machine-${id}`;
    this.#hierarchies = parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'));
    mkdirSync(join(dir, 'var'), { recursive: true });
    execFileSync('cp', ['-al', join(CHECKOUT, 'out/root'), join(dir, 'root')]);
    const stage0 = join(CHECKOUT, 'out/compiled/stage0');
    copyFileSync(stage0, join(dir, 'root/usr/lib/bareboat/stage0'));
    writeFileSync(this.#log, '');
  }

  get #log(): string {
    return join(this.dir, 'console.log');
  }

  async start(commandLine = ''): Promise<void> {
    const file = join(this.dir, 'cmdline');
    writeFileSync(file, `bareboat.links=eth0 ${commandLine}\n`);
    const joinFiles = createCgroups(this.#hierarchies, this.#cgroup);
    const supervisor = '/usr/lib/bareboat/supervisor.js';
    const config: EnterConfig = {
      root: join(this.dir, 'root'),
      varDir: join(this.dir, 'var'),
      hostname: 'localhost',
      hierarchies: this.#hierarchies,
      commandLine: file,
      init: ['/usr/lib/bareboat/stage0', '/usr/bin/node', '--no-warnings', supervisor],
    };
    const joinAll = joinFiles.map((path) => `echo $$ > '${path}'`).join(' && ');
    const enter = join(CHECKOUT, 'test/dev/enter.ts');
    const namespaces = '--mount --net --pid --uts --ipc --cgroup --fork --kill-child=KILL';
    const without = '--bounding-set=-sys_time,-sys_module';
    const log = openSync(this.#log, 'a');
    const child = spawn(
      '/bin/sh',
      [
        '-c',
        `${joinAll} && exec setpriv ${without} unshare ${namespaces} "$@"`,
        'sh',
        process.execPath,
        '--no-warnings',
        enter,
        JSON.stringify(config),
      ],
      { detached: true, stdio: ['ignore', log, log] },
    );
    child.unref();
    this.#init = await childOf(child.pid ?? 0);
    this.#connect(this.#init.pid);
  }

  get isRunning(): boolean {
    return this.#init !== undefined && isRunning(this.#init);
  }

  /** All that the console has shown, since the first start. */
  console(): string {
    return readFileSync(this.#log, 'utf8');
  }

  /** Path of a file of the machine, as this host sees it. */
  path(path: string): string {
    return `/proc/${this.#init?.pid ?? 0}/root${path}`;
  }

  /** The machine's processes, as this host sees them. */
  processes(): HostProcess[] {
    return [...processesIn(this.#hierarchies, this.#cgroup)].flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return command === '' ? [] : [{ pid, command }];
      } catch {
        return []; // It has ended.
      }
    });
  }

  /** The machine's process that runs a bundle. */
  pidOf(bundle: string): number | undefined {
    // stage0 and unshare name the supervisor too, as an argument.
    return this.processes().find(
      ({ command }) =>
        command.startsWith('/usr/bin/node ') && command.includes(`/usr/lib/bareboat/${bundle}.js`),
    )?.pid;
  }

  /** What `ip` prints in the machine's network namespace. */
  ip(...args: string[]): string {
    const pid = this.#init?.pid ?? 0;
    return execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', ...args], {
      encoding: 'utf8',
    });
  }

  /** Resolves when the machine has ended by itself. */
  async ended(timeoutMs: number): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (this.isRunning) {
      if (Date.now() > end) throw new Error(`the machine did not end within ${timeoutMs} ms`);
      await sleep(20);
    }
  }

  /** Power cut. */
  async kill(): Promise<void> {
    if (this.#init !== undefined && isRunning(this.#init)) process.kill(this.#init.pid, 'SIGKILL');
    await this.ended(10_000);
  }

  /** Takes away what the host would keep of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    for (let attempt = 0; ; attempt++) {
      for (const pid of processesIn(this.#hierarchies, this.#cgroup)) process.kill(pid, 'SIGKILL');
      try {
        removeCgroups(this.#hierarchies, this.#cgroup);
        break;
      } catch (error) {
        if (attempt === 50) throw error;
        await sleep(100); // A group stays busy for a moment after its last process.
      }
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  #connect(init: number): void {
    ip('link', 'set', 'lo', 'up');
    // That of an earlier start goes with its namespace, a moment after its last process.
    spawnSync('ip', ['link', 'del', LINK], { stdio: 'ignore' });
    ip('link', 'add', LINK, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(init));
    ip('addr', 'add', `${OUTSIDE}/24`, 'dev', LINK);
    ip('link', 'set', LINK, 'up');
    ip('route', 'add', 'default', 'dev', LINK); // Broadcasts need a way.
  }
}

/** The process that `unshare --fork` forked: process 1 of the machine. */
async function childOf(parent: number): Promise<ProcessId> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    try {
      const comm = readFileSync(`/proc/${parent}/comm`, 'utf8').trim();
      const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
      const id =
        comm === 'unshare' && children !== ''
          ? processId(Number(children.split(' ')[0]))
          : undefined;
      if (id !== undefined) return id;
    } catch {
      // Not there yet.
    }
    await sleep(10);
  }
  throw new Error('the machine did not start');
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'inherit', 'inherit'] });
}
