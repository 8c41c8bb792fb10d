/**
 * Certificate requests (PKCS #10): what they ask for, and certificates for them from an authority of
 * ours. Subject, public key and the names of the request are taken over (subjectOf); everything else is decided
 * here. Callers: admission and the certificate controllers. Source of the rules: kubernetes
 * pkg/controller/certificates/authority.
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { authorityKey, type KeyPair, serialNumber } from './pki.ts';

/** What a request says of itself. */
export interface RequestFacts {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

export interface SigningOptions {
  /** Names of certificates.k8s.io/v1 KeyUsage. */
  readonly usages: readonly string[];
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

const BLOCK = /^[^]*?-----BEGIN ([^-]+)-----\s([^]*?)-----END \1-----/;
const KIND = 'CERTIFICATE REQUEST';
/** Must be less than the shortest life that can be asked for. */
const REQUEST_BACKDATE_MS = 5 * 60_000;
/** Certificates of less are not shortened by the time they are back-dated. */
const SHORT_MS = 8 * 3_600_000;

const PRINTABLE = /^[A-Za-z0-9 '()+,./:=?-]*$/;
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const KNOWN_NAMES: readonly string[] = ['dns', 'ip', 'email', 'url'];

const { KeyUsageFlags } = x509;
const KEY_USAGES: Readonly<Record<string, number>> = {
  signing: KeyUsageFlags.digitalSignature,
  'digital signature': KeyUsageFlags.digitalSignature,
  'content commitment': KeyUsageFlags.nonRepudiation,
  'key encipherment': KeyUsageFlags.keyEncipherment,
  'key agreement': KeyUsageFlags.keyAgreement,
  'data encipherment': KeyUsageFlags.dataEncipherment,
  'cert sign': KeyUsageFlags.keyCertSign,
  'crl sign': KeyUsageFlags.cRLSign,
  'encipher only': KeyUsageFlags.encipherOnly,
  'decipher only': KeyUsageFlags.decipherOnly,
};
const EXTENDED_USAGES: Readonly<Record<string, string>> = {
  any: '2.5.29.37.0',
  'server auth': '1.3.6.1.5.5.7.3.1',
  'client auth': '1.3.6.1.5.5.7.3.2',
  'code signing': '1.3.6.1.5.5.7.3.3',
  'email protection': '1.3.6.1.5.5.7.3.4',
  's/mime': '1.3.6.1.5.5.7.3.4',
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: '1.3.6.1.5.5.7.3.8',
  'ocsp signing': '1.3.6.1.5.5.7.3.9',
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3',
  'netscape sgc': '2.16.840.1.113730.4.1',
};

/** The request of a PEM text. Throws an Error that says what is wrong. */
function parse(pem: string): x509.Pkcs10CertificateRequest {
  const [, kind, body = ''] = BLOCK.exec(pem) ?? [];
  if (kind !== KIND) throw new Error(`PEM block type must be ${KIND}`);
  return new x509.Pkcs10CertificateRequest(Buffer.from(body, 'base64'));
}

/** Throws an Error for what is no request. */
export function parseSigningRequest(pem: string): RequestFacts {
  const request = parse(pem);
  const subject = request.subjectName;
  const names = namesOf(request);
  const of = (type: x509.JsonGeneralName['type']) =>
    names.filter((name) => name.type === type).map(({ value }) => value);
  return {
    commonName: subject.getField('CN').at(-1) ?? '',
    organizations: subject.getField('O'),
    dnsNames: of('dns'),
    ips: of('ip'),
    emails: of('email'),
    uris: of('url'),
  };
}

/**
 * The subject anew, from the texts that were looked at: with one common name, the last (which is what
 * servers go by), and with values that say their type. As plain strings the library would read `#0c...`
 * and quotes among them as notation, and sign for a name that nobody has seen.
 */
function subjectOf(request: x509.Pkcs10CertificateRequest): x509.JsonNameParams {
  const { subjectName } = request;
  const attribute = (field: string, value: string) => ({
    [field]: [PRINTABLE.test(value) ? { printableString: value } : { utf8String: value }],
  });
  const fields = ['C', 'O', 'OU', 'L', 'ST'].flatMap((field) =>
    subjectName.getField(field).map((value) => attribute(field, value)),
  );
  const commonName = subjectName.getField('CN').slice(-1);
  return [...fields, ...commonName.map((value) => attribute('CN', value))];
}

function namesOf(request: x509.Pkcs10CertificateRequest): x509.JsonGeneralNames {
  const extension = request.getExtension(SUBJECT_ALTERNATIVE_NAME);
  if (extension === null) return [];
  const { names } = new x509.SubjectAlternativeNameExtension(extension.rawData);
  return names.toJSON().filter(({ type }) => KNOWN_NAMES.includes(type));
}

/**
 * The PEM of a certificate. Throws an Error for a request that its key did not sign, a usage without a
 * name, and an authority that has expired.
 */
export async function signRequest(
  ca: KeyPair,
  pem: string,
  { usages, nowMs, lifetimeMs }: SigningOptions,
): Promise<string> {
  const request = parse(pem);
  if (!(await request.verify())) throw new Error('the signature of the request does not hold');
  const unknown = usages.filter((u) => !(u in KEY_USAGES) && !(u in EXTENDED_USAGES));
  if (unknown.length > 0) throw new Error(`unrecognized usage values: ${unknown.join(', ')}`);
  const issuer = new x509.X509Certificate(ca.certificate);
  const endMs = issuer.notAfter.getTime();
  if (nowMs >= endMs) throw new Error(`the signer has expired: ${issuer.notAfter.toISOString()}`);
  const wantedMs = nowMs + lifetimeMs - (lifetimeMs < SHORT_MS ? 0 : REQUEST_BACKDATE_MS);
  const flags = usages.reduce((sum, usage) => sum | (KEY_USAGES[usage] ?? 0), 0);
  const extended = [...new Set(usages.map((usage) => EXTENDED_USAGES[usage]))]
    .filter((oid) => oid !== undefined)
    .sort();
  const names = namesOf(request);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: new x509.Name(subjectOf(request)),
    issuer: issuer.subject,
    notBefore: new Date(nowMs - REQUEST_BACKDATE_MS),
    notAfter: new Date(Math.min(wantedMs, endMs)),
    publicKey: request.publicKey,
    ...(await authorityKey(ca)),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      ...(flags === 0 ? [] : [new x509.KeyUsagesExtension(flags, true)]),
      ...(extended.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension(extended)]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/** When a PEM certificate ends, in ms since the epoch; undefined for what is none. */
export function expiresAtMs(pem: string): number | undefined {
  try {
    return new x509.X509Certificate(pem).notAfter.getTime();
  } catch {
    return undefined; // Signers of others write what they like.
  }
}
