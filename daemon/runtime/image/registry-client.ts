/**
 * One registry endpoint for one pull: requests of the OCI distribution specification v1.1, with the
 * token or password that the registry asks for. Redirects are followed by fetch, which drops the
 * Authorization header where another origin takes over (blobs on object stores).
 */
import { errorText } from '#base/errors.ts';
import { DOCUMENT_BYTES_MAX, REGISTRY_IDLE_MS_MAX } from '../limits.ts';
import { type RegistryAuth, RuntimeError, type RuntimeErrorCode } from '../port.ts';
import { MANIFEST_TYPES, parseJson } from './manifest.ts';
import {
  basicAuthorization,
  mayHaveCredentials,
  parseChallenge,
  tokenUrl,
} from './registry-auth.ts';

export interface Endpoint {
  /** `https://registry-1.docker.io` */
  readonly baseUrl: string;
  /** `library/busybox` */
  readonly repository: string;
  readonly auth: RegistryAuth | undefined;
}

export class RegistryClient {
  readonly #endpoint: Endpoint;
  #authorization: string | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** A manifest by tag or digest, bounded in size. */
  async manifest(reference: string, signal: AbortSignal): Promise<Buffer> {
    const accept = MANIFEST_TYPES.join(', ');
    using response = await this.#get(`manifests/${reference}`, { accept }, signal);
    return await readBounded(response);
  }

  /** A small blob: an image config. */
  async document(digest: string, signal: AbortSignal): Promise<Buffer> {
    using response = await this.#get(`blobs/${digest}`, {}, signal);
    return await readBounded(response);
  }

  /** Bytes of a blob from `offset` on; `from` says where they really begin (0: no ranges here). */
  async blob(
    digest: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<{ from: number; bytes: AsyncIterable<Uint8Array> } & Disposable> {
    const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const response = await this.#get(`blobs/${digest}`, headers, signal);
    return {
      from: response.status === 206 ? offset : 0,
      bytes: response.bytes,
      [Symbol.dispose]: () => response[Symbol.dispose](),
    };
  }

  async #get(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<IdleResponse> {
    const url = `${this.#endpoint.baseUrl}/v2/${this.#endpoint.repository}/${path}`;
    for (let attempt = 0; ; attempt++) {
      const authorization: Record<string, string> =
        this.#authorization === undefined ? {} : { authorization: this.#authorization };
      const response = await request(url, { ...headers, ...authorization }, signal);
      if (response.ok) return response;
      using _ = response;
      if (response.status === 401 && attempt === 0) {
        await this.#authorize(response.header('www-authenticate'), signal);
        continue;
      }
      throw statusError(response.status, url);
    }
  }

  async #authorize(header: string | null, signal: AbortSignal): Promise<void> {
    const { auth, repository, baseUrl } = this.#endpoint;
    const challenge = parseChallenge(header);
    const basic = auth === undefined ? undefined : basicAuthorization(auth);
    if (challenge?.scheme === 'basic' && basic !== undefined) {
      this.#authorization = basic;
      return;
    }
    if (challenge?.scheme !== 'bearer') {
      throw new RuntimeError('IMAGE_AUTH', `${baseUrl} wants credentials for ${repository}`);
    }
    if (!URL.canParse(challenge.realm)) {
      throw new RuntimeError('IMAGE_AUTH', `${baseUrl} names no token server: ${challenge.realm}`);
    }
    const tokenServer = tokenUrl(challenge, repository);
    const url = tokenServer.href;
    if (basic !== undefined && !mayHaveCredentials(tokenServer, baseUrl)) {
      const why = 'whose token server would have them in the clear';
      throw new RuntimeError('IMAGE_AUTH', `no credentials for ${baseUrl}, ${why}: ${url}`);
    }
    const headers: Record<string, string> = basic === undefined ? {} : { authorization: basic };
    using response = await request(url, headers, signal);
    if (!response.ok) throw statusError(response.status, url);
    const body = parseJson(await readBounded(response), `answer of ${url}`) ?? {};
    const { token, access_token: accessToken } = body as { token?: string; access_token?: string }; // Spec.
    const value = token ?? accessToken;
    if (typeof value !== 'string') throw new RuntimeError('IMAGE_AUTH', `${url} gave no token`);
    this.#authorization = `Bearer ${value}`;
  }
}

function statusError(status: number, url: string): RuntimeError {
  const codes: Readonly<Record<number, RuntimeErrorCode>> = {
    401: 'IMAGE_AUTH',
    403: 'IMAGE_AUTH',
    404: 'IMAGE_NOT_FOUND',
  };
  return new RuntimeError(codes[status] ?? 'IMAGE_UNAVAILABLE', `${url} answered ${status}`);
}

/** A response whose connection is given up when no bytes come for REGISTRY_IDLE_MS_MAX. */
interface IdleResponse extends Disposable {
  readonly ok: boolean;
  readonly status: number;
  readonly bytes: AsyncIterable<Uint8Array>;
  header(name: string): string | null;
}

async function request(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IdleResponse> {
  signal.throwIfAborted();
  const idle = new AbortController();
  const silent = () => idle.abort(new Error(`no answer within ${REGISTRY_IDLE_MS_MAX} ms`));
  const timer = setTimeout(silent, REGISTRY_IDLE_MS_MAX);
  const onAbort = () => idle.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const release = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  };
  const failed = (error: unknown): unknown => {
    if (signal.aborted) return signal.reason;
    return new RuntimeError('IMAGE_UNAVAILABLE', `cannot fetch ${url}: ${errorText(error)}`);
  };
  try {
    const response = await fetch(url, { headers, signal: idle.signal });
    const { body } = response;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      if (body === null) return;
      try {
        for await (const chunk of body) {
          timer.refresh();
          yield chunk;
        }
      } catch (error) {
        throw failed(error);
      }
    }
    return {
      ok: response.ok,
      status: response.status,
      bytes: bytes(),
      header: (name) => response.headers.get(name),
      [Symbol.dispose]() {
        release();
        idle.abort(); // Lets go of a body that was not read to its end.
      },
    };
  } catch (error) {
    release();
    throw failed(error);
  }
}

async function readBounded(response: IdleResponse): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.bytes) {
    length += chunk.length;
    if (length > DOCUMENT_BYTES_MAX) {
      throw new RuntimeError('IMAGE_INVALID', 'registry sent a document that is too large');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
