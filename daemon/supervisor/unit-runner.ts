/**
 * Runs units: carries out what unit.ts decides. Units write to log files (a pipe that the supervisor
 * holds would break when it dies), and their process ids are on record in runDir, so that a supervisor
 * that was itself restarted adopts what runs instead of starting it twice.
 *
 * The end of an own child comes from Node; that of an adopted one from stage0's pipe (`onOrphan`), or,
 * where there is none, from looking at /proc once a second.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { must } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { errorText, isErrno } from '#base/errors.ts';
import { findOrphan, isRunning, type ProcessId, processId } from '#base/linux/process.ts';
import type { Log } from '#base/log.ts';
import {
  type Exit,
  INITIAL,
  isUp,
  stepUnit,
  type UnitEffect,
  type UnitEvent,
  type UnitState,
} from './unit.ts';

export interface UnitSpec {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number;
  /** Units that must run before this one starts. */
  readonly after: readonly string[];
  /** Made before it starts, owned by its uid. */
  readonly dirs: readonly string[];
  readonly stopTimeoutMs: number;
  /** cgroup.procs files that the process joins. */
  readonly cgroupFiles: readonly string[];
  /** oom_score_adj (proc(5)); absent: this process's own. */
  readonly oomScoreAdj?: number | undefined;
}

export interface UnitRunnerOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Process ids of running units; on a tmpfs, gone with the machine. */
  readonly runDir: string;
  readonly logDir: string;
  /** This process's own PID namespace has no other runner: orphans with a unit's command are its own. */
  readonly adoptOrphans?: boolean;
  readonly onReport: (unit: string, report: Extract<UnitEffect, { kind: 'report' }>) => void;
}

interface Entry {
  readonly spec: UnitSpec;
  state: UnitState;
  child: ChildProcess | undefined;
  /** Of an adopted process. */
  adopted: ProcessId | undefined;
}

const ADOPTED_POLL_MS = 1000;

export class UnitRunner implements Disposable {
  readonly #options: UnitRunnerOptions;
  readonly #units = new Map<string, Entry>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #waiters = new Set<() => void>();
  readonly #poll: NodeJS.Timeout;
  /** Once stopAll was called nothing starts any more. */
  #ending = false;
  #disposed = false;

  constructor(options: UnitRunnerOptions) {
    this.#options = options;
    mkdirSync(options.runDir, { recursive: true });
    mkdirSync(options.logDir, { recursive: true });
    this.#poll = setInterval(() => this.#lookAtAdopted(), ADOPTED_POLL_MS);
    this.#poll.unref();
  }

  /** Makes a unit known, adopting its process when one runs; it starts by `want`. */
  add(spec: UnitSpec): void {
    this.#units.set(spec.name, { spec, state: INITIAL, child: undefined, adopted: undefined });
    const recorded = this.#findRunning(spec);
    if (recorded === undefined) return;
    this.#entry(spec.name).adopted = recorded;
    this.#apply(spec.name, { kind: 'adopted', pid: recorded.pid });
  }

