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
  /** Of intervals alone, which count from the last time: the last time in (earliestMs, nowMs]. */
  lastIn?(earliestMs: number, nowMs: number): number | undefined;
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
    const after = (ms: number) => Math.floor(ms / 1000) * 1000 + stepMs;
    return {
      after,
      lastIn: (earliestMs, nowMs) => {
        const firstMs = after(earliestMs);
        if (firstMs > nowMs) return undefined;
        return firstMs + Math.floor((nowMs - firstMs) / stepMs) * stepMs;
      },
    };
  }
  timeIn(0, timeZone); // An unknown zone would be found out only later.
  const cron = new Cron(text.trim(), { timezone: timeZone ?? 'UTC', paused: true });
  return { after: (ms) => cron.nextRun(new Date(ms))?.getTime() };
}

/** The last time in (earliestMs, nowMs], or undefined. */
export function lastDue(schedule: Schedule, earliestMs: number, nowMs: number): number | undefined {
  if (schedule.lastIn !== undefined) return schedule.lastIn(earliestMs, nowMs);
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

/** RFC 3339 with the zone's offset. Throws RangeError for an unknown zone. */
export function timeIn(ms: number, timeZone = 'UTC'): string {
  const at = Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(timeZone);
  const text = at.toString({ smallestUnit: 'second', timeZoneName: 'never' });
  return text.replace(/\+00:00$/, 'Z');
}
