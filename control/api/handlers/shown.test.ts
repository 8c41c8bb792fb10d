/** Small things that people see with kubectl: tables of what is not stored, warnings, who they are. */
import { createHash, X509Certificate } from 'node:crypto';
import t from 'tap';
import { makeTestCluster, startTestServer, testClient } from '../testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';

t.test('tables of kinds that are not stored', async (t) => {
  const labels = { app: 'web' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  const spec = { replicas: 2, selector: { matchLabels: labels }, template };
  const body = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec };
  await send('POST', DEPLOYMENTS, { body });
  const rows = [
    {
      path: `${DEPLOYMENTS}/web/scale`,
      columns: ['Name', 'Desired', 'Available', 'Age'],
      cells: [['web', 2, 0, /^\ds$/]],
    },
    {
      path: '/api/v1/componentstatuses',
      columns: ['Name', 'Status', 'Message', 'Error'],
      cells: [
        ['controller-manager', 'Healthy', 'ok', ''],
        ['etcd-0', 'Healthy', 'ok', ''],
        ['scheduler', 'Healthy', 'ok', ''],
      ],
    },
    {
      path: '/api/v1/componentstatuses/scheduler',
      columns: ['Name', 'Status', 'Message', 'Error'],
      cells: [['scheduler', 'Healthy', 'ok', '']],
    },
  ];
  for (const { path, columns, cells } of rows) {
    const { body: table } = await send('GET', path, { headers: TABLE });
    t.match(table, { kind: 'Table', apiVersion: 'meta.k8s.io/v1' }, path);
    t.same(
      table.columnDefinitions.map(({ name }: { name: string }) => name),
      columns,
    );
    t.match(
      table.rows.map((row: { cells: unknown[] }) => row.cells),
      cells,
    );
  }
  const { body: list } = await send('GET', '/api/v1/componentstatuses');
  t.match(list, { kind: 'ComponentStatusList', items: [{ metadata: {} }, {}, {}] });
  t.notOk('kind' in list.items[0]);
});

t.test('warnings of deprecated kinds, whatever is asked', async (t) => {
  const warning =
    '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"';
  for (const path of ['', '/none']) {
    const { headers } = await send('GET', `/api/v1/namespaces/default/endpoints${path}`);
    t.same(headers['warning'], warning, path);
  }
  const { headers } = await send('GET', '/apis/discovery.k8s.io/v1/endpointslices');
  t.notOk(headers['warning']);
});

t.test('the certificate that a user came with', async (t) => {
  const { raw } = new X509Certificate(cluster.files.admin.certificate);
  const id = `X509SHA256=${createHash('sha256').update(raw).digest('hex')}`;
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const { body } = await send('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    body: review,
  });
  t.match(body.status.userInfo, {
    username: 'admin',
    extra: { 'authentication.kubernetes.io/credential-id': [id] },
  });
});
