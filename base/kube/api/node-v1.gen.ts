// Generated from k8s.io/kubernetes v1.36.3 api/openapi-spec/swagger.json by control/schema/generate. Do not edit.
import type { Toleration } from './core-v1.gen.ts';
import type { ListMeta, ObjectMeta } from './meta-v1.gen.ts';

export interface Overhead {
  podFixed?: Record<string, string> | undefined;
}

export interface RuntimeClass {
  apiVersion: 'node.k8s.io/v1';
  handler: string;
  kind: 'RuntimeClass';
  metadata: ObjectMeta;
  overhead?: Overhead | undefined;
  scheduling?: Scheduling | undefined;
}

export interface RuntimeClassList {
  apiVersion: 'node.k8s.io/v1';
  items: RuntimeClass[];
  kind: 'RuntimeClassList';
  metadata: ListMeta;
}

export interface Scheduling {
  nodeSelector?: Record<string, string> | undefined;
  tolerations?: Toleration[] | undefined;
}
