/** Rules of v1 Services. Source: kubernetes v1.36.3 pkg/registry/core/service. */
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { FieldError, ResourceRules } from '../resource.ts';
import {
  isExternallyAccessible,
  prepareServiceIps,
  prepareServiceIpsUpdate,
} from './service-ips.ts';
import {
  validateClusterIps,
  validateServiceCreate,
  validateServiceStatusUpdate,
  validateServiceUpdate,
} from './service-validation.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, formatLabels, NONE, orNone, tableOf, UNKNOWN } from './tables.ts';

const NAMESPACED = { namespaced: true };
const AFFINITY_SECONDS = 10_800;

function defaultService(service: Service): void {
  service.spec ??= {};
  const { spec } = service;
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP') {
    if (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined) {
      spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: AFFINITY_SECONDS } };
    }
  }
  spec.type ||= 'ClusterIP';
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    if (port.targetPort === undefined || port.targetPort === '' || port.targetPort === 0) {
      port.targetPort = port.port ?? 0;
    }
  }
  if (isExternallyAccessible(service)) spec.externalTrafficPolicy ||= 'Cluster';
  if (['NodePort', 'LoadBalancer', 'ClusterIP'].includes(spec.type)) {
    spec.internalTrafficPolicy ??= 'Cluster';
  }
  if (spec.type === 'ExternalName') delete spec.internalTrafficPolicy;
  if (spec.type === 'LoadBalancer') {
    spec.allocateLoadBalancerNodePorts ??= true;
    for (const ingress of service.status?.loadBalancer?.ingress ?? []) {
      if ((ingress.ip ?? '') !== '') ingress.ipMode ??= 'VIP';
    }
  }
}

function externalIp({ spec, status }: Service): string {
  const own = spec.externalIPs ?? [];
  switch (spec.type) {
    case 'ClusterIP':
    case 'NodePort':
      return orNone(own.join(','));
    case 'LoadBalancer': {
      const points = (status?.loadBalancer?.ingress ?? [])
        .map(({ ip, hostname }) => (ip ?? '') || (hostname ?? ''))
        .filter((point) => point !== '');
      const all = [...new Set(points)].sort().concat(own);
      return all.length === 0 ? '<pending>' : all.join(',');
    }
    case 'ExternalName':
      return spec.externalName ?? '';
    default:
      return UNKNOWN;
  }
}

function portsCell({ spec }: Service): string {
  const ports = (spec.ports ?? []).map(({ port, nodePort = 0, protocol }) =>
    nodePort > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
  );
  return orNone(ports.join(','));
}

/** What stops the allocation of addresses, and with it the request, before anything else is judged. */
function allocationErrors(
  service: Service,
  old: Service | undefined,
): readonly FieldError[] | undefined {
  const errors = collect((e) => validateClusterIps(e, service, old));
  return errors.length === 0 ? undefined : errors;
}

export const serviceRules: ResourceRules<Service> = {
  group: '',
  version: 'v1',
  resource: 'services',
  default: defaultService,
  prepareForCreate(service) {
    service.status = { loadBalancer: {} };
    prepareServiceIps(service);
  },
  validate: (service) =>
    allocationErrors(service, undefined) ?? collect((e) => validateServiceCreate(e, service)),
  prepareForUpdate(service, old) {
    copyField(service, old, 'status');
    prepareServiceIpsUpdate(service, old);
  },
  validateUpdate: (service, old) =>
    allocationErrors(service, old) ??
    collectUpdate(service, old, NAMESPACED, (e) => validateServiceUpdate(e, service, old)),
  allowCreateOnUpdate: true,
  returnsDeletedObject: true,
  fieldLabels: ['spec.clusterIP', 'spec.type'],
  selectableFields: ({ spec }) => ({
    'spec.clusterIP': spec.clusterIP ?? '',
    'spec.type': spec.type ?? '',
  }),
  subresources: {
    status: {
      prepareForUpdate(service, old) {
        copyField(service, old, 'spec');
      },
      validateUpdate: (service, old) =>
        collectUpdate(service, old, NAMESPACED, (e) =>
          validateServiceStatusUpdate(e, service, old),
        ),
    },
  },
  table: tableOf('Name,Type,Cluster-IP,External-IP,Port(s),Age|Selector', (service, nowMs) => [
    service.metadata.name,
    service.spec.type ?? '',
    service.spec.clusterIPs?.[0] ?? NONE,
    externalIp(service),
    portsCell(service),
    age(service.metadata.creationTimestamp, nowMs),
    formatLabels(service.spec.selector),
  ]),
};
