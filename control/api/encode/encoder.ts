/**
 * Objects, lists and watch events as bytes in the format a client asked for. JSON of the storage
 * version is passed on as the cache holds it; every other form of a cached object is made once and
 * kept with it (CachedObject.encoded).
 */
import { setImmediate } from 'node:timers/promises';
import type { KubeObject } from '#base/kube/client.ts';
import type { ListMeta, Status } from '#base/kube/api/meta-v1.gen.ts';
import {
  type ApiObject,
  encodeProtobuf,
  encodeYaml,
  frameWatchEvent,
  formatApiVersion,
  type GroupVersionKind,
  joinListProtobuf,
  parseApiVersion,
} from '#control/schema/schema.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import { LIST_SLICE_COUNT } from '../limits.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import type { Format } from './media-type.ts';
import { DEFAULT_TABLE, type IncludeObject, partialMetadata, tableOf, tableRow } from './shapes.ts';

const META_V1 = { group: 'meta.k8s.io', version: 'v1' };
const PARTIAL_LIST: GroupVersionKind = { ...META_V1, kind: 'PartialObjectMetadataList' };
const WATCH_EVENT_MIDDLE = Buffer.from('","object":');
const WATCH_EVENT_END = Buffer.from('}\n');

export interface EncodeOptions {
  readonly format: Format;
  readonly include: IncludeObject;
  readonly nowMs: number;
}

/** Any API object in the encoding, without regard to shape. */
export function encodePlain(object: object, format: Format): Uint8Array {
  // Every API object has them.
  const { apiVersion = 'v1', kind = '' } = object as { apiVersion?: string; kind?: string };
  const gvk = { ...(parseApiVersion(apiVersion) ?? { group: '', version: 'v1' }), kind };
  switch (format.encoding) {
    case 'json':
      if (format.pretty) return Buffer.from(`${JSON.stringify(object, undefined, 2)}\n`);
      return Buffer.from(`${JSON.stringify(object)}\n`);
    case 'yaml':
      return Buffer.from(encodeYaml(gvk, { ...object, apiVersion, kind }));
    case 'protobuf':
      return encodeProtobuf(gvk, { ...object, apiVersion, kind });
  }
}

/** One object as the resource serves it. `json` is in the storage version. */
export function encodeObject(
  resource: ServedResource,
  json: Buffer,
  options: EncodeOptions,
): Uint8Array {
  const { format } = options;
  const isPlain = format.encoding === 'json' && format.shape === undefined && !format.pretty;
  if (isPlain && resource.conversion === undefined) return Buffer.concat([json, NEWLINE]);
  const object = resource.fromStorage(JSON.parse(json.toString()));
  return encodePlain(shaped(resource, object, options), format);
}

function shaped(resource: ServedResource, object: KubeObject, options: EncodeOptions): object {
  switch (options.format.shape) {
    case 'Table': {
      const table = resource.rules.table ?? DEFAULT_TABLE;
      const { resourceVersion } = object.metadata;
      return tableOf([tableRow(object, table, options)], table, { resourceVersion });
    }
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList':
      return partialMetadata(object);
    default:
      return object;
  }
}

/** `{` and the item without its kind and apiVersion, as items of JSON lists are. */
function itemJson(resource: ServedResource, object: CachedObject): Buffer {
  if (resource.conversion !== undefined) {
    const { kind: _k, apiVersion: _v, ...rest } = resource.fromStorage(object.parse());
    return Buffer.from(JSON.stringify(rest)).subarray(1);
  }
  return object.json.subarray(itemOffset(resource.storageKind));
}

/** Where the fields after `{"kind":K,"apiVersion":V,` begin (formatStored's order). */
function itemOffset(gvk: GroupVersionKind): number {
  return `{"kind":"${gvk.kind}","apiVersion":"${formatApiVersion(gvk)}",`.length;
}

const NEWLINE = Buffer.from('\n');
const OPEN = Buffer.from('{');
const COMMA_OPEN = Buffer.from(',{');

/**
 * Bytes of memory that the answer with these items takes until it has left: joined in one piece, or as
 * objects and text in turn.
 */
export function listMemory(items: readonly CachedObject[], format: Format): number {
  const bytes = items.reduce((sum, { json }) => sum + json.length, 0);
  if (format.shape !== undefined) return 2 * bytes;
  return format.encoding === 'yaml' || format.pretty === true ? 6 * bytes : bytes;
}

