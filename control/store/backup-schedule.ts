/**
 * Snapshots by themselves: one at each interval, the newest so many kept, each read through before an older
 * one goes. When the next is due is read off the names of those that are there, so that restarts neither
 * delay nor multiply them. One that fails is logged and tried again; the store goes on.
 *
 *   backups/2026-11-27T18-00-00Z.snapshot
 */
import { mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { BACKUP_FREE_FACTOR, BACKUP_RETRY_MS } from './limits.ts';
import { StoreError } from './port.ts';
import type { OwnStore } from './port.ts';
import { saveSnapshot } from './snapshot-file.ts';

export interface BackupSettings {
  readonly everyHours: number;
  readonly keep: number;
}

const NAME = /^(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\dZ)\.snapshot$/;

/** Of a snapshot taken then. */
export function backupName(nowMs: number): string {
  const time = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return `${time.replaceAll(':', '-')}.snapshot`;
}

/** Milliseconds since the epoch, or undefined for other names. */
export function parseBackupName(name: string): number | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, date, hours, minutes, seconds] = match;
  const ms = Date.parse(`${date}${hours}:${minutes}:${seconds}`);
  return Number.isNaN(ms) ? undefined : ms;
}

export class BackupSchedule {
  readonly #store: Pick<OwnStore, 'snapshot' | 'memberStatus'>;
  readonly #dir: string;
  readonly #settings: BackupSettings;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(parts: {
    readonly store: Pick<OwnStore, 'snapshot' | 'memberStatus'>;
    /** Made when missing. */
    readonly dir: string;
    readonly settings: BackupSettings;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#store = parts.store;
    this.#dir = parts.dir;
    this.#settings = parts.settings;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Until the signal: it rejects with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#dir)) {
      if (name.endsWith('.part')) rmSync(join(this.#dir, name), { force: true });
    }
    for (;;) {
      const waitMs = this.#dueAtMs() - this.#clock.nowMs();
      // Timers hold 24 days; the clock may be set meanwhile.
      if (waitMs > 0) await this.#clock.sleep(Math.min(waitMs, BACKUP_RETRY_MS), signal);
      else if (!(await this.#attempt(signal))) await this.#clock.sleep(BACKUP_RETRY_MS, signal);
    }
  }

  #dueAtMs(): number {
    const newest = this.#list()[0];
    // Of a clock that was set right since: it says nothing of when that was.
    if (newest === undefined || newest > this.#clock.nowMs()) return 0;
    return newest + this.#settings.everyHours * 3_600_000;
  }

  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#take(signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof StoreError) && !isErrno(error)) throw error;
      this.#log.error('scheduled snapshot failed', { error });
      return false;
    }
  }

  async #take(signal: AbortSignal): Promise<void> {
    this.#keep(this.#settings.keep);
    const { liveBytes } = await this.#store.memberStatus(signal);
    for (let kept = this.#settings.keep - 1; !this.#hasRoom(liveBytes); kept--) {
      // The last one goes only when there is another.
      if (kept < 1) throw new StoreError('NO_SPACE', 'no room for a snapshot beside the store');
      this.#keep(kept);
    }
    const name = backupName(this.#clock.nowMs());
    const { revision, bytes } = await saveSnapshot(this.#store, join(this.#dir, name), signal);
    this.#log.info('scheduled snapshot written', { name, revision, bytes });
    this.#keep(this.#settings.keep);
  }

  #hasRoom(liveBytes: number): boolean {
    const { bavail, bsize } = statfsSync(this.#dir);
    return bavail * bsize >= liveBytes * (1 + BACKUP_FREE_FACTOR);
  }

  /** Removes all but the newest. */
  #keep(count: number): void {
    for (const takenAtMs of this.#list().slice(count))
      rmSync(join(this.#dir, backupName(takenAtMs)));
  }

  /** When the snapshots were taken, newest first; those that a wrong clock dated ahead are the oldest. */
  #list(): number[] {
    const nowMs = this.#clock.nowMs();
    const isAhead = (ms: number) => Number(ms > nowMs);
    return readdirSync(this.#dir)
      .map(parseBackupName)
      .filter((ms) => ms !== undefined)
      .sort((a, b) => isAhead(a) - isAhead(b) || b - a);
  }
}
