/**
 * The HTTP requests of probes and lifecycle hooks: to the pod's address from the node, certificates
 * unchecked (the pod makes its own), bodies read up to a bound.
 */
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { HTTPGetAction, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { AnyContainer } from '../lifecycle/model.ts';
import { PROBE_OUTPUT_BYTES_MAX } from '../limits.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: string;
}

/** The number of a port given by number or by name; throws when the container has no such name. */
export function portNumber(
  port: string | number,
  owner: { readonly container: AnyContainer; readonly pod: Pod },
): number {
  const number = typeof port === 'number' ? port : /^\d+$/.test(port) ? Number(port) : undefined;
  if (number !== undefined) {
    if (number > 0 && number < 65_536) return number;
    throw new Error(`invalid port number: ${number}`);
  }
  const found = (owner.container.ports ?? []).find((p) => p.name === port);
  if (found === undefined) throw new Error(`couldn't find port: ${JSON.stringify(port)}`);
  return found.containerPort;
}

export interface HttpTarget {
  readonly container: AnyContainer;
  readonly pod: Pod;
  readonly podIP: string;
}

export function urlOf(action: HTTPGetAction, target: HttpTarget): URL {
  const scheme = (action.scheme ?? 'HTTP').toLowerCase();
  const host = action.host === undefined || action.host === '' ? target.podIP : action.host;
  const bracketed = host.includes(':') ? `[${host}]` : host;
  const port = portNumber(action.port, target);
  const path = action.path ?? '/';
  return new URL(`${scheme}://${bracketed}:${port}${path.startsWith('/') ? path : `/${path}`}`);
}

export function headersOf(action: HTTPGetAction, agent: string): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': agent, accept: '*/*' };
  for (const { name, value } of action.httpHeaders ?? []) {
    const key = name.toLowerCase();
    if (value === '') delete headers[key];
    else headers[key] = value;
  }
  return headers;
}

export function httpGet(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = { headers, signal, agent: false as const };
    const onAnswer = (answer: IncomingMessage) => collect(answer, resolve, reject);
    const sent =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...options, rejectUnauthorized: false }, onAnswer)
        : httpRequest(url, options, onAnswer);
    sent.on('error', reject);
    sent.end();
  });
}

function collect(
  answer: IncomingMessage,
  resolve: (answer: HttpAnswer) => void,
  reject: (error: Error) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const done = () => {
    const body = Buffer.concat(chunks).toString('utf8', 0, PROBE_OUTPUT_BYTES_MAX);
    resolve({ status: answer.statusCode ?? 0, location: answer.headers.location, body });
  };
  answer.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes < PROBE_OUTPUT_BYTES_MAX) return;
    done(); // The rest says nothing more; settling twice does nothing.
    answer.destroy();
  });
  answer.on('end', done);
  answer.on('error', reject);
}
