// Generated from k8s.io/kubernetes v1.36.3 api/openapi-spec/swagger.json by control/schema/generate. Do not edit.
import type { ListMeta, MicroTime, ObjectMeta } from './meta-v1.gen.ts';

export interface Lease {
  apiVersion: 'coordination.k8s.io/v1';
  kind: 'Lease';
  metadata: ObjectMeta;
  spec: LeaseSpec;
}

export interface LeaseList {
  apiVersion: 'coordination.k8s.io/v1';
  items: Lease[];
  kind: 'LeaseList';
  metadata: ListMeta;
}

export interface LeaseSpec {
  acquireTime?: MicroTime | undefined;
  holderIdentity?: string | undefined;
  leaseDurationSeconds?: number | undefined;
  leaseTransitions?: number | undefined;
  preferredHolder?: string | undefined;
  renewTime?: MicroTime | undefined;
  strategy?: string | undefined;
}
