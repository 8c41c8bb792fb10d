/**
 * events.k8s.io/v1 and core/v1 Events are one stored kind under two names of its fields.
 * Source: kubernetes pkg/apis/events/v1/conversion.go.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { Conversion } from './served-resource.ts';

/** Field in events.k8s.io/v1 → field in core/v1. */
const NAMES: readonly (readonly [string, string])[] = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
];

function rename(
  object: KubeObject,
  apiVersion: string,
  names: readonly (readonly [string, string])[],
): KubeObject {
  const renamed = new Map(names);
  const fields = Object.entries(object).map(([key, value]) => [renamed.get(key) ?? key, value]);
  return { ...Object.fromEntries(fields), apiVersion };
}

/** Labels of field selectors: those of renamed fields, and of what lies below `regarding`. */
function storageField(field: string): string {
  const [root = '', ...rest] = field.split('.');
  if (root === 'reportingController') return 'reportingComponent';
  return root === 'regarding' ? ['involvedObject', ...rest].join('.') : field;
}

export const eventConversion: Conversion = {
  storageField,
  toStorage: (object) => rename(object, 'v1', NAMES),
  fromStorage: (object) =>
    rename(
      object,
      'events.k8s.io/v1',
      NAMES.map(([events, core]) => [core, events] as const),
    ),
};
