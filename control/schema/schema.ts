/**
 * The public face of control/schema: what upstream v1.36's types and resources are, and generic
 * code over those tables: codecs, strict decoding, patches, marker defaults, discovery, OpenAPI.
 * Pure: no clock, no I/O. Objects are plain JSON-shape objects (quantities and times are strings,
 * bytes base64). Inputs are never changed; results may share sub-objects with inputs.
 */
import type { ApiObject, GroupVersionKind } from './gvk.ts';
import type { Decoded, DecodeOptions } from './json-codec.ts';

export {
  type ApiObject,
  formatApiVersion,
  type GroupVersionKind,
  parseApiVersion,
  SchemaError,
  type SchemaErrorCode,
} from './gvk.ts';
export {
  type Decoded,
  decodeJson,
  type DecodeOptions,
  encodeJson,
  joinListJson,
  normalise,
} from './json-codec.ts';
export { type ResourceFacts, resources, type SubresourceFacts } from './resources.ts';

function pending(name: string): never {
  throw new Error(`${name} is being built`);
}

/** As decodeJson, from YAML (one document). */
export function decodeYaml(_body: string | Uint8Array, _options?: DecodeOptions): Decoded {
  return pending('decodeYaml');
}

/** From protobuf with its `k8s\0` envelope. */
export function decodeProtobuf(_body: Uint8Array, _options?: DecodeOptions): Decoded {
  return pending('decodeProtobuf');
}

/** YAML text as upstream writes it: keys sorted. */
export function encodeYaml(_gvk: GroupVersionKind, _object: ApiObject): string {
  return pending('encodeYaml');
}

/** Protobuf bytes with envelope. Throws NO_PROTOBUF for kinds that have none (Table). */
export function encodeProtobuf(_gvk: GroupVersionKind, _object: ApiObject): Uint8Array {
  return pending('encodeProtobuf');
}

/** The message inside an envelope made by encodeProtobuf: what lists and watch events carry. */
export function protobufBody(_enveloped: Uint8Array): Uint8Array {
  return pending('protobufBody');
}

/** A list, enveloped, from what encodeProtobuf made, each encoded once. */
export function joinListProtobuf(
  _listGvk: GroupVersionKind,
  _metadata: Readonly<Record<string, unknown>>,
  _items: readonly Uint8Array[],
): Uint8Array {
  return pending('joinListProtobuf');
}

/** A watch frame: 4 bytes length (big-endian), WatchEvent{type, object: the enveloped bytes}. */
export function frameWatchEvent(_type: string, _enveloped: Uint8Array): Uint8Array {
  return pending('frameWatchEvent');
}

/** Kubernetes' strategic merge patch. Throws SchemaError BAD_PATCH with upstream's text. */
export function strategicMergePatch(
  _gvk: GroupVersionKind,
  _original: ApiObject,
  _patch: unknown,
): ApiObject {
  return pending('strategicMergePatch');
}

/** RFC 7386. */
export function jsonMergePatch(_original: unknown, _patch: unknown): unknown {
  return pending('jsonMergePatch');
}

/** The object with the `+default` markers of its type filled in (a copy where it changes). */
export function applyMarkerDefaults(_gvk: GroupVersionKind, _object: ApiObject): ApiObject {
  return pending('applyMarkerDefaults');
}

/** Documents of legacy discovery, as upstream answers them; undefined = no such group (version). */
export interface Discovery {
  /** /api, without serverAddressByClientCIDRs. */
  readonly legacyVersions: ApiObject;
  /** /apis */
  readonly groups: ApiObject;
  /** /apis/GROUP */
  group(group: string): ApiObject | undefined;
  /** /api/v1 ('' as group) and /apis/GROUP/VERSION */
  groupVersion(group: string, version: string): ApiObject | undefined;
}

/** Discovery limited to what the server serves (all stable group versions when absent). */
export function discovery(
  _serves?: (group: string, version: string, resource: string) => boolean,
): Discovery {
  return pending('discovery');
}
