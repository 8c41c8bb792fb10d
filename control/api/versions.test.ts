/** A resource that is served in two versions: each client gets its own, whoever came first. */
import t from 'tap';
import { makeTestCluster, startTestServer, testClient } from './testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const at = (version: string) =>
  `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers`;

t.test('watches and protobuf of two versions do not share encodings', async (t) => {
  const before = await send('GET', at('v2'));
  const made = await send('POST', at('v2'), {
    body: {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'a' },
      spec: { maxReplicas: 2, scaleTargetRef: { kind: 'Deployment', name: 'd' } },
    },
  });
  t.equal(made.status, 201, made.text);
  const { resourceVersion } = before.body.metadata;
  for (const version of ['v2', 'v1', 'v2']) {
    const query = `watch=1&timeoutSeconds=1&resourceVersion=${resourceVersion}`;
    const { text } = await send('GET', `${at(version)}?${query}`);
    t.equal(JSON.parse(text).object.apiVersion, `autoscaling/${version}`, 'JSON of a watch');
    const headers = { accept: 'application/vnd.kubernetes.protobuf' };
    const packed = await send('GET', `${at(version)}/a`, { headers });
    t.ok(packed.text.includes(`autoscaling/${version}`), `protobuf of ${version}`);
  }
});