/** Other requests are served while a long list is put into another form. */
export async function encodeList(
  resource: ServedResource,
  items: readonly CachedObject[],
  metadata: ListMeta,
  options: EncodeOptions,
): Promise<Uint8Array[]> {
  const { format } = options;
  if (format.shape === undefined) {
    if (format.encoding === 'json' && !format.pretty) return joinJson(resource, items, metadata);
    if (format.encoding === 'protobuf') {
      const encoded = await mapInSlices(items, (item) => encodeProtobufOf(resource, item));
      return [joinListProtobuf(resource.listGvk, { ...metadata }, encoded)];
    }
    const { listGvk } = resource;
    const list = {
      kind: listGvk.kind,
      apiVersion: formatApiVersion(listGvk),
      metadata,
      items: await mapInSlices(items, (item) => resource.fromStorage(item.parse())),
    };
    return [encodePlain(list, format)];
  }
  if (format.shape === 'Table') {
    const table = resource.rules.table ?? DEFAULT_TABLE;
    const rows = await mapInSlices(items, (item) =>
      tableRow(resource.fromStorage(item.parse()), table, options),
    );
    return [encodePlain(tableOf(rows, table, metadata), format)];
  }
  const list = {
    kind: PARTIAL_LIST.kind,
    apiVersion: formatApiVersion(PARTIAL_LIST),
    metadata,
    items: await mapInSlices(items, (item) => partialMetadata(resource.fromStorage(item.parse()))),
  };
  return [encodePlain(list, format)];
}

async function mapInSlices<T>(
  items: readonly CachedObject[],
  map: (item: CachedObject) => T,
): Promise<T[]> {
  const mapped: T[] = [];
  for (let start = 0; start < items.length; start += LIST_SLICE_COUNT) {
    if (start > 0) await setImmediate();
    for (const item of items.slice(start, start + LIST_SLICE_COUNT)) mapped.push(map(item));
  }
  return mapped;
}

function joinJson(
  resource: ServedResource,
  items: readonly CachedObject[],
  metadata: ListMeta,
): Uint8Array[] {
  const { listGvk } = resource;
  const head =
    `{"kind":"${listGvk.kind}","apiVersion":"${formatApiVersion(listGvk)}",` +
    `"metadata":${JSON.stringify(metadata)},"items":[`;
  const parts: Buffer[] = [Buffer.from(head)];
  for (const [i, item] of items.entries()) {
    parts.push(i === 0 ? OPEN : COMMA_OPEN, itemJson(resource, item));
  }
  parts.push(Buffer.from(']}\n'));
  return parts;
}

function encodeProtobufOf(resource: ServedResource, object: CachedObject): Uint8Array {
  return object.encoded(`protobuf ${formatApiVersion(resource.gvk)}`, (one) =>
    encodeProtobuf(resource.gvk, toApiObject(resource.fromStorage(one.parse()))),
  );
}

function toApiObject(object: KubeObject): ApiObject {
  return { ...object };
}

/** Watch events of one resource in one format. */
export class EventEncoder {
  readonly #resource: ServedResource;
  readonly #options: EncodeOptions;
  /** Key under which a shared event keeps this encoding, or undefined when it cannot be shared. */
  readonly frameKey: string | undefined;
  #isFirst = true;

  constructor(resource: ServedResource, options: EncodeOptions) {
    this.#resource = resource;
    this.#options = options;
    const { encoding, shape } = options.format;
    // Ages in tables depend on the moment, and the first table event carries the columns.
    this.frameKey =
      shape === 'Table'
        ? undefined
        : `${encoding} ${shape ?? ''} ${formatApiVersion(resource.gvk)}`;
  }

  object(type: string, object: CachedObject): Uint8Array {
    const { format } = this.#options;
    if (format.encoding === 'protobuf' && format.shape === undefined) {
      return frameWatchEvent(type, encodeProtobufOf(this.#resource, object));
    }
    if (format.shape === 'Table') return this.#table(type, object);
    return frame(type, encodeObject(this.#resource, object.json, this.#options), format);
  }

  #table(type: string, object: CachedObject): Uint8Array {
    const table = this.#resource.rules.table ?? DEFAULT_TABLE;
    const parsed = this.#resource.fromStorage(object.parse());
    const row = tableRow(parsed, table, this.#options);
    const metadata = { resourceVersion: parsed.metadata.resourceVersion };
    const shown = tableOf([row], this.#isFirst ? table : undefined, metadata);
    this.#isFirst = false;
    return frame(type, encodePlain(shown, this.#options.format), this.#options.format);
  }

  bookmark(revision: number, annotations?: Record<string, string>): Uint8Array {
    const { format } = this.#options;
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(annotations === undefined ? {} : { annotations }),
    };
    const { kind } = this.#resource.facts;
    const apiVersion = formatApiVersion(this.#resource.facts);
    let object: object = { kind, apiVersion, metadata };
    if (format.shape === 'Table') object = tableOf([], undefined, metadata);
    else if (format.shape !== undefined) {
      object = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
    }
    return frame('BOOKMARK', encodePlain(object, format), format);
  }

  error(status: Status): Uint8Array {
    const { format } = this.#options;
    return frame('ERROR', encodePlain(status, format), format);
  }
}

function frame(type: string, object: Uint8Array, format: Format): Uint8Array {
  if (format.encoding === 'protobuf') return frameWatchEvent(type, object);
  const end = object.at(-1) === 0x0a ? object.length - 1 : object.length;
  const head = Buffer.from(`{"type":"${type}`);
  const body = object.subarray(0, end);
  return Buffer.concat([head, WATCH_EVENT_MIDDLE, body, WATCH_EVENT_END]);
}
