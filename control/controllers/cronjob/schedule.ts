/**
 * When a CronJob is due: five cron fields or `@every 1h30m`, in a time zone. Day of month and day of
 * week are alternatives when both are given, as in cron. Pure: the caller gives the time.
 */
import { Cron } from 'croner';

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000 };
/** Missed times are looked for in growing windows back from now, so that few steps reach the last. */
const WINDOWS_MS = [3_600_000, 86_400_000, 31 * 86_400_000, 366 * 86_400_000, Infinity];
/** More missed times than that are not counted one by one. */
const STEPS_MAX = 10_000;

export interface Schedule {
  /** The first time strictly after `ms`, or undefined when there is none. */
  after(ms: number): number | undefined;
}

/** Throws when the text is no schedule or the zone unknown. */
export function parseSchedule(text: string, timeZone: string | undefined): Schedule {
  const every = /^@every\s+((?:\d+[hms])+)$/.exec(text.trim());
  if (every !== null) {
    let stepMs = 0;
    for (const [, amount, unit] of (every[1] ?? '').matchAll(/(\d+)([hms])/g)) {
      stepMs += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
    }
    if (stepMs === 0) throw new Error(`empty interval in ${text}`);
    return { after: (ms) => Math.floor(ms / 1000) * 1000 + stepMs };
  }
  const cron = new Cron(text.trim(), { timezone: timeZone ?? 'UTC', paused: true });
  return { after: (ms) => cron.nextRun(new Date(ms))?.getTime() };
}

/** The last time in (earliestMs, nowMs], or undefined. */
export function lastDue(schedule: Schedule, earliestMs: number, nowMs: number): number | undefined {
  for (const windowMs of WINDOWS_MS) {
    const startMs = Math.max(earliestMs, nowMs - windowMs);
    let dueMs: number | undefined;
    let nextMs = schedule.after(startMs);
    for (let step = 0; nextMs !== undefined && nextMs <= nowMs && step < STEPS_MAX; step++) {
      dueMs = nextMs;
      nextMs = schedule.after(nextMs);
    }
    if (dueMs !== undefined || startMs === earliestMs) return dueMs;
  }
  return undefined;
}
