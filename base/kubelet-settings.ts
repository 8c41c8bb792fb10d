/**
 * What of the kubelet's behaviour a configuration may change, in the names and forms of upstream's
 * KubeletConfiguration (kubelet.config.k8s.io/v1beta1). Part of the machine's configuration, handed on as it
 * is to the agent's.
 */
import * as z from 'zod';
import { parseQuantity, QuantityError } from './kube/quantity.ts';

const DURATION = /^(\d+(\.\d+)?(h|m|s|ms))+$/;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** `1h30m`, `90s`: durations as Go writes them. */
export function durationMs(text: string): number {
  let ms = text === '0' ? 0 : Number.NaN;
  if (DURATION.test(text)) {
    ms = 0;
    for (const [, number, , unit] of text.matchAll(/(\d+(\.\d+)?)(h|ms|m|s)/g)) {
      ms += Number(number) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
    }
  }
  return ms;
}

const duration = z
  .string()
  .refine((text) => !Number.isNaN(durationMs(text)), 'must be a duration such as 2m or 1h30m');

function isThreshold(text: string): boolean {
  if (text.endsWith('%')) return /^\d+(\.\d+)?%$/.test(text) && Number.parseFloat(text) <= 100;
  try {
    return parseQuantity(text).mantissa >= 0n;
  } catch (error) {
    if (error instanceof QuantityError) return false;
    throw error;
  }
}

const threshold = z
  .string()
  .refine(isThreshold, 'must be an amount such as 100Mi, or a share such as 10%');

const percent = z.int().min(0).max(100);

export const kubeletSettingsSchema = z
  .strictObject({
    /**
     * Below these the node is under pressure: it takes no more pods, makes room, and evicts. What is not named
     * keeps its default; `0%` turns a signal off. Images and pods lie on one disk: imagefs and nodefs are one.
     */
    evictionHard: z
      .strictObject({
        'memory.available': threshold.default('100Mi'),
        'nodefs.available': threshold.default('10%'),
        'nodefs.inodesFree': threshold.default('5%'),
        'imagefs.available': threshold.default('15%'),
        'imagefs.inodesFree': threshold.default('5%'),
        'pid.available': threshold.default('5%'),
      })
      .prefault({}),
    /** How long the node counts as under pressure after it was. */
    evictionPressureTransitionPeriod: duration.default('5m'),
    /** Of the disk: above the high one unused images are removed until it is below the low one. */
    imageGCHighThresholdPercent: percent.default(85),
    imageGCLowThresholdPercent: percent.default(80),
    /** Younger images are not removed. */
    imageMinimumGCAge: duration.default('2m'),
    /** Images unused for longer are removed in any case; 0: never for their age. */
    imageMaximumGCAge: duration.default('0'),
  })
  .refine((s) => s.imageGCLowThresholdPercent <= s.imageGCHighThresholdPercent, {
    path: ['imageGCLowThresholdPercent'],
    error: 'must not be above imageGCHighThresholdPercent',
  });

export type KubeletSettings = z.infer<typeof kubeletSettingsSchema>;
