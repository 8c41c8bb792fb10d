/**
 * Connections of the CLI to a machine. Servers are known by the machine CA, not by host name, so that
 * forwarded ports and changing addresses work; in maintenance, by the fingerprint that the console shows.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import {
  type ClientContext,
  contextOf,
  type Endpoint,
  formatEndpoint,
  parseClientConfig,
  parseEndpoint,
} from '#base/client-config.ts';
import { isErrno } from '#base/errors.ts';
import { MESSAGE_BYTES_MAX, ProtocolError } from '#base/protocol/frames.ts';
import { openConnection, ProtocolClient } from '#base/protocol/protocol.ts';
import { parseInput, UsageError } from './files.ts';

const CONNECT_TIMEOUT_MS = 15_000;
/** A machine pings idle connections (daemon/gateway/limits.ts); one that is silent this long is gone. */
const SILENCE_MS_MAX = 60_000;

/** What was asked for on the command line that decides where to connect. */
export interface ConnectOptions {
  readonly config?: string | undefined;
  readonly context?: string | undefined;
  readonly endpoint?: string | undefined;
}

/** --config, or BAREBOAT_CONFIG: the file that was asked for, or undefined. */
function namedClientConfig(path: string | undefined): string | undefined {
  const variable = process.env['BAREBOAT_CONFIG'] ?? '';
  return path ?? (variable === '' ? undefined : variable);
}

/** The user's own client configuration, whether it exists or not. */
export function ownClientConfigPath(path: string | undefined): string {
  return namedClientConfig(path) ?? join(homedir(), '.config/bareboat/config.yaml');
}

/** The file asked for, ./bareboat.yaml or the user's own, in this order. Throws UsageError when none exists. */
export function clientConfigPath(path: string | undefined): string {
  const named = namedClientConfig(path);
  if (named !== undefined && !existsSync(named))
    throw new UsageError(`client configuration ${named} does not exist`);
  const found = [named ?? 'bareboat.yaml', ownClientConfigPath(path)].find((place) =>
    existsSync(place),
  );
  if (found !== undefined) return found;
  throw new UsageError(
    'no client configuration: give --config FILE, or make one with `bareboat init`',
  );
}

/** The context that was asked for, or the current one. */
function readContext(options: ConnectOptions): ClientContext {
  const path = clientConfigPath(options.config);
  return parseInput(path, (text) => contextOf(parseClientConfig(text), options.context));
}

/** node:tls, to which ws hands it on, takes an error or nothing; ws declares it otherwise. */
const anyHostName = (() => undefined) as unknown as () => boolean;

/** Connects as the user of the client configuration. Throws UNAVAILABLE or UNAUTHENTICATED. */
export async function connect(options: ConnectOptions): Promise<ProtocolClient> {
  const { ca, certificate, key, endpoints } = readContext(options);
  const wanted = options.endpoint === undefined ? endpoints : [options.endpoint];
  if (wanted.length === 0) {
    throw new UsageError(
      'no endpoint: give --endpoint HOST:PORT, or set one with `bareboat config endpoint`',
    );
  }
  const failures: ProtocolError[] = [];
  for (const text of wanted) {
    const endpoint = requireEndpoint(text);
    try {
      const tls = { ca, cert: certificate, key, checkServerIdentity: anyHostName };
      const socket = open(endpoint, tls);
      const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
      return new ProtocolClient(await openConnection(socket, timeout));
    } catch (error) {
      failures.push(explain(error, endpoint));
    }
  }
  const code = failures[0]?.code ?? 'UNAVAILABLE';
  throw new ProtocolError(code, failures.map((failure) => failure.message).join('; '));
}

/**
 * Connects to a machine in maintenance mode, which has no certificate that anybody vouches for: its
 * SHA-256 must be `fingerprint`. Nothing is sent to a machine with another one.
 */
export async function connectInsecure(
  endpointText: string,
  fingerprint: string,
): Promise<ProtocolClient> {
  const endpoint = requireEndpoint(endpointText);
  const wanted = normalizeFingerprint(fingerprint);
  const socket = open(endpoint, { rejectUnauthorized: false });
  const checked = new Promise<void>((resolve, reject) => {
    socket.once('upgrade', (response) => {
      const shown = normalizeFingerprint(peerFingerprint(response.socket as TLSSocket)); // wss:// only.
      if (shown === wanted) resolve();
      else {
        socket.terminate();
        reject(
          new ProtocolError(
            'UNAUTHENTICATED',
            `fingerprint of ${endpointText} is ${formatFingerprint(shown)}, expected ${formatFingerprint(wanted)}`,
          ),
        );
      }
    });
  });
  const opened = openConnection(socket, AbortSignal.timeout(CONNECT_TIMEOUT_MS)).catch(
    (error: unknown) => {
      throw explain(error, endpoint);
    },
  );
  await Promise.race([checked, opened.then(() => checked)]);
  return new ProtocolClient(await opened);
}

function open(endpoint: Endpoint, tls: object): WebSocket {
  const socket = new WebSocket(`wss://${formatEndpoint(endpoint)}/`, {
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX + 64,
    ...tls,
  });
  let timer: NodeJS.Timeout | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const silence = `${formatEndpoint(endpoint)} is silent for ${SILENCE_MS_MAX / 1000} s`;
      socket.emit('error', new Error(silence));
      socket.terminate();
    }, SILENCE_MS_MAX);
  };
  socket.on('open', heard);
  socket.on('ping', heard);
  socket.on('message', heard);
  socket.once('close', () => clearTimeout(timer));
  return socket;
}

function peerFingerprint(socket: TLSSocket): string {
  const { raw } = socket.getPeerCertificate();
  return new X509Certificate(raw).fingerprint256;
}

function normalizeFingerprint(text: string): string {
  const hex = text.replaceAll(/[:\s]/g, '').toUpperCase();
  if (!/^[0-9A-F]{64}$/.test(hex))
    throw new UsageError(`fingerprint ${text}: expected SHA-256 as AB:CD:...`);
  return hex;
}

function formatFingerprint(hex: string): string {
  return hex.replace(/(..)(?!$)/g, '$1:');
}

function requireEndpoint(text: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (endpoint !== undefined) return endpoint;
  throw new UsageError(`endpoint ${text}: expected HOST, HOST:PORT or [IPv6]:PORT`);
}

/** What node:tls says of a server that shows a certificate of another authority. */
const FOREIGN_CERTIFICATE = new Set([
  'CERT_SIGNATURE_FAILURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Names the machine, and says what an error of TLS means. */
function explain(error: unknown, endpoint: Endpoint): ProtocolError {
  const at = formatEndpoint(endpoint);
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    const text = `cannot reach ${at}: no answer within ${CONNECT_TIMEOUT_MS / 1000} s`;
    return new ProtocolError('UNAVAILABLE', text, { cause: error });
  }
  if (!(error instanceof ProtocolError)) throw error;
  if (error.code === 'UNAUTHENTICATED')
    return new ProtocolError(error.code, `${at} refuses: ${error.message}`, { cause: error });
  if (error.code !== 'UNAVAILABLE') return error;
  if (isErrno(error.cause) && FOREIGN_CERTIFICATE.has(error.cause.code)) {
    const text = `${at} shows a certificate of another machine CA; in maintenance mode it needs --insecure`;
    return new ProtocolError('UNAUTHENTICATED', text, { cause: error });
  }
  return new ProtocolError('UNAVAILABLE', `cannot reach ${at}: ${error.message}`, { cause: error });
}
