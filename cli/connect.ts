/**
 * Connections of the CLI to a machine. Servers are known by the machine CA, not by host name, so that
 * forwarded ports and changing addresses work; in maintenance, by the fingerprint that the console shows.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { type ClientConfig, parseClientConfig } from '#base/client-config.ts';
import { MESSAGE_BYTES_MAX, ProtocolError } from '#base/protocol/frames.ts';
import { openConnection, ProtocolClient } from '#base/protocol/protocol.ts';

const CONNECT_TIMEOUT_MS = 15_000;
export const DEFAULT_PORT = 50000;

/** What was asked for on the command line that decides where to connect. */
export interface ConnectOptions {
  readonly config?: string | undefined;
  readonly endpoint?: string | undefined;
}

/** The command line, or the files that it names, are wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** --config, BAREBOAT_CONFIG, ./bareboat.yaml, ~/.config/bareboat/config.yaml, in this order. */
export function readClientConfig(path: string | undefined): ClientConfig {
  const places = [
    path,
    process.env['BAREBOAT_CONFIG'],
    'bareboat.yaml',
    join(homedir(), '.config/bareboat/config.yaml'),
  ].filter((place) => place !== undefined && place !== '');
  const found = path ?? places.find((place) => existsSync(place ?? ''));
  if (found === undefined) {
    throw new UsageError(
      'no client configuration: give --config FILE, or make one with `bareboat init`',
    );
  }
  if (!existsSync(found)) throw new UsageError(`client configuration ${found} does not exist`);
  return parseClientConfig(readFileSync(found, 'utf8'));
}

/** node:tls, to which ws hands it on, takes an error or nothing; ws declares it otherwise. */
const anyHostName = (() => undefined) as unknown as () => boolean;

/** Connects as the user of the client configuration. Throws UNAVAILABLE or UNAUTHENTICATED. */
export async function connect(options: ConnectOptions): Promise<ProtocolClient> {
  const config = readClientConfig(options.config);
  const endpoints = options.endpoint === undefined ? config.endpoints : [options.endpoint];
  if (endpoints.length === 0) {
    throw new UsageError(
      'no endpoint: give --endpoint HOST:PORT, or name one in the client configuration',
    );
  }
  let failure: unknown;
  for (const endpoint of endpoints) {
    try {
      const socket = new WebSocket(urlOf(endpoint), {
        perMessageDeflate: false,
        maxPayload: MESSAGE_BYTES_MAX + 64,
        ca: config.ca,
        cert: config.certificate,
        key: config.key,
        checkServerIdentity: anyHostName,
      });
      return new ProtocolClient(
        await openConnection(socket, AbortSignal.timeout(CONNECT_TIMEOUT_MS)),
      );
    } catch (error) {
      failure = explain(error, endpoint);
    }
  }
  throw failure;
}

/**
 * Connects to a machine in maintenance mode, which has no certificate that anybody vouches for: its
 * SHA-256 must be `fingerprint`. Nothing is sent to a machine with another one.
 */
export async function connectInsecure(
  endpoint: string,
  fingerprint: string,
): Promise<ProtocolClient> {
  const wanted = normalizeFingerprint(fingerprint);
  const socket = new WebSocket(urlOf(endpoint), {
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX + 64,
    rejectUnauthorized: false,
  });
  const checked = new Promise<void>((resolve, reject) => {
    socket.once('upgrade', (response) => {
      const shown = normalizeFingerprint(peerFingerprint(response.socket as TLSSocket)); // wss:// only.
      if (shown === wanted) resolve();
      else {
        socket.terminate();
        reject(
          new ProtocolError(
            'UNAUTHENTICATED',
            `fingerprint of ${endpoint} is ${formatFingerprint(shown)}, expected ${formatFingerprint(wanted)}`,
          ),
        );
      }
    });
  });
  try {
    const opened = openConnection(socket, AbortSignal.timeout(CONNECT_TIMEOUT_MS));
    await Promise.race([checked, opened.then(() => checked)]);
    return new ProtocolClient(await opened);
  } catch (error) {
    throw explain(error, endpoint);
  }
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

function urlOf(endpoint: string): string {
  const host = /:\d+$/.test(endpoint) ? endpoint : `${endpoint}:${DEFAULT_PORT}`;
  return `wss://${host}/`;
}

function explain(error: unknown, endpoint: string): unknown {
  if (!(error instanceof ProtocolError) || error.code !== 'UNAVAILABLE') return error;
  return new ProtocolError('UNAVAILABLE', `cannot reach ${endpoint}: ${error.message}`, {
    cause: error,
  });
}
