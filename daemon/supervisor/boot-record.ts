/**
 * Why the machine started, from a record in STATE of how its last run ended: `running` is written at every
 * start, and how it ends at the end. A power cut, a kernel panic and a watchdog leave `running` behind: that
 * is a crash. What this boot found is kept in /run for supervisors that come later in it. A disk that cannot be
 * read or written makes it `unknown`, and hinders nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { writeDurably } from './durable-file.ts';
import type { EndKind } from './ending-note.ts';

export type BootReason = 'power-on' | 'reboot' | 'crash' | 'unknown';
type LastRun = 'running' | EndKind;

const REASONS: Readonly<Record<LastRun, BootReason>> = {
  running: 'crash',
  reboot: 'reboot',
  powerOff: 'power-on',
};

/** `last` is the record's text: undefined when there is none yet, null when it cannot be known. Pure. */
export function planBootReason(last: string | undefined | null): BootReason {
  if (last === null) return 'unknown';
  if (last === undefined) return 'power-on'; // The first start of its life.
  return Object.hasOwn(REASONS, last) ? REASONS[last as LastRun] : 'unknown'; // Just looked up.
}

export class BootRecord {
  readonly reason: BootReason;
  readonly #path: string | undefined;

  /**
   * `stateDir` is undefined when STATE is not on a disk that can be used: what is written there would be gone
   * at the next start.
   */
  constructor(options: { stateDir: string | undefined; noteFile: string; isFirst: boolean }) {
    const { stateDir, noteFile, isFirst } = options;
    this.#path = stateDir === undefined ? undefined : join(stateDir, 'last-run');
    const known = isFirst ? undefined : readIfPresent(noteFile);
    if (known !== undefined) {
      this.reason = known as BootReason; // By an earlier supervisor of this boot.
      return;
    }
    this.reason = planBootReason(this.#path === undefined ? null : readRecord(this.#path));
    writeFileSync(noteFile, this.reason);
    this.#write('running');
  }

  /** The machine goes down in order. */
  end(kind: EndKind): void {
    this.#write(kind);
  }

  #write(state: LastRun): void {
    if (this.#path === undefined) return;
    try {
      writeDurably(this.#path, state);
    } catch (error) {
      if (!isErrno(error)) throw error; // Full, or read-only: told by whoever needs the disk.
    }
  }
}

/** null: it cannot be read. */
function readRecord(path: string): string | undefined | null {
  try {
    return readIfPresent(path);
  } catch (error) {
    if (isErrno(error)) return null; // A bad sector.
    throw error;
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // Nothing was written yet.
    throw error;
  }
}
