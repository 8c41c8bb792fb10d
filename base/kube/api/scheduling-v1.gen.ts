// Generated from k8s.io/kubernetes v1.36.3 api/openapi-spec/swagger.json by control/schema/generate. Do not edit.
import type { ListMeta, ObjectMeta } from './meta-v1.gen.ts';

export interface PriorityClass {
  apiVersion: 'scheduling.k8s.io/v1';
  description?: string | undefined;
  globalDefault?: boolean | undefined;
  kind: 'PriorityClass';
  metadata: ObjectMeta;
  preemptionPolicy?: string | undefined;
  value?: number | undefined;
}

export interface PriorityClassList {
  apiVersion: 'scheduling.k8s.io/v1';
  items: PriorityClass[];
  kind: 'PriorityClassList';
  metadata: ListMeta;
}
