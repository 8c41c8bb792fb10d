/**
 * What the runtime knows of sandboxes and containers, as plain data: kept in memory and, in the same
 * step, as one JSON file each (`<data>/sandboxes/<id>/record.json`, `<data>/containers/<id>/...`).
 * A directory without a readable record belongs to a call that never returned, or to a removal.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { diskError, writeAtomicSync } from './disk.ts';
import type { ResolvedUser } from './oci/user.ts';
import {
  type Container,
  type ContainerSpec,
  type ContainerStatus,
  RuntimeError,
  type Sandbox,
  type SandboxSpec,
} from './port.ts';

export interface SandboxRecord {
  readonly id: string;
  readonly spec: SandboxSpec;
  readonly state: 'ready' | 'notReady';
  readonly createdAtMs: number;
  /** Boot of the kernel that the namespaces belong to. */
  readonly bootId: string;
  readonly ips: readonly string[];
  readonly netnsPath: string;
  /** First process of a shared PID namespace. */
  readonly holder: ProcessName | undefined;
}

/** A process, for good: pids are used again, start times with them are not. */
export interface ProcessName {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly start: number;
}

export interface ContainerRecord {
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly podUid: string;
  readonly state: ContainerStatus;
  readonly createdAtMs: number;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly exitCode: number | undefined;
  readonly oomKilled: boolean;
  readonly startError: string | undefined;
  readonly process: ProcessName | undefined;
  readonly bootId: string;
  readonly logPath: string;
  readonly user: ResolvedUser;
  readonly stopSignal: string;
  /** Chain ids that its root filesystem is made of. */
  readonly layers: readonly string[];
  /** Of the pod, from the cgroup mount; the container's own is `<podCgroup>/<id>`. */
  readonly podCgroup: string;
}

export function sandboxOf(record: SandboxRecord): Sandbox {
  const { podUid, podName, podNamespace, attempt, labels } = record.spec;
  const { id, state, createdAtMs, ips, netnsPath } = record;
  return {
    id,
    podUid,
    podName,
    podNamespace,
    attempt,
    state,
    createdAtMs,
    ips,
    netnsPath,
    labels,
  };
}

export function containerOf(record: ContainerRecord): Container {
  const { spec, user } = record;
  return {
    id: record.id,
    sandboxId: spec.sandboxId,
    podUid: record.podUid,
    name: spec.name,
    attempt: spec.attempt,
    image: spec.image,
    imageId: spec.imageId,
    state: record.state,
    createdAtMs: record.createdAtMs,
    startedAtMs: record.startedAtMs,
    finishedAtMs: record.finishedAtMs,
    exitCode: record.exitCode,
    signal: undefined, // conmon reports 128 + n for signal n, as it does for exit code 128 + n.
    oomKilled: record.oomKilled,
    startError: record.startError,
    pid: record.state === 'running' ? record.process?.pid : undefined,
    logPath: record.logPath,
    labels: spec.labels,
    annotations: spec.annotations,
    user,
  };
}

/** Records of one kind. `T` is written and read back by this program alone. */
export class RecordStore<T extends { readonly id: string }> {
  readonly #dir: string;
  readonly #records = new Map<string, T>();

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Loads what is there; resolves to the ids of directories that hold no record. */
  load(): readonly string[] {
    const orphans: string[] = [];
    for (const id of readdirSync(this.#dir)) {
      try {
        const record = JSON.parse(readFileSync(join(this.#dir, id, 'record.json'), 'utf8')) as T; // Ours.
        if (record.id === id) this.#records.set(id, record);
        else orphans.push(id);
      } catch (error) {
        if (!isErrno(error, 'ENOENT', 'ENOTDIR') && !(error instanceof SyntaxError)) throw error;
        orphans.push(id);
      }
    }
    return orphans;
  }

  dir(id: string): string {
    return join(this.#dir, id);
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  all(): readonly T[] {
    return [...this.#records.values()];
  }

  put(record: T): void {
    const dir = this.dir(record.id);
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw diskError(error, dir);
    }
    writeAtomicSync(join(dir, 'record.json'), JSON.stringify(record));
    this.#records.set(record.id, record);
  }

  /**
   * For ends, which have happened whether or not they can be written down: on a full disk only in memory,
   * so that pods can be deleted to make room; false then. The next start sees for itself what is gone.
   */
  putOrRemember(record: T): boolean {
    try {
      this.put(record);
      return true;
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== 'NO_SPACE') throw error;
      this.#records.set(record.id, record);
      return false;
    }
  }

  /** Only in memory: the caller removes the directory. */
  forget(id: string): void {
    this.#records.delete(id);
  }
}
