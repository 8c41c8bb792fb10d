/** Rules of resource.k8s.io/v1 kinds. Source: kubernetes v1.36.3 pkg/apis/resource. */
import type {
  DeviceClass,
  DeviceRequest,
  ResourceClaim,
  ResourceClaimTemplate,
  ResourceSlice,
} from '#base/kube/api/resource-v1.gen.ts';
import { IMMUTABLE } from './meta.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { age, tableOf } from './tables.ts';

const GROUP = { group: 'resource.k8s.io', version: 'v1' } as const;

function defaultRequests(requests: readonly DeviceRequest[] = []): void {
  for (const { exactly, firstAvailable = [] } of requests) {
    for (const request of exactly === undefined ? firstAvailable : [exactly, ...firstAvailable]) {
      request.allocationMode ||= 'ExactCount';
      if (request.allocationMode === 'ExactCount') request.count ||= 1;
    }
  }
}

function claimState({ metadata, status }: ResourceClaim): string {
  const isDeleted = metadata.deletionTimestamp !== undefined;
  const states = isDeleted ? ['deleted'] : [];
  if (status?.allocation !== undefined) {
    states.push('allocated');
    if ((status.reservedFor ?? []).length > 0) states.push('reserved');
  } else if (!isDeleted) states.push('pending');
  return states.join(',');
}

export const resourceClaimRules = plainRules<ResourceClaim>({
  ...GROUP,
  resource: 'resourceclaims',
  default: ({ spec }) => defaultRequests(spec.devices?.requests),
  check(e, { spec }, old) {
    if (old !== undefined && !sameValue(spec, old.spec)) e.invalidOmitted('spec', IMMUTABLE);
  },
  table: tableOf('Name,State,Age', (claim, nowMs) => [
    claim.metadata.name,
    claimState(claim),
    age(claim.metadata.creationTimestamp, nowMs),
  ]),
});

export const resourceClaimTemplateRules = plainRules<ResourceClaimTemplate>({
  ...GROUP,
  resource: 'resourceclaimtemplates',
  default: ({ spec }) => defaultRequests(spec.spec.devices?.requests),
  check(e, { spec }, old) {
    if (old !== undefined && !sameValue(spec, old.spec)) e.invalidOmitted('spec', IMMUTABLE);
  },
});

export const deviceClassRules = plainRules<DeviceClass>({
  ...GROUP,
  resource: 'deviceclasses',
  hasGeneration: true,
  bumpsGeneration: (own, old) => !sameValue(own.spec, old.spec),
});

export const resourceSliceRules = plainRules<ResourceSlice>({
  ...GROUP,
  resource: 'resourceslices',
  hasGeneration: true,
  bumpsGeneration: (slice, old) => !sameValue(slice.spec, old.spec),
  fieldLabels: ['spec.nodeName', 'spec.driver'],
  selectableFields: ({ spec }) => ({
    'spec.nodeName': spec.nodeName ?? '',
    'spec.driver': spec.driver,
  }),
  table: tableOf('Name,Node,Driver,Pool,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    spec.nodeName ?? '',
    spec.driver,
    spec.pool.name,
    age(metadata.creationTimestamp, nowMs),
  ]),
});
