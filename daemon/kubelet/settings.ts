/** The kubelet's settings as its parts take them: numbers in place of texts. Pure. */
import { durationMs, type KubeletSettings } from '#base/kubelet-settings.ts';
import { quantityValue } from '#base/kube/quantity.ts';
import type { EvictionSettings } from './eviction/eviction.ts';
import { SIGNALS, type Thresholds, thresholdOf } from './eviction/signals.ts';
import type { ImageGcPolicy } from './image/image-gc.ts';
import type { MachineFacts } from './node/node-facts.ts';
import type { NodeInput } from './node/node-status.ts';

export function imageGcPolicy(settings: KubeletSettings): ImageGcPolicy {
  return {
    highThresholdPercent: settings.imageGCHighThresholdPercent,
    lowThresholdPercent: settings.imageGCLowThresholdPercent,
    minAgeMs: durationMs(settings.imageMinimumGCAge),
    maxAgeMs: durationMs(settings.imageMaximumGCAge),
  };
}

/** A share of 0 or of all means: never. What pods together may use has the threshold of memory. */
function thresholdsOf({ evictionHard }: KubeletSettings): Thresholds {
  const texts: Thresholds = {
    ...evictionHard,
    'allocatableMemory.available': evictionHard['memory.available'],
  };
  const isOff = (text: string) => text.endsWith('%') && [0, 100].includes(Number.parseFloat(text));
  return Object.fromEntries(
    SIGNALS.map((signal) => [signal, texts[signal] ?? '0%'] as const).filter(([, v]) => !isOff(v)),
  );
}

export function evictionSettings(settings: KubeletSettings, node: NodeInput): EvictionSettings {
  return {
    thresholds: thresholdsOf(settings),
    transitionMs: durationMs(settings.evictionPressureTransitionPeriod),
    podsMemoryBytes: node.machine.memoryBytes - node.reserved.memoryBytes,
  };
}

/** What pods may not be promised, because using it would get them evicted. */
export function evictionBytes(
  settings: KubeletSettings,
  machine: MachineFacts,
): NodeInput['evictionBytes'] {
  const thresholds = thresholdsOf(settings);
  const bytes = (text: string | undefined, capacity: number) =>
    text === undefined ? 0 : quantityValue(thresholdOf(text, capacity));
  return {
    memory: bytes(thresholds['memory.available'], machine.memoryBytes),
    disk: bytes(thresholds['nodefs.available'], machine.diskBytes),
  };
}
