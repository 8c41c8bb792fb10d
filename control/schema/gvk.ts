/** Names of API kinds, and the error that the schema's decoders, encoders and patches throw. */

export interface GroupVersionKind {
  /** '' for the legacy group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** An API object in JSON shape. */
export interface ApiObject {
  apiVersion: string;
  kind: string;
  [field: string]: unknown;
}

/** `apps/v1`, or `v1` for the legacy group. */
export function formatApiVersion(gv: { readonly group: string; readonly version: string }): string {
  return gv.group === '' ? gv.version : `${gv.group}/${gv.version}`;
}

/** The inverse of formatApiVersion; undefined when there is more than one slash. */
export function parseApiVersion(text: string): { group: string; version: string } | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return { group: '', version: text };
  if (text.includes('/', slash + 1)) return undefined;
  return { group: text.slice(0, slash), version: text.slice(slash + 1) };
}

export type SchemaErrorCode =
  /** Not JSON, not YAML, not protobuf, or without kind or apiVersion. */
  | 'MALFORMED'
  /** A value of the wrong type for its field. */
  | 'TYPE_MISMATCH'
  /** No such kind. */
  | 'NOT_REGISTERED'
  /** A patch that breaks the format's rules: 400. */
  | 'BAD_PATCH'
  /** A patch that asks for what the format cannot do: 422. */
  | 'UNPROCESSABLE_PATCH'
  /** A patch that does not fit the object; upstream answers 500. */
  | 'PATCH_FAILED'
  /** The type has no protobuf form (Table). */
  | 'NO_PROTOBUF';

/** The message is upstream's, ready for a Status. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
  readonly code: SchemaErrorCode;

  constructor(code: SchemaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
