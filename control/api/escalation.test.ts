/** Ways to more rights than one holds, all of which must be shut: through roles, and for kubelets. */
import t from 'tap';
import { makeTestCluster, startTestServer, testClient } from './testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send, user } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const RBAC_GROUP = 'rbac.authorization.k8s.io';
const STORAGE = '/apis/storage.k8s.io/v1';
const DEFAULT = '/api/v1/namespaces/default';

function clusterRole(name: string, more: object) {
  return { apiVersion: `${RBAC_GROUP}/v1`, kind: 'ClusterRole', metadata: { name }, ...more };
}

async function grant(name: string, rules: readonly object[]) {
  await send('POST', `${RBAC}/clusterroles`, { body: clusterRole(name, { rules }) });
  const answer = await send('POST', `${RBAC}/clusterrolebindings`, {
    body: {
      apiVersion: `${RBAC_GROUP}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name },
      subjects: [{ apiGroup: RBAC_GROUP, kind: 'User', name }],
    },
  });
  t.equal(answer.status, 201, answer.text);
}

t.test('who may write roles gains nothing by it', async (t) => {
  const mallory = await user('mallory', []);
  const verbs = ['get', 'create', 'update']; // Without escalate.
  await grant('mallory', [{ verbs, apiGroups: [RBAC_GROUP], resources: ['clusterroles'] }]);
  await grant('updater', [
    { verbs: ['get', 'update'], apiGroups: [''], resources: ['endpoints'] },
    { verbs: ['get', 'update'], apiGroups: [RBAC_GROUP], resources: ['clusterroles'] },
  ]);
  const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { x: 'y' } }] };
  const aggregated = await send('POST', `${RBAC}/clusterroles`, {
    as: mallory,
    body: clusterRole('gather', { rules: [], aggregationRule }),
  });
  t.equal(aggregated.status, 403, 'makes no role that gathers the rules of others');
  t.match(aggregated.body.message, /must have cluster-admin privileges to use the aggregationRule/);
  const held = [{ verbs: ['get'], apiGroups: [RBAC_GROUP], resources: ['clusterroles'] }];
  const plain = await send('POST', `${RBAC}/clusterroles`, {
    as: mallory,
    body: clusterRole('held', { rules: held }),
  });
  t.equal(plain.status, 201, 'what one holds may be passed on');
  const admin = await send('GET', `${RBAC}/clusterroles/cluster-admin`);
  admin.body.metadata.labels['rbac.authorization.k8s.io/aggregate-to-view'] = 'true';
  const labelled = await send('PUT', `${RBAC}/clusterroles/cluster-admin`, {
    as: mallory,
    body: admin.body,
  });
  t.equal(labelled.status, 403, 'no label gives the rules of a role to another');
  const updater = await user('updater', []);
  const made = await send('PUT', `${DEFAULT}/endpoints/new`, {
    as: updater,
    body: { apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'new' } },
  });
  t.equal(made.status, 403, 'an update that creates needs the verb create');
  t.match(made.body.message, /cannot create resource "endpoints"/);
});

t.test('kubelets', async (t) => {
  const kubelet = await user('system:node:n1', ['system:nodes']);
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } };
  const domain = 'node-restriction.kubernetes.io';
  await send('POST', '/api/v1/nodes', {
    body: { ...node, metadata: { name: 'n1', labels: { [`${domain}/zone`]: 'a' } } },
  });
  for (const [kind, plural] of [
    ['ServiceAccount', 'serviceaccounts'],
    ['Secret', 'secrets'],
  ]) {
    await send('POST', `${DEFAULT}/${plural}`, {
      body: { apiVersion: 'v1', kind, metadata: { name: 'default' } },
    });
  }
  const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] };
  const web = await send('POST', `${DEFAULT}/pods`, {
    body: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec },
  });
  t.equal(web.status, 201, web.text);

  const bare = await send('GET', '/api/v1/nodes/n1');
  delete bare.body.metadata.labels;
  const labels = await send('PUT', '/api/v1/nodes/n1', { as: kubelet, body: bare.body });
  t.match(labels.body.message, /is not allowed to modify labels/, 'take no restricted label away');

  const secret = { name: 's', secret: { secretName: 'default' } };
  const mirror = (as: typeof kubelet | undefined, name: string) =>
    send('POST', `${DEFAULT}/pods`, {
      ...(as === undefined ? {} : { as }),
      body: {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, annotations: { 'kubernetes.io/config.mirror': 'x' } },
        spec: { ...spec, volumes: [secret] },
      },
    });
  const reference = await mirror(kubelet, 'mirror');
  t.equal(reference.status, 403, 'make no mirror pods that refer to secrets');
  t.match(reference.body.message, /can not create pods that reference secrets/);
  t.equal((await mirror(undefined, 'mirror')).status, 201);
  const read = await send('GET', `${DEFAULT}/secrets/default`, { as: kubelet });
  t.equal(read.status, 403, 'read nothing by a mirror pod');

  const other = await user('system:node:n2', ['system:nodes']);
  const pods = `${DEFAULT}/pods`;
  const reads: [path: string, as: typeof kubelet, status: number, text?: RegExp][] = [
    [`${pods}/web`, kubelet, 200],
    [`${pods}/mirror`, kubelet, 200],
    [`${pods}/web`, other, 403, /no relationship found between node 'n2' and this object/],
    [`${pods}/none`, kubelet, 403, /no relationship found/],
    [`${pods}?fieldSelector=spec.nodeName=n1`, kubelet, 200],
    [`${pods}?fieldSelector=spec.nodeName=n1`, other, 403, /spec.nodeName field selector/],
    [`${pods}?fieldSelector=metadata.name=web`, kubelet, 200],
    [`${pods}?fieldSelector=metadata.name=web`, other, 403, /no relationship found/],
    [pods, kubelet, 403, /can only list\/watch pods with spec.nodeName field selector/],
    ['/api/v1/nodes', kubelet, 403, /node 'n1' cannot read all nodes, only its own Node object/],
    [`${STORAGE}/volumeattachments/own`, kubelet, 200],
    [`${STORAGE}/volumeattachments/own`, other, 403, /no relationship found/],
    ['/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/x', kubelet, 403, /no relation/],
  ];
  const attachment = await send('POST', `${STORAGE}/volumeattachments`, {
    body: {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttachment',
      metadata: { name: 'own' },
      spec: { attacher: 'a', nodeName: 'n1', source: { persistentVolumeName: 'v' } },
    },
  });
  t.equal(attachment.status, 201, attachment.text);
  for (const [path, as, status, text] of reads) {
    const answer = await send('GET', path, { as });
    t.equal(answer.status, status, path);
    if (text !== undefined) t.match(answer.body.message, text, path);
  }
  const evicted = await send('POST', `${DEFAULT}/pods/web/eviction`, {
    as: other,
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'web' } },
  });
  t.match(evicted.body.message, /can only evict pods with spec.nodeName set to itself/);
  const untouched = await send('GET', `${DEFAULT}/pods/web`);
  t.equal(untouched.body.metadata.resourceVersion, web.body.metadata.resourceVersion);

  const token = (boundObjectRef?: object) =>
    send('POST', `${DEFAULT}/serviceaccounts/default/token`, {
      as: kubelet,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [], ...(boundObjectRef === undefined ? {} : { boundObjectRef }) },
      },
    });
  const pod = { apiVersion: 'v1', kind: 'Pod', name: 'web' };
  const unbound = await token();
  t.equal(unbound.status, 403, 'get no token that outlives a pod');
  t.match(unbound.body.message, /node requested token not bound to a pod/);
  t.equal((await token(pod)).status, 403, 'nor one of whatever pod has the name');
  t.equal((await token({ ...pod, uid: web.body.metadata.uid })).status, 201);
});

t.test('the hand of a machine on its Node', async (t) => {
  const hand = await user('bareboat:node-settings:test', []);
  const node = { apiVersion: 'v1', kind: 'Node' };
  for (const name of ['test', 'else']) {
    await send('POST', '/api/v1/nodes', { body: { ...node, metadata: { name } } });
  }
  const headers = { 'content-type': 'application/merge-patch+json' };
  const body = {
    metadata: { labels: { 'node-restriction.kubernetes.io/zone': 'b' } },
    spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] },
  };
  const patch = (name: string) =>
    send('PATCH', `/api/v1/nodes/${name}`, { as: hand, headers, body });
  const own = await patch('test');
  t.equal(own.status, 200, own.text);
  t.equal((await patch('else')).status, 403, 'of no other');
  const list = '/api/v1/nodes?fieldSelector=metadata.name=test';
  t.equal((await send('GET', list, { as: hand })).status, 200);
  t.equal((await send('GET', '/api/v1/nodes', { as: hand })).status, 403);
  t.equal((await send('GET', `${DEFAULT}/secrets/default`, { as: hand })).status, 403);
  t.equal((await send('DELETE', '/api/v1/nodes/test', { as: hand })).status, 403);
});

t.test('the API server as a client of kubelets', async (t) => {
  const as = await user('kube-apiserver-kubelet-client', []);
  const may = async (resourceAttributes: object) => {
    const { body } = await send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      as,
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { version: 'v1', name: 'n1', ...resourceAttributes } },
      },
    });
    return body.status.allowed;
  };
  // What the kubelet asks for each path (daemon/kubelet/server/access.ts).
  for (const subresource of ['proxy', 'log', 'stats', 'metrics', 'pods', 'healthz', 'configz']) {
    for (const verb of ['get', 'create']) {
      t.equal(await may({ verb, resource: 'nodes', subresource }), true, subresource);
    }
  }
  t.equal(await may({ verb: 'get', resource: 'secrets', namespace: 'default' }), false);
  t.equal(await may({ verb: 'patch', resource: 'nodes' }), false);
});
