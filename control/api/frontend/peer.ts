/** The identity that a TLS connection proves: the subject of a verified client certificate. */
import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Peer } from '../exchange.ts';

/** Reads the certificate; costs a parse, so callers keep the result for the connection. */
export function peerOf(socket: TLSSocket): Peer {
  const certificate = socket.getPeerCertificate();
  // Node types the absence of a certificate as an empty object.
  if (certificate === null || Object.keys(certificate).length === 0) {
    return { kind: 'tls', user: undefined, rejected: false };
  }
  if (!socket.authorized) return { kind: 'tls', user: undefined, rejected: true };
  // Node gives attributes that occur several times as arrays, whatever its types say.
  const subject = certificate.subject as unknown as Record<string, string | string[] | undefined>;
  // The last of several, as Go reads them: whoever signs looks at the same.
  const name = listOf(subject['CN']).at(-1) ?? '';
  if (name === '') return { kind: 'tls', user: undefined, rejected: true };
  return {
    kind: 'tls',
    rejected: false,
    user: { name, uid: '', groups: listOf(subject['O']), extra: credentialId(certificate.raw) },
  };
}

/** Tells certificates of one name apart, in audit and reviews. */
function credentialId(der: Buffer): Record<string, string[]> {
  const fingerprint = createHash('sha256').update(der).digest('hex');
  return { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] };
}

function listOf(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
