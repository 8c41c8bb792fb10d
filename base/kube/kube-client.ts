/**
 * The KubeClient over any KubeTransport: builds paths, encodes JSON, turns failure answers into
 * KubeError, decodes watch streams. Holds no state of its own and retries nothing; who calls decides
 * whether a failed request is worth another try.
 */
import { WATCH_LINE_BYTES_MAX } from './limits.ts';
import type { Status } from './api/meta-v1.gen.ts';
import {
  type DeleteOptions,
  type Draft,
  type KubeClient,
  KubeError,
  type KubeObject,
  type KubeTransport,
  type ListOptions,
  type ListResult,
  type ObjectName,
  type PatchType,
  type RawRequest,
  type Resource,
  type TransportResponse,
  type WatchEvent,
  type WatchOptions,
} from './client.ts';

export interface KubeClientOptions {
  /** Sent as User-Agent: the server derives the default field manager from what precedes `/`. */
  readonly userAgent: string;
}

const PATCH_CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

export function createKubeClient(transport: KubeTransport, options: KubeClientOptions): KubeClient {
  return new TransportKubeClient(transport, options);
}

/** `/api/v1` or `/apis/GROUP/VERSION`. */
export function groupVersionPath(r: { group: string; version: string }): string {
  return r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`;
}

/** `v1` or `GROUP/VERSION`, as in an object's apiVersion. */
export function apiVersionOf(r: { group: string; version: string }): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`;
}

/** Path of a collection; with an empty namespace that of all namespaces. */
export function collectionPath<T extends KubeObject>(r: Resource<T>, namespace?: string): string {
  const base = groupVersionPath(r);
  if (!r.namespaced || namespace === undefined || namespace === '') return `${base}/${r.resource}`;
  return `${base}/namespaces/${encodeURIComponent(namespace)}/${r.resource}`;
}

export function objectPath<T extends KubeObject>(
  r: Resource<T>,
  at: ObjectName & { subresource?: string | undefined },
): string {
  const path = `${collectionPath(r, at.namespace)}/${encodeURIComponent(at.name)}`;
  return at.subresource === undefined ? path : `${path}/${at.subresource}`;
}

