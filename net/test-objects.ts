/** Short ways to write Services and EndpointSlices in tests of net/proxy and net/dns. */
import type { Service, ServicePort, ServiceSpec } from '#base/kube/api/core-v1.gen.ts';
import type { Endpoint, EndpointPort, EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import type { InformerView } from '#net/port.ts';

export function metadata(name: string, namespace = 'default') {
  return {
    name,
    namespace,
    uid: name,
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
  };
}

export function testService(
  name: string,
  clusterIP: string,
  spec: Omit<Partial<ServiceSpec>, 'ports'> & { ports?: ServicePort[]; ingress?: string[] } = {},
): Service {
  const { ingress = [], ...rest } = spec;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(name),
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: '', port: 80, protocol: 'TCP' }],
      ...rest,
    },
    status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip, ipMode: 'VIP' })) } },
  };
}

export interface TestEndpoint {
  readonly ip: string;
  readonly node?: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly hostname?: string;
  readonly forNodes?: readonly string[];
  readonly forZones?: readonly string[];
  readonly podName?: string;
}

export function testSlice(
  service: string,
  endpoints: readonly TestEndpoint[],
  options: { suffix?: string; ports?: EndpointPort[]; addressType?: string } = {},
): EndpointSlice {
  const {
    suffix = 'x',
    ports = [{ name: '', port: 80, protocol: 'TCP' }],
    addressType = 'IPv4',
  } = options;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType,
    metadata: {
      ...metadata(`${service}-${suffix}`),
      labels: { 'kubernetes.io/service-name': service },
    },
    endpoints: endpoints.map((endpoint) => endpointOf(endpoint)),
    ports,
  };
}

function endpointOf(endpoint: TestEndpoint): Endpoint {
  const { ip, node, ready = true, serving = ready, terminating = false } = endpoint;
  const named = (names: readonly string[] = []) => names.map((name) => ({ name }));
  return {
    addresses: [ip],
    conditions: { ready, serving, terminating },
    nodeName: node,
    hostname: endpoint.hostname,
    hints: { forNodes: named(endpoint.forNodes), forZones: named(endpoint.forZones) },
    ...(endpoint.podName === undefined
      ? {}
      : { targetRef: { kind: 'Pod', name: endpoint.podName, namespace: 'default' } }),
  };
}

/** An InformerView that a test fills by hand. */
export class TestInformer<
  T extends { metadata: { namespace?: string | undefined; name?: string | undefined } },
> implements InformerView<T>
{
  hasSynced = true;
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<Parameters<InformerView<T>['addHandler']>[0]>();
  readonly store = { list: () => [...this.#objects.values()] };

  addHandler(handler: Parameters<InformerView<T>['addHandler']>[0]): Disposable {
    this.#handlers.add(handler);
    for (const object of this.store.list()) handler.onAdd?.(object);
    return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
  }

  set(object: T): void {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const handler of this.#handlers) {
      if (old === undefined) handler.onAdd?.(object);
      else handler.onUpdate?.(object, old);
    }
  }

  delete(object: T): void {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    if (!this.#objects.delete(key)) return;
    for (const handler of this.#handlers) handler.onDelete?.(object);
  }
}
