/**
 * /openapi/v3: the index of documents and one document a group version, made and packed when first
 * asked for. Clients keep a document by the hash in its address. The hash stands for the build that
 * the document follows from, so the index costs nothing to make.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { readDescriptions } from '#control/schema/descriptions-file.ts';
import { type OpenApi, openApiIndex, openApiV3 } from '#control/schema/schema.ts';
import { notAcceptable } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import type { Call } from './call.ts';
import { notServed } from './router.ts';

const gzip = promisify(zlib.gzip);
const gunzip = promisify(zlib.gunzip);
const ROOT = '/openapi/v3';

export class OpenApiHandler {
  readonly #build: string;
  #api: Promise<OpenApi> | undefined;
  /** Packed documents: together a tenth of the plain ones. */
  readonly #packed = new Map<string, Promise<Buffer>>();

  /** `build` names the version of server and schema. */
  constructor(build: string) {
    this.#build = build;
  }

  /** undefined: the path is not below /openapi/v3. */
  handle(call: Call): Promise<ApiResponse> | undefined {
    const { path } = call.info;
    if (path === ROOT || path === `${ROOT}/`) return this.#index(call);
    return path.startsWith(`${ROOT}/`) ? this.#document(call) : undefined;
  }

  #hash(path: string): string {
    return createHash('sha512').update(`${this.#build} ${path}`).digest('hex').toUpperCase();
  }

  #open(): Promise<OpenApi> {
    this.#api ??= readDescriptions().then((texts) => openApiV3(undefined, texts));
    return this.#api;
  }

  async #index(call: Call): Promise<ApiResponse> {
    const index = openApiIndex(await this.#open(), (path) => this.#hash(path));
    const body = Buffer.from(JSON.stringify(index));
    return this.#reply(call, { body, etag: this.#hash(ROOT), headers: {} });
  }

  async #document(call: Call): Promise<ApiResponse> {
    const path = call.info.path.slice(ROOT.length + 1);
    const api = await this.#open();
    if (!api.paths.includes(path)) return notServed();
    requireJson(call);
    const etag = this.#hash(path);
    const wanted = call.query.get('hash');
    if (wanted !== null && wanted !== etag) {
      const location = `${ROOT}/${path}?hash=${etag}`;
      return { status: 301, headers: { location }, body: new Uint8Array() };
    }
    let packed = this.#packed.get(path);
    if (packed === undefined) {
      packed = gzip(JSON.stringify(api.document(path)), { level: 6 });
      this.#packed.set(path, packed);
    }
    const headers: Record<string, string> =
      wanted === null
        ? {}
        : {
            'cache-control': 'public, immutable',
            expires: new Date(call.nowMs + 365 * 24 * 3600 * 1000).toUTCString(),
          };
    const accepted = call.header('accept-encoding') ?? '';
    if (/\bgzip\b/.test(accepted)) {
      headers['content-encoding'] = 'gzip';
      return this.#reply(call, { body: await packed, etag, headers });
    }
    return this.#reply(call, { body: await gunzip(await packed), etag, headers });
  }

  #reply(
    call: Call,
    parts: { body: Uint8Array; etag: string; headers: Record<string, string> },
  ): ApiResponse {
    const etag = `"${parts.etag}"`;
    const headers = { ...parts.headers, etag, vary: 'Accept', 'content-type': 'application/json' };
    if (call.header('if-none-match') === etag) {
      return { status: 304, headers: { etag, vary: 'Accept' }, body: new Uint8Array() };
    }
    return { status: 200, headers, body: parts.body };
  }
}

function requireJson(call: Call): void {
  const accept = call.header('accept');
  if (accept === undefined || /\*\/\*|application\/(json|\*)/.test(accept)) return;
  throw notAcceptable(['application/json']);
}
