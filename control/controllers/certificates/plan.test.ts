import t from 'tap';
import type { CertificateSigningRequest } from '#base/kube/api/certificates-v1.gen.ts';
import type { RequestFacts } from '#base/pki/signing-request.ts';
import { ago, meta, NOW_MS } from '../testing/objects.ts';
import { approvalRights, isOutdated, isToSign, lifetimeMs, signingProblem } from './plan.ts';

type Status = NonNullable<CertificateSigningRequest['status']>;

const request = (
  signer: string,
  usages: string[],
  more: { username?: string; status?: Status; age?: number } = {},
): CertificateSigningRequest => ({
  apiVersion: 'certificates.k8s.io/v1',
  kind: 'CertificateSigningRequest',
  metadata: meta('r', { creationTimestamp: ago(more.age ?? 0) }),
  spec: {
    request: '',
    signerName: `kubernetes.io/${signer}`,
    usages,
    ...(more.username === undefined ? {} : { username: more.username }),
  },
  status: more.status ?? {},
});
const node = (more: Partial<RequestFacts> = {}): RequestFacts => ({
  commonName: 'system:node:n1',
  organizations: ['system:nodes'],
  dnsNames: [],
  ips: [],
  emails: [],
  uris: [],
  ...more,
});
const CLIENT = ['digital signature', 'client auth'];
const SERVER = ['digital signature', 'key encipherment', 'server auth'];
const KUBELET = 'kube-apiserver-client-kubelet';

t.test('signingProblem()', async (t) => {
  const ip = { ips: ['10.0.0.1'] };
  const rows: [name: string, got: ReturnType<typeof signingProblem>, want: string | undefined][] = [
    ['a user', signingProblem(request('kube-apiserver-client', CLIENT), node()), undefined],
    [
      'a user for a server',
      signingProblem(request('kube-apiserver-client', SERVER), node()),
      'invalid usage for client certificate: server auth',
    ],
    [
      'a user without purpose',
      signingProblem(request('kube-apiserver-client', ['digital signature']), node()),
      'missing required usage for client certificate: client auth',
    ],
    ['a kubelet', signingProblem(request(KUBELET, CLIENT), node()), undefined],
    [
      'a kubelet with key encipherment',
      signingProblem(request(KUBELET, [...CLIENT, 'key encipherment']), node()),
      undefined,
    ],
    [
      'a kubelet in more groups',
      signingProblem(request(KUBELET, CLIENT), node({ organizations: ['system:nodes', 'x'] })),
      'subject organization is not system:nodes',
    ],
    [
      'a kubelet with an address',
      signingProblem(request(KUBELET, CLIENT), node(ip)),
      'IP subjectAltNames are not allowed',
    ],
    [
      'another name',
      signingProblem(request(KUBELET, CLIENT), node({ commonName: 'alice' })),
      'subject common name does not begin with system:node:',
    ],
    [
      'too many usages',
      signingProblem(request(KUBELET, [...CLIENT, 'server auth']), node()),
      'usages did not match [client auth digital signature key encipherment]',
    ],
    ['a serving kubelet', signingProblem(request('kubelet-serving', SERVER), node(ip)), undefined],
    [
      'a serving kubelet without names',
      signingProblem(request('kubelet-serving', SERVER), node()),
      'DNS or IP subjectAltName is required',
    ],
  ];
  for (const [name, got, want] of rows) {
    t.same(got, want === undefined ? undefined : { message: want }, name);
  }
  t.equal(signingProblem(request('other', CLIENT), node()), 'unknown');
});

t.test('approvalRights() of kubelets alone', async (t) => {
  const rights = (of: CertificateSigningRequest, facts = node()) =>
    approvalRights(of, facts).map(({ subresource }) => subresource);
  t.same(rights(request(KUBELET, CLIENT)), ['nodeclient']);
  t.same(rights(request(KUBELET, CLIENT, { username: 'system:node:n1' })), [
    'selfnodeclient',
    'nodeclient',
  ]);
  t.same(rights(request('kube-apiserver-client', CLIENT)), []);
  t.same(rights(request('kubelet-serving', SERVER), node({ ips: ['::1'] })), []);
});

t.test('isToSign() and lifetimeMs()', async (t) => {
  const is = (...types: string[]) =>
    isToSign(
      request(KUBELET, CLIENT, {
        status: { conditions: types.map((type) => ({ type, status: 'True' })) },
      }),
    );
  t.same(
    [is(), is('Approved'), is('Approved', 'Failed'), is('Approved', 'Denied')],
    [false, true, false, false],
  );
  t.same(
    [undefined, 60, 3600, 2 ** 31 - 1].map((seconds) => lifetimeMs(seconds) / 1000),
    [31_536_000, 600, 3600, 31_536_000],
  );
});

t.test('isOutdated()', async (t) => {
  const is = (status: Status, options: { age?: number; end?: number } = {}) =>
    isOutdated(request(KUBELET, CLIENT, { status, age: options.age ?? 0 }), options.end, NOW_MS);
  const decided = (type: string, seconds: number): Status => ({
    conditions: [{ type, status: 'True', lastUpdateTime: ago(seconds) }],
  });
  t.equal(is({}, { age: 80_000 }), false);
  t.equal(is({}, { age: 90_000 }), true, 'a day without an answer');
  t.equal(is(decided('Denied', 3000)), false);
  t.equal(is(decided('Denied', 4000)), true);
  t.equal(is(decided('Failed', 4000)), true);
  t.equal(is(decided('Approved', 4000)), false, 'the signer may be slow');
  t.equal(is(decided('Approved', 90_000)), true);
  const issued = { ...decided('Approved', 3000), certificate: 'x' };
  t.equal(is(issued, { end: NOW_MS + 1 }), false);
  t.equal(is(issued, { end: NOW_MS - 1 }), true, 'the certificate has expired');
  t.equal(is({ ...decided('Approved', 4000), certificate: 'x' }), true);
});
