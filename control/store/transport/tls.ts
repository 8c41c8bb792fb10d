/**
 * Who is at the other end of a TLS connection: the hash of the public key that its handshake proved.
 * Members and clients are known by their keys alone; a certificate only carries one, so an expired one,
 * or one from a clock that is wrong, opens the same doors (reference/store.md section 8, rule 14).
 */
import { X509Certificate, createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** 64 hex digits: SHA-256 of the public key, as in a certificate (SubjectPublicKeyInfo). */
export function keyOfCertificate(certificate: X509Certificate | string): string {
  const parsed = new X509Certificate(certificate.toString());
  const spki = parsed.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}

export interface Proved {
  readonly key: string;
  /** Its certificate is not valid now: an alarm, no refusal. */
  readonly isStale: boolean;
}

/** Undefined when the other end showed no certificate. */
export function provedBy(socket: Socket, nowMs: number): Proved | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const { validFromDate, validToDate } = certificate;
  const isStale = nowMs < validFromDate.getTime() || nowMs > validToDate.getTime();
  return { key: keyOfCertificate(certificate), isStale };
}

export interface Credentials {
  /** PEM. */
  readonly privateKey: string;
  readonly certificate: string;
}

/**
 * The mask of a client's WebSocket frames keeps scripts of browsers from forging what proxies take for
 * requests (RFC 6455, 10.3). Nobody is in the middle of a connection between proved keys: a mask of zeros
 * leaves the bytes as they are, which neither side then has to go through.
 */
export function noMask(mask: Uint8Array): void {
  mask.fill(0);
}

/** Both ends prove their keys; whose they are is decided by who knows them, not by an authority. */
export function tlsOptions({ privateKey, certificate }: Credentials) {
  const cert = certificate;
  return { key: privateKey, cert, rejectUnauthorized: false, minVersion: 'TLSv1.3' } as const;
}
