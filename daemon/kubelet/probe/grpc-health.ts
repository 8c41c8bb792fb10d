/**
 * One call of grpc.health.v1.Health/Check over HTTP/2 without TLS, which is all that a gRPC probe is:
 * request { string service = 1 }, response { enum status = 1 } with SERVING = 1, each message behind
 * a byte 0 and its length in four bytes, big endian.
 */
import { connect, constants } from 'node:http2';
import { HEALTH_ANSWER_BYTES_MAX } from '../limits.ts';

export interface HealthAnswer {
  /** gRPC status code; 0 = OK. */
  readonly code: number;
  readonly message: string;
  /** ServingStatus; 1 = SERVING. */
  readonly status: number;
}

const SERVING_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

export function servingName(status: number): string {
  return SERVING_NAMES[status] ?? String(status);
}

export function checkHealth(
  target: { readonly host: string; readonly port: number; readonly service: string },
  signal: AbortSignal,
): Promise<HealthAnswer> {
  return new Promise((resolve, reject) => {
    const host = target.host.includes(':') ? `[${target.host}]` : target.host;
    const session = connect(`http://${host}:${target.port}`);
    const fail = (error: Error) => {
      session.destroy();
      reject(error);
    };
    const onAbort = () =>
      fail(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    signal.addEventListener('abort', onAbort, { once: true });
    session.on('error', fail);
    session.on('close', () => signal.removeEventListener('abort', onAbort));
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      'user-agent': 'kube-probe/1.36',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let status: Record<string, unknown> = {};
    stream.on('response', (headers) => {
      status = headers;
    });
    stream.on('trailers', (trailers) => {
      status = trailers;
    });
    let byteCount = 0;
    stream.on('data', (chunk: Buffer) => {
      byteCount += chunk.length;
      if (byteCount <= HEALTH_ANSWER_BYTES_MAX) chunks.push(chunk);
      else fail(new Error(`answer of more than ${HEALTH_ANSWER_BYTES_MAX} bytes`));
    });
    stream.on('error', fail);
    stream.on('close', () => fail(new Error('stream closed before the answer'))); // Unless answered.
    stream.on('end', () => {
      session.close();
      const code = Number(status['grpc-status'] ?? 2);
      const text = status['grpc-message'];
      const message = typeof text === 'string' ? decodePercent(text) : '';
      resolve({ code, message, status: decodeStatus(Buffer.concat(chunks)) });
    });
    stream.end(encodeRequest(target.service));
  });
}

/** As written when it is not well-formed: the server is the pod's, it may send anything. */
function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return text;
  }
}

function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const body =
    name.length === 0
      ? name
      : Buffer.concat([Buffer.from([0x0a, ...encodeVarint(name.length)]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** A length as protobuf writes it: seven bits a byte, the lowest first. */
function encodeVarint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...encodeVarint(value >> 7)];
}

function decodeStatus(frame: Buffer): number {
  const body = frame.subarray(5);
  return body.length >= 2 && body[0] === 0x08 ? (body[1] ?? 0) : 0;
}
