/**
 * /openapi/v3: the index and one document a group version. Documents are made when first asked for,
 * one at a time, and kept compressed; their hash is part of the URL that the index gives, so that
 * clients keep them for good (kube-openapi handler3).
 */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { type Descriptions, openApiIndex, openApiV3 } from '#control/schema/schema.ts';
import type { ApiResponse } from '../exchange.ts';
import type { Call } from './call.ts';
import { replyText } from './reply.ts';
import { notServed } from './router.ts';

const ROOT = '/openapi/v3';
const YEAR_MS = 365 * 24 * 3600 * 1000;
const JSON_TYPE = 'application/json';

interface Document {
  readonly hash: string;
  readonly gzipped: Buffer;
}

interface Published {
  readonly index: Buffer;
  readonly documents: ReadonlyMap<string, Document>;
}

const sha512 = (text: string): string =>
  createHash('sha512').update(text).digest('hex').toUpperCase();

/** Whether any clause of an Accept header takes JSON; absent = anything. */
function acceptsJson(accept: string | undefined): boolean {
  if (accept === undefined) return true;
  return accept
    .split(',')
    .map((clause) => (clause.split(';')[0] ?? '').trim())
    .some((type) => type === JSON_TYPE || type === '*/*' || type === 'application/*');
}

export class OpenApiHandler {
  readonly #readDescriptions: () => Promise<Descriptions>;
  #published: Promise<Published> | undefined;

  constructor(readDescriptions: () => Promise<Descriptions>) {
    this.#readDescriptions = readDescriptions;
  }

  /** undefined: the path is no OpenAPI document. */
  handle(call: Call): Promise<ApiResponse> | undefined {
    const path = call.info.path.replace(/\/$/, '');
    if (path !== ROOT && !path.startsWith(`${ROOT}/`)) return undefined;
    return this.#reply(call, path.slice(ROOT.length + 1));
  }

  async #reply(call: Call, name: string): Promise<ApiResponse> {
    if (!acceptsJson(call.header('accept'))) return replyText(406, '');
    const { index, documents } = await this.#publish();
    const headers = { 'content-type': JSON_TYPE, vary: 'Accept' };
    if (name === '') return { status: 200, headers, body: index };
    const document = documents.get(name);
    if (document === undefined) return notServed();
    const asked = call.query.get('hash') ?? '';
    if (asked !== '' && asked !== document.hash) {
      const location = `${ROOT}/${name}?hash=${document.hash}`;
      return { status: 301, headers: { location }, body: Buffer.alloc(0) };
    }
    const etag = `"${document.hash}"`;
    const expires = new Date(call.nowMs + YEAR_MS).toUTCString();
    const cached = { 'cache-control': 'public, immutable', expires };
    const own = { ...headers, etag, ...(asked === '' ? {} : cached) };
    if (call.header('if-none-match') === etag) {
      return { status: 304, headers: own, body: Buffer.alloc(0) };
    }
    if ((call.header('accept-encoding') ?? '').includes('gzip')) {
      const body = document.gzipped;
      return { status: 200, headers: { ...own, 'content-encoding': 'gzip' }, body };
    }
    return { status: 200, headers: own, body: await promisify(gunzip)(document.gzipped) };
  }

  #publish(): Promise<Published> {
    this.#published ??= this.#make();
    return this.#published;
  }

  async #make(): Promise<Published> {
    const openApi = openApiV3(undefined, await this.#readDescriptions());
    const documents = new Map<string, Document>();
    for (const path of openApi.paths) {
      const text = JSON.stringify(openApi.document(path));
      documents.set(path, { hash: sha512(text), gzipped: await promisify(gzip)(text) });
      await setImmediate(); // Some ten milliseconds each: other requests go between.
    }
    const index = openApiIndex(openApi, (path) => documents.get(path)?.hash ?? '');
    return { index: Buffer.from(JSON.stringify(index)), documents };
  }
}