  /** Ignored once stopAll was called: a restart under way must not outlive the shutdown. */
  want(name: string): void {
    if (this.#ending) return;
    this.#apply(name, { kind: 'want' });
    this.#startReady();
  }

  unwant(name: string): void {
    this.#apply(name, { kind: 'unwant' });
  }

  /** To the unit's process, when it runs. */
  signal(name: string, signal: NodeJS.Signals): void {
    const { phase, pid } = this.state(name);
    if (phase === 'running' && pid !== undefined) this.#signal(pid, signal);
  }

  state(name: string): UnitState {
    return this.#entry(name).state;
  }

  stopTimeoutMs(name: string): number {
    return this.#entry(name).spec.stopTimeoutMs;
  }

  names(): string[] {
    return [...this.#units.keys()];
  }

  /** Units that `name` waits for. */
  waitingFor(name: string): string[] {
    const { spec, state } = this.#entry(name);
    if (state.phase !== 'waiting') return [];
    return spec.after.filter((other) => !isUp(this.#entry(other).state));
  }

  /** Process numbers of own children, which Node itself waits for. */
  childPids(): Set<number> {
    return new Set([...this.#units.values()].flatMap(({ child }) => child?.pid ?? []));
  }

  /** stage0 has reaped an orphan: the end of an adopted unit, or nothing to us. */
  onOrphan(pid: number, exit: Exit): void {
    for (const [name, entry] of this.#units) {
      if (entry.adopted?.pid === pid) this.#ended(name, exit);
    }
  }

  /** Calls back once, when the unit has stopped. */
  onStopped(name: string, callback: () => void): void {
    this.#until(() => this.#entry(name).state.phase === 'stopped').then(callback, () => {});
  }

  /** Stops all units, dependents first; resolves when none runs. */
  async stopAll(): Promise<void> {
    this.#ending = true;
    for (const name of [...this.#units.keys()].toReversed()) {
      this.unwant(name);
      await this.#until(() => this.#entry(name).state.phase === 'stopped');
    }
  }

  /** Its processes go on; it follows them no more. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    clearInterval(this.#poll);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #entry(name: string): Entry {
    return must(this.#units.get(name), `no unit ${name}`);
  }

  #apply(name: string, event: UnitEvent): void {
    const entry = this.#entry(name);
    const nowMs = this.#options.clock.monotonicMs();
    const at = { nowMs, stopTimeoutMs: entry.spec.stopTimeoutMs };
    const { state, effects } = stepUnit(entry.state, event, at);
    entry.state = state;
    for (const effect of effects) this.#carryOut(name, effect);
    for (const wake of this.#waiters) wake();
  }

  #carryOut(name: string, effect: UnitEffect): void {
    switch (effect.kind) {
      case 'spawn':
        this.#spawn(name);
        return;
      case 'signal':
        this.#signal(effect.pid, effect.signal);
        return;
      case 'wakeAt': {
        const waitMs = Math.max(0, effect.atMs - this.#options.clock.monotonicMs()) + 1;
        const timer = setTimeout(() => {
          this.#timers.delete(timer);
          this.#apply(name, { kind: 'timer' });
        }, waitMs);
        this.#timers.add(timer);
        return;
      }
      case 'report':
        this.#options.onReport(name, effect);
    }
  }

  #spawn(name: string): void {
    const entry = this.#entry(name);
    const { spec } = entry;
    const [program, ...args] = spec.argv;
    try {
      for (const dir of spec.dirs) {
        mkdirSync(dir, { recursive: true });
        chownSync(dir, spec.uid, spec.uid);
      }
      const logFd = openSync(join(this.#options.logDir, `${name}.log`), 'a');
      const child = spawn(program, args, {
        cwd: '/',
        uid: spec.uid,
        gid: spec.uid,
        env: { ...spec.env },
        stdio: ['ignore', logFd, logFd],
        detached: true,
      });
      closeSync(logFd);
      child.once('error', (error) => this.#failed(name, error));
      if (child.pid === undefined) return; // `error` follows.
      entry.child = child;
      try {
        for (const file of spec.cgroupFiles) writeFileSync(file, String(child.pid));
        this.#setOomScore(child.pid, spec);
        this.#writeRecord(name, child.pid);
      } catch (error) {
        // It must not run on beside the one that is started next.
        this.#signal(child.pid, 'SIGKILL');
        throw error;
      }
      child.once('exit', (code, signal) => {
        this.#ended(name, {
          code: code ?? undefined,
          signal: signal === null ? undefined : constants.signals[signal],
        });
      });
      this.#apply(name, { kind: 'started', pid: child.pid });
      this.#startReady();
    } catch (error) {
      this.#failed(name, error);
    }
  }

  /** Below what this process has it takes CAP_SYS_RESOURCE, which a development host may not give. */
  #setOomScore(pid: number, { name, oomScoreAdj }: UnitSpec): void {
    if (oomScoreAdj === undefined) return;
    try {
      writeFileSync(`/proc/${pid}/oom_score_adj`, String(oomScoreAdj));
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH')) return; // It has ended already; its exit follows.
      if (!isErrno(error, 'EACCES', 'EPERM')) throw error;
      this.#options.log.info('oom score not set', { unit: name, oomScoreAdj });
    }
  }

  #failed(name: string, error: unknown): void {
    this.#options.log.error('cannot start unit', { unit: name, error: errorText(error) });
    this.#ended(name, { code: 127, signal: undefined });
  }

  #ended(name: string, exit: Exit): void {
    if (this.#disposed) return;
    const entry = this.#entry(name);
    entry.child = undefined;
    entry.adopted = undefined;
    rmSync(this.#recordPath(name), { force: true });
    this.#apply(name, { kind: 'exited', exit });
  }

  #startReady(): void {
    for (const [name, entry] of this.#units) {
      if (entry.state.phase === 'waiting' && this.waitingFor(name).length === 0) {
        this.#apply(name, { kind: 'ready' });
      }
    }
  }

  /** A process that stage0 does not report on (no stage0, or its line was lost) is missed here. */
  #lookAtAdopted(): void {
    for (const [name, entry] of this.#units) {
      if (entry.adopted !== undefined && !isRunning(entry.adopted)) {
        this.#ended(name, { code: undefined, signal: undefined });
      }
    }
  }

  #signal(pid: number, signal: NodeJS.Signals): void {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (!isErrno(error, 'ESRCH')) throw error; // It has ended meanwhile; its exit follows.
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiters.delete(wake);
          resolve();
        };
        this.#waiters.add(wake);
      });
    }
  }

  #findRunning(spec: UnitSpec): ProcessId | undefined {
    const recorded = this.#readRecord(spec.name);
    if (recorded !== undefined && isRunning(recorded)) return recorded;
    // A supervisor may be killed between the start of a process and its record: two of one unit would
    // quarrel about ports and files.
    const found = this.#options.adoptOrphans === true ? findOrphan(spec.argv) : undefined;
    if (found !== undefined) this.#writeRecord(spec.name, found.pid);
    return found;
  }

  #recordPath(name: string): string {
    return join(this.#options.runDir, name);
  }

  #readRecord(name: string): ProcessId | undefined {
    try {
      const [pid, startTicks] = readFileSync(this.#recordPath(name), 'utf8').split(' ');
      return { pid: Number(pid), startTicks: Number(startTicks) };
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined; // It never ran.
      throw error;
    }
  }

  #writeRecord(name: string, pid: number): void {
    const id = processId(pid);
    if (id === undefined) return; // It has ended already; its exit follows.
    const path = this.#recordPath(name);
    const staged = join(dirname(path), `.${name}`);
    writeFileSync(staged, `${id.pid} ${id.startTicks}`);
    renameSync(staged, path);
  }
}
