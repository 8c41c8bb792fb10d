/**
 * Media types of requests and responses: what an Accept header asks for, and whether this server
 * can. Pure. Rules: apiserver endpoints/handlers/negotiation; reference/kubernetes-api.md section
 * 2.5.
 */
import { notAcceptable, unsupportedMediaType } from '../errors.ts';

export type Encoding = 'json' | 'yaml' | 'protobuf';

/** Another shape of the object than its own kind. */
export type Shape =
  | 'Table'
  | 'PartialObjectMetadata'
  | 'PartialObjectMetadataList'
  | 'APIGroupDiscoveryList';

export interface Format {
  readonly encoding: Encoding;
  readonly shape: Shape | undefined;
  /** Indented JSON, `?pretty=true`. */
  readonly pretty: boolean;
}

export const JSON_FORMAT: Format = { encoding: 'json', shape: undefined, pretty: false };

export const MEDIA_TYPES: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
};
const ACCEPTED = [MEDIA_TYPES.json, MEDIA_TYPES.yaml, MEDIA_TYPES.protobuf];

interface MediaRange {
  readonly type: string;
  readonly params: ReadonlyMap<string, string>;
  readonly quality: number;
}

function parseRange(text: string): MediaRange {
  const [type = '', ...rest] = text.split(';');
  const params = new Map<string, string>();
  for (const one of rest) {
    const equals = one.indexOf('=');
    if (equals < 0) continue;
    const value = one.slice(equals + 1).trim();
    params.set(one.slice(0, equals).trim().toLowerCase(), value.replace(/^"(.*)"$/, '$1'));
  }
  const quality = Number(params.get('q') ?? '1');
  return { type: type.trim().toLowerCase(), params, quality: Number.isNaN(quality) ? 1 : quality };
}

/** Stable: clients list what they prefer first. */
function parseAccept(accept: string): MediaRange[] {
  return accept
    .split(',')
    .map(parseRange)
    .sort((a, b) => b.quality - a.quality);
}

/** The one of `types` that an Accept header wants most, the first of them for wildcards. */
export function preferredType(
  accept: string | undefined,
  types: readonly string[],
): string | undefined {
  for (const { type } of parseAccept(accept || '*/*')) {
    const found = types.find(
      (known) => type === '*/*' || type === known || type === known.replace(/\/.*/, '/*'),
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

function encodingOf(type: string): Encoding | undefined {
  switch (type) {
    case '*/*':
    case 'application/*':
    case 'application/json':
      return 'json';
    case 'application/yaml':
    case 'application/x-yaml':
    case 'text/yaml':
      return 'yaml';
    case 'application/vnd.kubernetes.protobuf':
      return 'protobuf';
    default:
      return undefined;
  }
}

export interface Acceptable {
  /** Shapes that this endpoint can answer in. */
  readonly shapes: readonly Shape[];
  readonly protobuf?: boolean;
}

/** The first format of the Accept header that can be served. Throws ApiError 406. */
export function negotiate(accept: string | undefined, can: Acceptable): Format {
  if (accept === undefined || accept === '' || accept === '*/*') return JSON_FORMAT;
  if (accept === 'application/json') return JSON_FORMAT;
  for (const range of parseAccept(accept)) {
    const encoding = encodingOf(range.type);
    if (encoding === undefined || (encoding === 'protobuf' && can.protobuf === false)) continue;
    const as = range.params.get('as');
    if (as === undefined) return { encoding, shape: undefined, pretty: false };
    const shape = can.shapes.find((s) => s === as);
    // A table's cells are of any type, which protobuf has no form for.
    if (shape === undefined || (shape === 'Table' && encoding === 'protobuf')) continue;
    if (!isServedShapeVersion(range.params)) continue;
    return { encoding, shape, pretty: false };
  }
  throw notAcceptable(ACCEPTED);
}

function isServedShapeVersion(params: ReadonlyMap<string, string>): boolean {
  const group = params.get('g');
  const version = params.get('v');
  if (group === 'meta.k8s.io') return version === 'v1';
  return group === 'apidiscovery.k8s.io' && version === 'v2';
}

/** How a body is encoded. Throws ApiError 415; a missing Content-Type means JSON. */
export function bodyEncoding(contentType: string | undefined): Encoding {
  if (contentType === undefined || contentType === '') return 'json';
  const { type } = parseRange(contentType);
  if (!type.includes('*')) {
    const encoding = encodingOf(type);
    if (encoding !== undefined) return encoding;
  }
  throw unsupportedMediaType(ACCEPTED);
}

/** The Content-Type of a response in this format. */
export function contentTypeOf(format: Format, isStream = false): string {
  const base = MEDIA_TYPES[format.encoding];
  return isStream && format.encoding === 'protobuf' ? `${base};stream=watch` : base;
}
