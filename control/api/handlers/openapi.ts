/**
 * /openapi/v3: the index of documents and one document a group version; /openapi/v2: one document of
 * all, as JSON and in the protobuf form that client-go asks for. Documents are made and packed when
 * first asked for; what they are made from is let go. Clients keep a document by its ETag, of v3 by
 * the hash in its address. The hash stands for the build that all follows from, so that it costs
 * nothing to make. Source: k8s.io/kube-openapi pkg/handler and pkg/handler3.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { readDescriptions } from '#control/schema/descriptions-file.ts';
import { encodeOpenApiV2, openApiIndex, openApiV2, openApiV3 } from '#control/schema/schema.ts';
import { preferredType } from '../encode/media-type.ts';
import type { ApiResponse } from '../exchange.ts';
import type { Call } from './call.ts';
import { notServed } from './router.ts';

const gzip = promisify(zlib.gzip);
const gunzip = promisify(zlib.gunzip);
const V2 = '/openapi/v2';
const V3 = '/openapi/v3';

const JSON_TYPE = 'application/json';
const V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
/** What clients ask for; no media type by its letters, so that answers name the other. */
const V2_PROTOBUF_OLD = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

interface PackedV2 {
  readonly json: Buffer;
  readonly protobuf: Buffer;
}

interface Answer {
  readonly hash: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class OpenApiHandler {
  readonly #build: string;
  /** Packed documents of v3: together a tenth of the plain ones. */
  readonly #packed = new Map<string, Buffer>();
  #packedV2: PackedV2 | undefined;

  /** `build` names the version of server and schema. */
  constructor(build: string) {
    this.#build = build;
  }

  /** undefined: the path is none of these. */
  handle(call: Call): Promise<ApiResponse> | undefined {
    const { path } = call.info;
    if (path === V2) return this.#v2(call);
    if (path === V3 || path === `${V3}/`) return this.#index(call);
    return path.startsWith(`${V3}/`) ? this.#document(call) : undefined;
  }

  #hash(path: string): string {
    return createHash('sha512').update(`${this.#build} ${path}`).digest('hex').toUpperCase();
  }

  async #v2(call: Call): Promise<ApiResponse> {
    const types = [JSON_TYPE, V2_PROTOBUF_OLD, V2_PROTOBUF];
    const type = preferredType(call.header('accept'), types);
    if (type === undefined) return NOT_ACCEPTABLE;
    this.#packedV2 ??= await packV2();
    const { json, protobuf } = this.#packedV2;
    const isJson = type === JSON_TYPE;
    const contentType = isJson ? JSON_TYPE : V2_PROTOBUF;
    return await reply(call, isJson ? json : protobuf, { hash: this.#hash(V2), contentType });
  }

  async #index(call: Call): Promise<ApiResponse> {
    const index = openApiIndex(openApiV3(), (path) => this.#hash(path));
    return await reply(call, await gzip(JSON.stringify(index)), { hash: this.#hash(V3) });
  }

  async #document(call: Call): Promise<ApiResponse> {
    const path = call.info.path.slice(V3.length + 1);
    if (!openApiV3().paths.includes(path)) return notServed();
    if (preferredType(call.header('accept'), [JSON_TYPE]) === undefined) return NOT_ACCEPTABLE;
    const hash = this.#hash(path);
    const wanted = call.query.get('hash');
    if (wanted !== null && wanted !== hash) {
      const location = `${V3}/${path}?hash=${hash}`;
      return { status: 301, headers: { location }, body: new Uint8Array() };
    }
    const packed = this.#packed.get(path) ?? (await packV3(path));
    this.#packed.set(path, packed);
    const headers: Record<string, string> =
      wanted === null
        ? {}
        : {
            'cache-control': 'public, immutable',
            expires: new Date(call.nowMs + 365 * 24 * 3600 * 1000).toUTCString(),
          };
    return await reply(call, packed, { hash, headers });
  }
}

const NOT_ACCEPTABLE: ApiResponse = {
  status: 406,
  headers: { vary: 'Accept' },
  body: new Uint8Array(),
};

async function packV3(path: string): Promise<Buffer> {
  const api = openApiV3(undefined, await readDescriptions());
  return await gzip(JSON.stringify(api.document(path)), { level: 6 });
}

async function packV2(): Promise<PackedV2> {
  const document = openApiV2(openApiV3(undefined, await readDescriptions()));
  const [json, protobuf] = await Promise.all([
    gzip(JSON.stringify(document), { level: 6 }),
    gzip(encodeOpenApiV2(document), { level: 6 }),
  ]);
  return { json, protobuf };
}

/** The packed document, unpacked for clients that do not, or 304 for those that have it. */
async function reply(call: Call, packed: Buffer, answer: Answer): Promise<ApiResponse> {
  const etag = `"${answer.hash}"`;
  const vary = 'Accept';
  if (call.header('if-none-match') === etag) {
    return { status: 304, headers: { etag, vary }, body: new Uint8Array() };
  }
  const headers: Record<string, string> = {
    ...answer.headers,
    etag,
    vary,
    'content-type': answer.contentType ?? JSON_TYPE,
  };
  if (!/\bgzip\b/.test(call.header('accept-encoding') ?? '')) {
    return { status: 200, headers, body: await gunzip(packed) };
  }
  return { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body: packed };
}
