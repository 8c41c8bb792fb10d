/** Requests made with openssl's ways in mind: what is read from them, and what is signed. */
import { X509Certificate as NodeCertificate, webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import t from 'tap';
import { createCa } from './pki.ts';
import { expiresAtMs, parseSigningRequest, signRequest } from './signing-request.ts';

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const NOW_MS = Date.now();
const YEAR_MS = 365 * 24 * 3_600_000;

const ALICE: x509.JsonNameParams = [{ O: ['devs'] }, { O: ['ops'] }, { CN: ['alice'] }];

async function requestOf(
  algorithm: typeof EC | typeof RSA,
  names: x509.JsonGeneralNames = [],
  name = ALICE,
) {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name(name),
    keys: keys as never, // A pair; two declarations of one type.
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  return `a line before\n${request.toString('pem')}\n`;
}

t.test('parseSigningRequest() reads subject and names', async (t) => {
  const pem = await requestOf(RSA, [
    { type: 'dns', value: 'n1' },
    { type: 'ip', value: '10.0.0.1' },
    { type: 'email', value: 'a@b' },
    { type: 'url', value: 'spiffe://x/y' },
  ]);
  t.same(parseSigningRequest(pem), {
    commonName: 'alice',
    organizations: ['devs', 'ops'],
    dnsNames: ['n1'],
    ips: ['10.0.0.1'],
    emails: ['a@b'],
    uris: ['spiffe://x/y'],
  });
  t.throws(() => parseSigningRequest('nothing'), /PEM block type must be CERTIFICATE REQUEST/);
  const garbage = '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----';
  t.throws(() => parseSigningRequest(garbage));
});

t.test('signRequest() decides all but subject, key and names', async (t) => {
  const ca = await createCa({ commonName: 'ca', nowMs: NOW_MS, lifetimeMs: 2 * YEAR_MS });
  const options = {
    usages: ['digital signature', 'client auth'],
    nowMs: NOW_MS,
    lifetimeMs: YEAR_MS,
  };
  for (const algorithm of [EC, RSA]) {
    const pem = await requestOf(algorithm, [{ type: 'dns', value: 'n1' }]);
    const certificate = new NodeCertificate(await signRequest(ca, pem, options));
    const authority = new NodeCertificate(ca.certificate);
    t.ok(certificate.verify(authority.publicKey), algorithm.name);
    t.ok(certificate.checkIssued(authority));
    t.equal(certificate.subject, 'O=devs\nO=ops\nCN=alice');
    t.equal(certificate.ca, false, 'whatever the request asked for');
    t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    t.equal(certificate.subjectAltName, 'DNS:n1');
  }
  const pem = await requestOf(EC);
  const end = async (lifetimeMs: number) =>
    (expiresAtMs(await signRequest(ca, pem, { ...options, lifetimeMs })) ?? 0) - NOW_MS;
  const isNear = (ms: number, wanted: number) => Math.abs(ms - wanted) < 2000;
  t.ok(isNear(await end(YEAR_MS), YEAR_MS - 300_000), 'the time of back-dating is taken off');
  t.ok(isNear(await end(600_000), 600_000), 'not from a short life');
  t.ok(isNear(await end(3 * YEAR_MS), 2 * YEAR_MS), 'no longer than the authority');
  await t.rejects(signRequest(ca, pem, { ...options, usages: ['x'] }), /unrecognized usage/);
  const late = { ...options, nowMs: NOW_MS + 3 * YEAR_MS };
  await t.rejects(signRequest(ca, pem, late), /the signer has expired/);
  // The subject of one request under the signature of another.
  const der = Buffer.from(pem.replace(/a line before|-----[^-]+-----|\s/g, ''), 'base64');
  const at = der.indexOf('alice');
  der.write('mallo', at);
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
  t.equal(parseSigningRequest(forged).commonName, 'mallo');
  await t.rejects(signRequest(ca, forged, options), /signature of the request does not hold/);
});

t.test('signRequest() signs for the subject that parseSigningRequest() shows', async (t) => {
  const ca = await createCa({ commonName: 'ca', nowMs: NOW_MS, lifetimeMs: YEAR_MS });
  const options = { usages: ['client auth'], nowMs: NOW_MS, lifetimeMs: YEAR_MS };
  const hex = Buffer.from('system:masters').toString('hex');
  const o = (utf8String: string) => ({ O: [{ utf8String }] });
  const rows: x509.JsonNameParams[] = [
    [o(`#0c0e${hex}`), { CN: ['eve'] }],
    [o('devs"system:masters"'), { CN: ['eve'] }],
    [o('devs\nO=system:masters'), { CN: ['eve'] }],
    [o('devs, O=system:masters'), { CN: ['eve'] }],
    [{ CN: ['eve'], O: ['system:masters'] }],
    [{ O: [{ bmpString: 'system:masters' }] }, { CN: ['eve'] }],
    [{ CN: ['admin'] }, o('devs'), { CN: ['eve'] }],
    [o('é'), { CN: [{ utf8String: '"#"' }] }],
  ];
  for (const name of rows) {
    const pem = await requestOf(EC, [], name);
    const { commonName, organizations } = parseSigningRequest(pem);
    const { subject } = new NodeCertificate(await signRequest(ca, pem, options)).toLegacyObject();
    const seen = subject as unknown as Record<string, string | string[] | undefined>;
    t.equal(seen['CN'], commonName, JSON.stringify(name));
    t.same([seen['O']].flat(), organizations);
  }
  const several = await requestOf(EC, [], rows[4]);
  t.same(parseSigningRequest(several).organizations, ['system:masters']);
});
