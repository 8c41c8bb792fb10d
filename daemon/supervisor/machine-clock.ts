/**
 * The machine's clock: at start it is the latest of what the hardware says, what was last saved in STATE, when
 * the image was made and when the cluster's keys were. Certificates must be valid before time servers answer,
 * and also on machines without a battery. Time servers may set it back later.
 *
 * The time is saved once a minute, by a write that must reach the disk: it is also how the watchdog knows that
 * the disk answers.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { version } from 'node:os';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { setClock } from '#base/linux/syscall.ts';

/** Of text: a write of the same length changes no metadata. */
const DIGITS = 15;

/** The latest of the times known (ms), when the clock is behind it. Pure. */
export function planClock(
  nowMs: number,
  known: readonly (number | undefined)[],
): number | undefined {
  const latest = Math.max(...known.map((ms) => ms ?? 0), 0);
  return latest > nowMs ? latest : undefined;
}

/** Sets the clock forward to the latest of `known`; returns what it did. Throws LinuxError EPERM. */
export function advanceClock(known: readonly (number | undefined)[]): string | undefined {
  const nowMs = Date.now();
  const to = planClock(nowMs, known);
  if (to === undefined) return undefined;
  setClock(to);
  const text = (ms: number) => new Date(ms).toISOString();
  return `clock set forward from ${text(nowMs)} to ${text(to)}`;
}

/** When the kernel of the image was made, as it says itself: `... Debian 6.12.48-1 (2025-09-20)`. */
export function imageTimeMs(kernelVersion: string = version()): number | undefined {
  const date = /\((\d{4}-\d{2}-\d{2})\)\s*$/.exec(kernelVersion)?.[1];
  return date === undefined ? undefined : Date.parse(`${date}T00:00:00Z`);
}

/** The time last saved there, or undefined when there is none that can be read. */
export function readSavedClock(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'latin1');
    return /^\d{1,15}\n?$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if (isErrno(error)) return undefined; // The first start; a disk that fails is told elsewhere.
    throw error;
  }
}

/** Resolves when the time has reached the disk. */
export async function saveClock(path: string, nowMs: number): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const text = `${String(Math.round(nowMs)).padStart(DIGITS, '0')}\n`;
  const file = await openOrCreate(path);
  try {
    await file.write(text, 0, 'latin1');
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function openOrCreate(path: string) {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return open(path, 'w', 0o600);
    throw error;
  }
}