/** `?a=b&...` of the values that are set, or the empty string. */
export function formatQuery(
  values: Readonly<Record<string, string | number | boolean | undefined>>,
) {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) parts.push(`${key}=${encodeURIComponent(String(value))}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

function listQuery(options: ListOptions): Record<string, string | number | undefined> {
  return {
    labelSelector: options.labelSelector === '' ? undefined : options.labelSelector,
    fieldSelector: options.fieldSelector === '' ? undefined : options.fieldSelector,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
    limit: options.limit,
    continue: options.continue,
  };
}

class TransportKubeClient implements KubeClient {
  readonly #transport: KubeTransport;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #encoder = new TextEncoder();

  constructor(transport: KubeTransport, options: KubeClientOptions) {
    this.#transport = transport;
    this.#headers = { 'user-agent': options.userAgent, accept: 'application/json' };
  }

  async get<T extends KubeObject>(r: Resource<T>, at: ObjectName, signal: AbortSignal) {
    return (await this.#request('GET', objectPath(r, at), undefined, signal)) as T; // The server's type.
  }

  async list<T extends KubeObject>(r: Resource<T>, options: ListOptions, signal: AbortSignal) {
    const path = collectionPath(r, options.namespace) + formatQuery(listQuery(options));
    const answer = await this.#request('GET', path, undefined, signal);
    const list = answer as ListResult<T>; // The server's type.
    const apiVersion = apiVersionOf(r);
    const items = list.items ?? [];
    for (const item of items) {
      item.apiVersion ??= apiVersion;
      item.kind ??= r.kind;
    }
    return { metadata: list.metadata, items };
  }

  async create<T extends KubeObject>(r: Resource<T>, object: Draft<T>, signal: AbortSignal) {
    const path = collectionPath(r, object.metadata.namespace);
    return (await this.#request('POST', path, object, signal)) as T; // The server's type.
  }

  async update<T extends KubeObject>(r: Resource<T>, object: T, signal: AbortSignal) {
    return (await this.#request('PUT', objectPath(r, object.metadata), object, signal)) as T; // idem
  }

  async updateStatus<T extends KubeObject>(r: Resource<T>, object: T, signal: AbortSignal) {
    const { name, namespace } = object.metadata;
    const path = objectPath(r, { name, namespace, subresource: 'status' });
    return (await this.#request('PUT', path, object, signal)) as T; // The server's type.
  }

  async patch<T extends KubeObject>(
    r: Resource<T>,
    at: ObjectName & { readonly subresource?: string | undefined },
    patch: {
      readonly type: PatchType;
      readonly body: unknown;
      readonly fieldManager?: string;
      readonly force?: boolean;
    },
    signal: AbortSignal,
  ) {
    const query = formatQuery({ fieldManager: patch.fieldManager, force: patch.force });
    const contentType = PATCH_CONTENT_TYPES[patch.type];
    const path = objectPath(r, at) + query;
    return (await this.#request('PATCH', path, patch.body, signal, contentType)) as T; // idem
  }

  async delete<T extends KubeObject>(
    r: Resource<T>,
    at: ObjectName,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...options };
    await this.#request('DELETE', objectPath(r, at), body, signal);
  }

  createSubresource<T extends KubeObject>(
    r: Resource<T>,
    at: ObjectName & { readonly subresource: string },
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    return this.#request('POST', objectPath(r, at), body, signal);
  }

  async *watch<T extends KubeObject>(
    r: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const path =
      collectionPath(r, options.namespace) +
      formatQuery({
        ...listQuery(options),
        watch: true,
        allowWatchBookmarks: options.allowWatchBookmarks,
        sendInitialEvents: options.sendInitialEvents,
        timeoutSeconds: options.timeoutSeconds,
      });
    // Of its own: leaving the loop must end the request, the caller's signal staying as it is.
    const stop = new AbortController();
    const request = AbortSignal.any([signal, stop.signal]);
    try {
      const response = await this.#transport.send(
        { method: 'GET', path, headers: this.#headers },
        request,
      );
      if (response.status >= 400) throw await readError(response);
      for await (const line of splitLines(response.body)) {
        yield JSON.parse(line) as WatchEvent<T>; // The server's type.
      }
    } finally {
      stop.abort(new Error('watch left'));
    }
  }

  raw(request: RawRequest, signal: AbortSignal): Promise<unknown> {
    return this.#request(request.method, request.path, request.body, signal);
  }

  async #request(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal,
    contentType = 'application/json',
  ): Promise<unknown> {
    const response = await this.#transport.send(
      {
        method,
        path,
        headers:
          body === undefined ? this.#headers : { ...this.#headers, 'content-type': contentType },
        body: body === undefined ? undefined : this.#encoder.encode(JSON.stringify(body)),
      },
      signal,
    );
    if (response.status >= 400) throw await readError(response);
    const text = await readText(response.body);
    const isJson = (response.headers['content-type'] ?? '').includes('json');
    return text === '' || !isJson ? text : JSON.parse(text);
  }
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

/** The KubeError of a failure answer; an answer that is no Status (a proxy's page) makes one. */
async function readError(response: TransportResponse): Promise<KubeError> {
  const text = await readText(response.body);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined; // Not JSON: plain text such as "404 page not found".
  }
  if (isStatus(parsed)) return new KubeError({ ...parsed, code: parsed.code ?? response.status });
  return new KubeError({
    status: 'Failure',
    code: response.status,
    reason: REASON_OF_CODE[response.status] ?? 'Unknown',
    message: text.trim() === '' ? `status ${response.status}` : text.trim().slice(0, 2048),
  });
}

function isStatus(value: unknown): value is Status {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Status';
}

const REASON_OF_CODE: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  409: 'Conflict',
  410: 'Gone',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** Lines of a byte stream. Splitting bytes is safe: no UTF-8 sequence contains 0x0a. */
export async function* splitLines(body: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for await (const chunk of body) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      let line = chunk.subarray(start, end);
      if (pendingBytes > 0) {
        line = concat([...pending, line], pendingBytes + line.length);
        pending = [];
        pendingBytes = 0;
      }
      start = end + 1;
      if (line.length > 0) yield decoder.decode(line);
    }
    if (start < chunk.length) {
      pending.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > WATCH_LINE_BYTES_MAX) throw new Error('watch event too long');
    }
  }
  if (pendingBytes > 0) yield decoder.decode(concat(pending, pendingBytes));
}

function concat(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
