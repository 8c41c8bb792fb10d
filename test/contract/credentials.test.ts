/** Credentials that controllers make, against an API server of ours that takes them. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import t from 'tap';
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import { secrets, serviceaccounts } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import { until } from '#control/api/testing/test-server.ts';
import {
  certificateApprover,
  certificateSigner,
} from '#control/controllers/certificates/certificates.ts';
import { serviceAccountTokenController } from '#control/controllers/service-account-token.ts';
import { startControlPlane } from './control-plane.ts';

const plane = await startControlPlane([
  serviceAccountTokenController,
  certificateApprover,
  certificateSigner,
]);
const { client, signal, https } = plane;
t.teardown(() => plane.stop());

const namespace = 'default';
const tokenSecret = (name: string, account: string) => ({
  apiVersion: 'v1' as const,
  kind: 'Secret' as const,
  metadata: { name, namespace, annotations: { 'kubernetes.io/service-account.name': account } },
  type: 'kubernetes.io/service-account-token',
});
const text = (value: string | undefined) => Buffer.from(value ?? '', 'base64').toString();

async function filled(name: string): Promise<Secret> {
  let secret: Secret | undefined;
  await until(async () => {
    secret = await client.get(secrets, { name, namespace }, signal);
    return secret.data?.['token'] !== undefined;
  }, `${name} is filled`);
  if (secret === undefined) throw new Error('unreachable');
  return secret;
}

t.test('a token of a Secret is good while the Secret holds it', async (t) => {
  await client.create(secrets, tokenSecret('legacy', 'default'), signal);
  const secret = await filled('legacy');
  t.match(text(secret.data?.['ca.crt']), /BEGIN CERTIFICATE/);
  t.equal(text(secret.data?.['namespace']), namespace);
  const as = { token: text(secret.data?.['token']) };
  const review = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const who = async () => https.send('POST', review, { as, body });
  await until(async () => (await who()).status === 201, 'the token is taken');
  t.match((await who()).body, {
    status: {
      userInfo: {
        username: 'system:serviceaccount:default:default',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:default'],
      },
    },
  });
  const reviewed = async (audiences: string[]) =>
    https.send('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token: as.token, audiences },
      },
    });
  t.equal((await reviewed([])).body.status.authenticated, true);
  t.not((await reviewed(['elsewhere'])).body.status.authenticated, true);
  const labels = { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' };
  const patch = { type: 'merge' as const, body: { metadata: { labels } } };
  await client.patch(secrets, { name: 'legacy', namespace }, patch, signal);
  await until(async () => (await who()).status === 401, 'a token marked invalid is refused');
  await client.delete(secrets, { name: 'legacy', namespace }, {}, signal);
  await client.create(secrets, tokenSecret('legacy', 'default'), signal);
  const again = await filled('legacy');
  t.equal((await who()).status, 401, 'the Secret holds another token now');
  t.not(again.data?.['token'], secret.data?.['token']);
});

t.test('a Secret of an account that is not there goes', async (t) => {
  const draft = {
    apiVersion: 'v1' as const,
    kind: 'ServiceAccount' as const,
    metadata: { name: 'app', namespace },
  };
  await client.create(serviceaccounts, draft, signal);
  await client.create(secrets, tokenSecret('app', 'app'), signal);
  await filled('app');
  await client.delete(serviceaccounts, { name: 'app', namespace }, {}, signal);
  await client.create(secrets, tokenSecret('nobody', 'nobody'), signal);
  for (const name of ['app', 'nobody']) {
    await until(async () => {
      try {
        await client.get(secrets, { name, namespace }, signal);
        return false;
      } catch (error) {
        return isKubeError(error, 'NotFound');
      }
    }, `${name} is gone`);
  }
  t.pass('both are gone');
});

const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const SELF = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

interface Asked {
  readonly key: string;
  readonly body: object;
}

async function ask(
  name: string,
  what: { signer: string; subject: x509.JsonName; usages?: string[] },
): Promise<Asked> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: what.subject,
    keys: keys as never, // A pair; two declarations of one type.
    signingAlgorithm: EC,
  });
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const key = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PRIVATE KEY-----\n`;
  const body = {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: {
      request: Buffer.from(request.toString('pem')).toString('base64'),
      signerName: `kubernetes.io/${what.signer}`,
      usages: what.usages ?? ['digital signature', 'client auth'],
    },
  };
  return { key, body };
}

async function issued(name: string): Promise<string> {
  let certificate = '';
  await until(async () => {
    const { body } = await https.send('GET', `${REQUESTS}/${name}`);
    certificate = body.status.certificate ?? '';
    return certificate !== '';
  }, `${name} is signed`);
  return text(certificate);
}

const approval = (body: object, type = 'Approved') => ({
  ...body,
  status: { conditions: [{ type, status: 'True', reason: 'Test', message: 'by hand' }] },
});

t.test('a user gets a certificate when somebody who may approves', async (t) => {
  const signer = 'kube-apiserver-client';
  const alice = await https.user('alice', ['devs']);
  const masters = await ask('masters', {
    signer,
    subject: [{ O: ['system:masters'] }, { CN: ['eve'] }],
  });
  const refused = await https.send('POST', REQUESTS, { body: masters.body });
  t.equal(refused.status, 403);
  t.match(
    refused.body.message,
    /use of kubernetes.io\/kube-apiserver-client signer with system:masters group is not allowed/,
  );
  const wanted = await ask('bob', { signer, subject: [{ O: ['devs'] }, { CN: ['bob'] }] });
  t.equal((await https.send('POST', REQUESTS, { body: wanted.body })).status, 201);
  // Alice may write approvals, but not for this signer.
  const rules = [
    {
      apiGroups: ['certificates.k8s.io'],
      resources: ['certificatesigningrequests/approval', 'certificatesigningrequests/status'],
      verbs: ['update'],
    },
    {
      apiGroups: ['certificates.k8s.io'],
      resources: ['signers'],
      resourceNames: ['example.com/*'],
      verbs: ['approve', 'sign'],
    },
  ];
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', rules };
  await https.send('POST', `${rbac}/clusterroles`, { body: { ...role, metadata: { name: 'a' } } });
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'a' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'a' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'alice' }],
  };
  await https.send('POST', `${rbac}/clusterrolebindings`, { body: binding });
  const put = (name: string, subresource: string, body: object, as?: typeof alice) =>
    https.send('PUT', `${REQUESTS}/${name}/${subresource}`, {
      body,
      ...(as === undefined ? {} : { as }),
    });
  let answer = await put('bob', 'approval', approval(wanted.body), alice);
  await until(async () => {
    answer = await put('bob', 'approval', approval(wanted.body), alice);
    return !/cannot update/.test(answer.body.message);
  }, 'the role is known');
  t.equal(answer.status, 403);
  t.match(
    answer.body.message,
    /user not permitted to approve requests with signerName "kubernetes.io\/kube-apiserver-client"/,
  );
  const forged = { ...wanted.body, status: { certificate: Buffer.from('x').toString('base64') } };
  answer = await put('bob', 'status', forged, alice);
  t.match(answer.body.message, /user not permitted to sign requests/);
  t.equal((await put('bob', 'approval', approval(wanted.body))).status, 200);
  const certificate = await issued('bob');
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const who = await https.send('POST', SELF, { as: { certificate, key: wanted.key }, body });
  t.match(who.body.status.userInfo, { username: 'bob', groups: ['devs', 'system:authenticated'] });
});

t.test('a kubelet renews its own certificate unasked', async (t) => {
  const kubelet = await https.user('system:node:n1', ['system:nodes']);
  const subject = [{ O: ['system:nodes'] }, { CN: ['system:node:n1'] }];
  const wanted = await ask('n1', { signer: 'kube-apiserver-client-kubelet', subject });
  // What kubeadm binds, too.
  await https.send('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'renewal' },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
      },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:nodes' }],
    },
  });
  const made = await https.send('POST', REQUESTS, { as: kubelet, body: wanted.body });
  t.equal(made.status, 201);
  const certificate = await issued('n1');
  const { body } = await https.send('GET', `${REQUESTS}/n1`);
  t.match(body.status.conditions, [{ type: 'Approved', reason: 'AutoApproved' }]);
  t.match(new x509.X509Certificate(certificate).subject, /CN=system:node:n1/);
  const bad = await ask('bad', { signer: 'kubelet-serving', subject, usages: ['server auth'] });
  await https.send('POST', REQUESTS, { as: kubelet, body: bad.body });
  await https.send('PUT', `${REQUESTS}/bad/approval`, { body: approval(bad.body) });
  await until(async () => {
    const { body: now } = await https.send('GET', `${REQUESTS}/bad`);
    return now.status.conditions.length === 2;
  }, 'the signer has an opinion');
  t.match((await https.send('GET', `${REQUESTS}/bad`)).body.status.conditions[1], {
    type: 'Failed',
    reason: 'SignerValidationFailure',
    message: 'DNS or IP subjectAltName is required',
  });
});
