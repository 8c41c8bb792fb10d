/** Credentials that controllers make, against an API server of ours that takes them. */
import t from 'tap';
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import { secrets, serviceaccounts } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import { until } from '#control/api/testing/test-server.ts';
import { serviceAccountTokenController } from '#control/controllers/service-account-token.ts';
import { startControlPlane } from './control-plane.ts';

const plane = await startControlPlane([serviceAccountTokenController]);
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
