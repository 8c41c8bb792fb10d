/**
 * A request and its response as the pipeline sees them, whatever transport they come over. Front
 * ends (HTTPS, MessagePort) make ApiRequests and write ApiResponses.
 *
 * A response body is bytes, several pieces of bytes, or a stream that pushes into a sink. Pieces
 * are shared between requests: nobody changes them.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { UserInfo } from './resource.ts';

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Who is at the other end, as far as the transport knows. */
export type Peer =
  /** A TLS connection, with the verified client certificate's identity if it presented one. */
  | { readonly kind: 'tls'; readonly user: UserInfo | undefined; readonly rejected: boolean }
  /** A channel inside this process, whose identity its maker fixed. */
  | { readonly kind: 'channel'; readonly user: UserInfo };

export interface ApiRequest {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Headers;
  readonly peer: Peer;
  readonly remoteAddress: string;
  /**
   * The whole body; throws ApiError 413 when it is above REQUEST_BODY_BYTES_MAX, and what `arrived`
   * throws, which is told the length of each piece.
   */
  readBody(arrived: (bytes: number) => void): Promise<Uint8Array>;
  /** The body as it arrives, for requests that are passed on. */
  streamBody(): AsyncIterable<Uint8Array>;
  /** Calls back when the client is gone, or has its whole answer. */
  onLeave(callback: () => void): void;
  /** Set when the client asked to switch protocols (WebSocket). */
  readonly upgrade?: UpgradeRequest | undefined;
}

/**
 * A connection that a handler may take over; it sets `taken`, and its response is then not written.
 */
export interface UpgradeRequest {
  readonly message: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  taken: boolean;
}

/** Where a streaming response goes. After onClose nothing is written any more. */
export interface BodySink {
  write(chunk: Uint8Array): void;
  /** Bytes handed to `write` that the peer has not taken yet. */
  readonly bufferedBytes: number;
  end(): void;
  /** Breaks the response off, so that the client does not take it as complete. */
  destroy(): void;
  onDrain(callback: () => void): void;
  onClose(callback: () => void): void;
}

export interface StreamBody {
  start(sink: BodySink): void;
}

export type ResponseBody = Uint8Array | readonly Uint8Array[] | StreamBody;

export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: ResponseBody;
}

export function isStream(body: ResponseBody): body is StreamBody {
  return 'start' in body;
}

/** One header's value; several are joined as RFC 9110 allows. */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
