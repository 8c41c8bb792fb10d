/**
 * Issues the cluster's keys and certificates: ECDSA P-256, X.509 v3. Pure apart from the key
 * generator and the clock that callers hand in as a number. Callers: the supervisor on the OS, the
 * launcher of `make dev`, `bareboat init`, and tests. Subjects are upstream's, because RBAC reads
 * user and groups from them (CN = user, O = groups).
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as unknown as Crypto); // Same interface, other declaration.

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Certificates are back-dated, so that a node whose clock is behind can use them. */
export const BACKDATE_MS = 60 * 60 * 1000;

/** PEM texts. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Subject {
  readonly commonName: string;
  readonly organizations?: readonly string[] | undefined;
}

export interface LeafRequest {
  readonly subject: Subject;
  /** DNS names and IP addresses that a server certificate stands for. */
  readonly dnsNames?: readonly string[] | undefined;
  readonly ips?: readonly string[] | undefined;
  readonly usages: readonly ('client' | 'server')[];
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

/** A self-signed certificate authority. */
export async function createCa(options: {
  commonName: string;
  nowMs: number;
  lifetimeMs: number;
}): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: formatName({ commonName: options.commonName }),
    notBefore: new Date(options.nowMs - BACKDATE_MS),
    notAfter: new Date(options.nowMs + options.lifetimeMs),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign |
          x509.KeyUsageFlags.cRLSign |
          x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: await privateKeyPem(keys.privateKey),
  };
}

/** A certificate for `request`, signed by `ca`, with a fresh key. */
export async function issueLeaf(ca: KeyPair, request: LeafRequest): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(ca.certificate);
  const signingKey = await importPrivateKey(ca.key);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const names: x509.JsonGeneralNames = [
    ...(request.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(request.ips ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  const usages = request.usages.map((usage) =>
    usage === 'client' ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth,
  );
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: formatName(request.subject),
    issuer: issuer.subject,
    notBefore: new Date(request.nowMs - BACKDATE_MS),
    notAfter: new Date(Math.min(request.nowMs + request.lifetimeMs, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: await privateKeyPem(keys.privateKey),
  };
}

/** An ECDSA P-256 key pair that signs service-account tokens (ES256): PEM of both halves. */
export async function createSigningKey(): Promise<{ privateKey: string; publicKey: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const spki = await webcrypto.subtle.exportKey('spki', keys.publicKey);
  return { privateKey: await privateKeyPem(keys.privateKey), publicKey: pem('PUBLIC KEY', spki) };
}

/** SHA-256 over the DER of a PEM certificate, as `AB:CD:...`: what people compare on a console. */
export async function fingerprint(certificate: string): Promise<string> {
  const hash = await webcrypto.subtle.digest(
    'SHA-256',
    new x509.X509Certificate(certificate).rawData,
  );
  return Buffer.from(hash)
    .toString('hex')
    .toUpperCase()
    .replace(/(..)(?!$)/g, '$1:');
}

/** When a certificate is due for renewal: at two thirds of its life, in ms since the epoch. */
export function renewAtMs(certificate: string): number {
  const { notBefore, notAfter } = new x509.X509Certificate(certificate);
  return notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3;
}

/** When a certificate of this file was made, in ms since the epoch: the clock was at least there. */
export function issuedAtMs(certificate: string): number {
  return new x509.X509Certificate(certificate).notBefore.getTime() + BACKDATE_MS;
}

/** RFC 5280 section 4.1.2.2: positive, at most 20 octets, unique by chance. */
export function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

function formatName(subject: Subject): x509.JsonName {
  return [
    ...(subject.organizations ?? []).map((value) => ({ O: [value] })),
    { CN: [subject.commonName] },
  ];
}

/** What signs in the name of `ca`. */
export async function authorityKey(
  ca: KeyPair,
): Promise<{ signingKey: CryptoKey; signingAlgorithm: typeof ALGORITHM }> {
  return { signingKey: await importPrivateKey(ca.key), signingAlgorithm: ALGORITHM };
}

async function importPrivateKey(key: string): Promise<CryptoKey> {
  const der = Buffer.from(key.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']) as Promise<CryptoKey>; // Same type, two declarations.
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', key));
}

function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
