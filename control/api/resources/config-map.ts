/** Rules of v1 ConfigMaps. Source: kubernetes v1.36.3 pkg/apis/core/validation. */
import type { ConfigMap } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { type FieldErrors, sortedMap } from './field-errors.ts';
import { byteLength, checkConfigKey } from './formats.ts';
import { subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, tableOf } from './tables.ts';

const NAMESPACED = { namespaced: true };
export const DATA_BYTES_MAX = 1024 * 1024;
export const IMMUTABLE_WHEN_SET = 'field is immutable when `immutable` is set';

/** Bytes behind a base64 text. */
export function base64Bytes(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return Math.floor((text.length * 3) / 4) - padding;
}

function validate(e: FieldErrors, map: ConfigMap): void {
  validateMeta(e, map.metadata, { ...NAMESPACED, name: subdomainName, coreFinalizers: true });
  let bytes = 0;
  for (const [key, value] of Object.entries(sortedMap(map.data))) {
    e.invalidEach(`data[${key}]`, key, checkConfigKey(key));
    if (map.binaryData?.[key] !== undefined) {
      e.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
    }
    bytes += byteLength(value);
  }
  for (const [key, value] of Object.entries(sortedMap(map.binaryData))) {
    e.invalidEach(`binaryData[${key}]`, key, checkConfigKey(key));
    bytes += base64Bytes(value);
  }
  if (bytes > DATA_BYTES_MAX) e.tooLong('', DATA_BYTES_MAX);
}

function validateUpdate(e: FieldErrors, map: ConfigMap, old: ConfigMap): void {
  validateMetaUpdate(e, map.metadata, old.metadata, { coreFinalizers: true });
  if (old.immutable === true) {
    if (map.immutable !== true) e.forbidden('immutable', IMMUTABLE_WHEN_SET);
    for (const field of ['data', 'binaryData'] as const) {
      if (!sameValue(map[field], old[field])) e.forbidden(field, IMMUTABLE_WHEN_SET);
    }
  }
  validate(e, map);
}

export const configMapRules: ResourceRules<ConfigMap> = {
  group: '',
  version: 'v1',
  resource: 'configmaps',
  validate: (map) => collect((e) => validate(e, map)),
  validateUpdate: (map, old) =>
    collectUpdate(map, old, NAMESPACED, (e) => validateUpdate(e, map, old)),
  table: tableOf('Name,Data,Age', ({ metadata, data, binaryData }, nowMs) => [
    metadata.name,
    Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length,
    age(metadata.creationTimestamp, nowMs),
  ]),
};
