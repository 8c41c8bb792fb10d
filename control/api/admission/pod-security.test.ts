import t from 'tap';
import type { AuditEvent } from '../audit/audit.ts';
import { makeTestCluster, startTestServer, testClient } from '../testing/test-server.ts';

const events: AuditEvent[] = [];
const cluster = await makeTestCluster();
const server = await startTestServer(cluster, { audit: { write: (event) => events.push(event) } });
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const LABEL = 'pod-security.kubernetes.io/';

async function createNamespace(name: string, levels: Record<string, string>) {
  const labels = Object.fromEntries(Object.entries(levels).map(([k, v]) => [LABEL + k, v]));
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  const made = await send('POST', '/api/v1/namespaces', { body });
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
  await send('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { body: account });
  return made;
}

const merge = { 'content-type': 'application/merge-patch+json' };
const podSpec = (more: object = {}) => ({ containers: [{ name: 'c', image: 'i', ...more }] });
const privileged = podSpec({ securityContext: { privileged: true } });
const createPod = (namespace: string, name: string, spec: object) =>
  send('POST', `/api/v1/namespaces/${namespace}/pods`, {
    body: { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec },
    headers: { 'audit-id': name },
  });

const REFUSED =
  'violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)';

t.test('pods are held to the level that is enforced', async (t) => {
  await createNamespace('base', { enforce: 'baseline' });
  const refused = await createPod('base', 'p', privileged);
  t.match(refused.body, {
    code: 403,
    reason: 'Forbidden',
    message: `pods "p" is forbidden: ${REFUSED}`,
  });
  t.notOk(refused.headers['warning'], 'an error needs no warning');
  t.match(await createPod('base', 'plain', podSpec()), { status: 201 });
  await createNamespace('open', {});
  t.match(await createPod('open', 'free', privileged), { status: 201 });
  t.match(events.find(({ auditID }) => auditID === 'plain')?.annotations, {
    [`${LABEL}enforce-policy`]: 'baseline:latest',
  });
});

t.test('workloads whose pods would be refused are warned of', async (t) => {
  const labels = { app: 'x' };
  const template = { metadata: { labels }, spec: privileged };
  const spec = { selector: { matchLabels: labels }, template };
  const body = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec };
  const made = await send('POST', '/apis/apps/v1/namespaces/base/deployments', { body });
  t.equal(made.status, 201);
  const warning = `299 - "would ${REFUSED.replace('violates', 'violate').replaceAll('"', '\\"')}"`;
  t.equal(made.headers['warning'], warning);
});

t.test('audit and warn say what they would refuse, and let it be', async (t) => {
  await createNamespace('told', { audit: 'baseline', warn: 'restricted', 'warn-version': 'v1.20' });
  const made = await createPod('told', 'noted', privileged);
  t.equal(made.status, 201);
  t.match(made.headers['warning'], /would violate PodSecurity \\"restricted:v1\.20\\": privileged/);
  t.match(events.find(({ auditID }) => auditID === 'noted')?.annotations, {
    [`${LABEL}audit-violations`]: `would ${REFUSED.replace('violates', 'violate')}`,
  });
});

t.test('labels that are no levels', async (t) => {
  const refused = await createNamespace('odd', { enforce: 'strict' });
  t.match(refused.body, {
    code: 422,
    message: `Namespace "odd" is invalid: metadata.labels[${LABEL}enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`,
  });
});

t.test('a level that rises warns of the pods that are there, and of updates', async (t) => {
  for (const name of ['one', 'two', 'three']) await createPod('told', name, privileged);
  const relabel = (level: string) =>
    send('PATCH', '/api/v1/namespaces/told', {
      body: { metadata: { labels: { [`${LABEL}enforce`]: level } } },
      headers: merge,
    });
  const raised = await relabel('baseline');
  t.equal(raised.status, 200);
  t.match(
    raised.headers['warning'],
    /existing pods in namespace \\"told\\" violate the new PodSecurity enforce level \\"baseline:latest\\"/,
  );
  t.match(raised.headers['warning'], /noted \(and 3 other pods\): privileged/);
  t.notOk((await relabel('privileged')).headers['warning']);
  await relabel('baseline');
  const patch = (body: object) =>
    send('PATCH', '/api/v1/namespaces/told/pods/one', {
      body,
      headers: { 'content-type': 'application/strategic-merge-patch+json' },
    });
  t.match(await patch({ metadata: { labels: { a: 'b' } } }), { status: 200 });
  const image = { spec: { containers: [{ name: 'c', image: 'j' }] } };
  t.match(await patch(image), { status: 403, body: { message: /violates PodSecurity/ } });
});
