/**
 * Kernel parameters: what every node needs, and over it what the configuration says. Level-triggered: each
 * call compares with the kernel and writes what differs, so that parameters of modules and links that come
 * later get their values too. What a parameter was before the configuration named it is on record in /run
 * (a supervisor that was restarted must know), and comes back when the configuration names it no more.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { sysctlPath } from '#base/sysctl-name.ts';

/** Below /proc/sys. Some exist when their module is there. */
export const NODE_SYSCTLS: Readonly<Record<string, string>> = {
  'fs/inotify/max_user_instances': '8192',
  'fs/inotify/max_user_watches': '524288',
  'kernel/panic': '10',
  'kernel/pid_max': '4194304',
  'net/ipv4/ip_forward': '1',
  'vm/max_map_count': '262144',
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
};

/** Below this much memory, what the kernel keeps free for itself counts. */
const SMALL_MEMORY_BYTES = 8 * 2 ** 30;

/**
 * Kilobytes that the kernel keeps free, by its own formula (mm/page_alloc.c), for a small machine: where huge
 * pages are on it keeps 45 MB and more instead, to have whole ones, and 110 MB of 2 GB lie idle. Pure.
 */
export function minFreeKilobytes(memoryBytes: number): number | undefined {
  if (memoryBytes >= SMALL_MEMORY_BYTES) return undefined;
  return Math.max(128, Math.floor(4 * Math.sqrt(memoryBytes / 1024)));
}

interface Wanted {
  readonly value: string;
  /** As the configuration names it; undefined: the node's own need. */
  readonly name: string | undefined;
}

/** Values by path; the configuration's go before the node's own. Pure. */
export function planSysctls(
  configured: Readonly<Record<string, string>>,
  memoryBytes: number,
): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  const minFree = minFreeKilobytes(memoryBytes);
  if (minFree !== undefined) {
    wanted.set('vm/min_free_kbytes', { value: String(minFree), name: undefined });
  }
  for (const [path, value] of Object.entries(NODE_SYSCTLS)) {
    wanted.set(path, { value, name: undefined });
  }
  for (const [name, value] of Object.entries(configured)) {
    const path = sysctlPath(name);
    if (path !== undefined) wanted.set(path, { value, name }); // The schema refuses other names.
  }
  return wanted;
}

export class Sysctls {
  readonly #root: string;
  readonly #recordFile: string;
  readonly #memoryBytes: number;
  /** Values before the configuration, by path. */
  readonly #before: Map<string, string>;
  /** Of parameters that can be written only. */
  readonly #written = new Map<string, string>();

  /** `root` is /proc/sys; `recordFile` lies where it is gone with the machine. */
  constructor(options: { root: string; recordFile: string; memoryBytes: number }) {
    this.#root = options.root;
    this.#recordFile = options.recordFile;
    this.#memoryBytes = options.memoryBytes;
    this.#before = readRecord(options.recordFile);
  }

  /** Makes the kernel match. Returns a line for each of `configured` that could not be set. */
  apply(configured: Readonly<Record<string, string>>): string[] {
    const problems: string[] = [];
    const wanted = planSysctls(configured, this.#memoryBytes);
    for (const [path, { value, name }] of wanted) {
      if (name !== undefined) this.#remember(path);
      const problem = this.#set(path, value);
      if (name !== undefined && problem !== undefined) problems.push(`sysctls.${name}: ${problem}`);
    }
    for (const [path, value] of this.#before) {
      if (wanted.get(path)?.name !== undefined) continue;
      if (!wanted.has(path)) this.#set(path, value);
      this.#before.delete(path);
      this.#save();
    }
    return problems;
  }

  /** The names of `configured` that this kernel does not have: nothing is written. */
  missing(configured: Readonly<Record<string, string>>): string[] {
    return Object.keys(configured).flatMap((name) => {
      const path = sysctlPath(name) ?? '';
      return this.#read(path).kind === 'missing' ? [`sysctls.${name}: ${MISSING}`] : [];
    });
  }

  #remember(path: string): void {
    if (this.#before.has(path)) return;
    const now = this.#read(path);
    if (now.kind !== 'value') return;
    this.#before.set(path, now.text);
    this.#save();
  }

  /** Undefined when it has the value; why it has not otherwise. */
  #set(path: string, value: string): string | undefined {
    const now = this.#read(path);
    if (now.kind === 'missing') return MISSING;
    const text = now.kind === 'value' ? now.text : this.#written.get(path);
    if (text !== undefined && normalize(text) === normalize(value)) return undefined;
    try {
      writeFileSync(join(this.#root, path), value);
      this.#written.set(path, value);
      return undefined;
    } catch (error) {
      if (!isErrno(error)) throw error;
      return `the kernel refuses ${JSON.stringify(value)}: ${error.code}`;
    }
  }

  #read(path: string): { kind: 'value'; text: string } | { kind: 'missing' | 'unreadable' } {
    try {
      return { kind: 'value', text: readFileSync(join(this.#root, path), 'utf8').trimEnd() };
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return { kind: 'missing' };
      if (isErrno(error)) return { kind: 'unreadable' }; // Some can only be written.
      throw error;
    }
  }

  #save(): void {
    mkdirSync(dirname(this.#recordFile), { recursive: true });
    writeFileSync(`${this.#recordFile}.new`, JSON.stringify([...this.#before]));
    renameSync(`${this.#recordFile}.new`, this.#recordFile);
  }
}

const MISSING = 'this kernel has no such parameter';

/** The kernel separates values by tabs, people by blanks. */
function normalize(text: string): string {
  return text.trim().split(/\s+/).join(' ');
}

function readRecord(path: string): Map<string, string> {
  try {
    return new Map(JSON.parse(readFileSync(path, 'utf8')) as [string, string][]); // By #save.
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return new Map(); // Nothing was set yet.
    throw error;
  }
}
