/**
 * The public face of control/schema: what upstream v1.36's types and resources are, and generic
 * code over those tables: codecs, strict decoding, patches, marker defaults, discovery, OpenAPI.
 * Pure: no clock, no I/O. Objects are plain JSON-shape objects (quantities and times are strings,
 * bytes base64). Inputs are never changed; results may share sub-objects with inputs.
 */
import type { ApiObject, GroupVersionKind } from './gvk.ts';
import type { Decoded, DecodeOptions } from './json-codec.ts';

export { type Discovery, discovery, type Document, type Serves } from './discovery.ts';
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
export { jsonMergePatch, strategicMergePatch } from './patch.ts';
export {
  decodeProtobuf,
  encodeProtobuf,
  frameWatchEvent,
  joinListProtobuf,
  protobufBody,
} from './proto-codec.ts';
export { type ResourceFacts, resources, type SubresourceFacts } from './resources.ts';

function pending(name: string): never {
  throw new Error(`${name} is being built`);
}

/** As decodeJson, from YAML (one document). */
export function decodeYaml(_body: string | Uint8Array, _options?: DecodeOptions): Decoded {
  return pending('decodeYaml');
}

/** YAML text as upstream writes it: keys sorted. */
export function encodeYaml(_gvk: GroupVersionKind, _object: ApiObject): string {
  return pending('encodeYaml');
}

/** The object with the `+default` markers of its type filled in (a copy where it changes). */
export function applyMarkerDefaults(_gvk: GroupVersionKind, _object: ApiObject): ApiObject {
  return pending('applyMarkerDefaults');
}
