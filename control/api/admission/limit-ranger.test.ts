/** LimitRanges against an API server of ours: what pods are refused for, in upstream's words. */
import t from 'tap';
import { makeTestCluster, startTestServer, testClient } from '../testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const NAMESPACE = '/api/v1/namespaces/default';
const limit = (name: string, limits: object[]) =>
  send('POST', `${NAMESPACE}/limitranges`, {
    body: { apiVersion: 'v1', kind: 'LimitRange', metadata: { name }, spec: { limits } },
  });
const container = (name: string, cpu: string) => ({
  name,
  image: 'i',
  resources: { requests: { cpu }, limits: { cpu } },
});
const create = (spec: object) =>
  send('POST', `${NAMESPACE}/pods?dryRun=All`, {
    body: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec },
  });

t.test('LimitRanger', async (t) => {
  await send('POST', `${NAMESPACE}/serviceaccounts`, {
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
  });
  await limit('containers', [{ type: 'Container', max: { cpu: '1' } }]);
  await limit('pods', [{ type: 'Pod', max: { cpu: '1500m' } }]);
  await send('POST', '/apis/node.k8s.io/v1/runtimeclasses', {
    body: {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'heavy' },
      handler: 'h',
      overhead: { podFixed: { cpu: '1' } },
    },
  });
  const twice = await create({ containers: [container('a', '2'), container('b', '2')] });
  t.equal(twice.status, 403);
  t.equal(
    twice.body.message,
    'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    'what is said of both is said once',
  );
  const much = await create({ containers: [container('a', '1'), container('b', '1')] });
  t.equal(
    much.body.message,
    'pods "p" is forbidden: maximum cpu usage per Pod is 1500m, but limit is 2',
  );
  const heavy = await create({ containers: [container('a', '1')], runtimeClassName: 'heavy' });
  t.equal(heavy.status, 201, 'the overhead of a runtime class is not the pod’s');
});
