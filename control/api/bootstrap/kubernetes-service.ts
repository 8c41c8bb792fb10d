/**
 * default/kubernetes: the Service through which pods find the API server, its Endpoints and its
 * EndpointSlice. Compared at every start, since the address may have changed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '#base/kube/client.ts';
import type { Services } from '../handlers/call.ts';
import { toStored } from '../handlers/body.ts';
import type { Bootstrap, Wanted } from './bootstrap.ts';

const NAME = 'kubernetes';
const NAMESPACE = 'default';

export async function ensureKubernetesService(
  bootstrap: Bootstrap,
  services: Services,
  at: { clusterIp: string; address: string; port: number },
): Promise<void> {
  const { resources } = services;
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  await bootstrap.ensure(resources.must('', 'v1', 'services'), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: NAME, namespace: NAMESPACE, labels },
    spec: {
      clusterIP: at.clusterIp,
      ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: at.port }],
      sessionAffinity: 'None',
      type: 'ClusterIP',
    },
  });
  if (at.address.startsWith('127.')) {
    // Endpoints may not lie in the loopback range; pods could not reach the server there anyway.
    services.log.warn('API server is not published to pods', { address: at.address });
    return;
  }
  await put(bootstrap, services, 'endpoints', {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: [
      {
        addresses: [{ ip: at.address }],
        ports: [{ name: 'https', port: at.port, protocol: 'TCP' }],
      },
    ],
  });
  await put(bootstrap, services, 'endpointslices', {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { 'kubernetes.io/service-name': NAME },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [at.address], conditions: { ready: true } }],
    ports: [{ name: 'https', port: at.port, protocol: 'TCP' }],
  });
}

/** Creates the object, or makes everything but its metadata as wanted. */
async function put(
  bootstrap: Bootstrap,
  services: Services,
  plural: string,
  wanted: Wanted,
): Promise<void> {
  const group = plural === 'endpoints' ? '' : 'discovery.k8s.io';
  const resource = services.resources.must(group, 'v1', plural);
  const found = resource.cache.get(resource.key(NAMESPACE, NAME));
  if (found === undefined) {
    await bootstrap.ensure(resource, wanted);
    return;
  }
  const complete = toStored(resource, structuredClone({ ...wanted }));
  const { metadata: _m, ...content } = complete;
  const { metadata: _om, ...existing } = found.parse();
  if (isDeepStrictEqual(content, existing)) return;
  await services.registry.update(
    { resource, namespace: NAMESPACE, name: NAME, subresource: '' },
    // As wanted.
    (current) => ({ ...content, metadata: (current ?? complete).metadata }) as KubeObject,
    bootstrap.context(),
  );
}
