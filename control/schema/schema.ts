/**
 * The public face of control/schema: what upstream v1.36's types and resources are, and generic
 * code over those tables: codecs, strict decoding, patches, marker defaults, discovery, OpenAPI.
 * Pure: no clock, no I/O. Objects are plain JSON-shape objects (quantities and times are strings,
 * bytes base64). Inputs are never changed; results may share sub-objects with inputs.
 */
export { applyMarkerDefaults, applyTypeDefaults } from './defaults.ts';
export { type Discovery, discovery, type Document, type Serves } from './discovery.ts';
export { durationError, timeError } from './go-errors.ts';
export { canonicalTime, parseDuration } from './times.ts';
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
export { type OpenApi, type OpenApiDocument, openApiIndex, openApiV3 } from './openapi.ts';
export { type OpenApiV2Document, openApiV2 } from './openapi-v2.ts';
export { encodeOpenApiV2 } from './openapi-v2-proto.ts';
export { type Descriptions, NO_DESCRIPTIONS } from './openapi-schema.ts';
export { jsonMergePatch, strategicMergePatch } from './patch.ts';
export { goFormat } from './patch-values.ts';
export {
  decodeProtobuf,
  encodeProtobuf,
  frameWatchEvent,
  joinListProtobuf,
  protobufBody,
} from './proto-codec.ts';
export { decodeYaml, encodeYaml } from './yaml-codec.ts';
export { type ResourceFacts, resources, type SubresourceFacts } from './resources.ts';
export {
  enumValues,
  type FieldInfo,
  kindType,
  type StructType,
  structType,
  type TypeRef,
} from './types.ts';
