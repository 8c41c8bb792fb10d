/** Rules of v1 Endpoints. Source: kubernetes v1.36.3 pkg/registry/core/endpoint. */
import type { Endpoints } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { META, validateEndpoints } from './endpoints-validation.ts';
import { validateMetaUpdate } from './meta.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, orNone, tableOf } from './tables.ts';

const SHOWN_MAX = 3;

function endpointsCell({ subsets = [] }: Endpoints): string {
  const texts = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) =>
          addresses.map(({ ip }) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)),
        ),
  );
  const shown = texts.slice(0, SHOWN_MAX).join(',');
  return orNone(
    texts.length > SHOWN_MAX ? `${shown} + ${texts.length - SHOWN_MAX} more...` : shown,
  );
}

export const endpointsRules: ResourceRules<Endpoints> = {
  group: '',
  version: 'v1',
  resource: 'endpoints',
  deprecation: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  default(endpoints) {
    for (const subset of endpoints.subsets ?? []) {
      for (const port of subset.ports ?? []) port.protocol ||= 'TCP';
    }
  },
  validate: (endpoints) => collect((e) => validateEndpoints(e, endpoints, undefined)),
  validateUpdate: (endpoints, old) =>
    collectUpdate(endpoints, old, META, (e) => {
      validateMetaUpdate(e, endpoints.metadata, old.metadata, META);
      validateEndpoints(e, endpoints, old);
    }),
  allowCreateOnUpdate: true,
  table: tableOf('Name,Endpoints,Age', (endpoints, nowMs) => [
    endpoints.metadata.name,
    endpointsCell(endpoints),
    age(endpoints.metadata.creationTimestamp, nowMs),
  ]),
};
