/**
 * The admission chain in upstream's order (reference/kubernetes-api.md section 2.11), as far as this
 * server has the plugins.
 */
import type { Authorizer } from '../auth/authorizer.ts';
import type { RbacAuthorizer } from '../auth/rbac.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import type { AdmissionPlugin } from '../registry/admission.ts';
import type { ServedResources } from '../registry/served-resource.ts';
import { NamespaceLifecycle } from './namespace-lifecycle.ts';

export interface AdmissionParts {
  readonly resources: ServedResources;
  readonly hub: CacheHub;
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer;
}

export function admissionPlugins(parts: AdmissionParts): AdmissionPlugin[] {
  const { resources, hub } = parts;
  return [new NamespaceLifecycle({ namespaces: resources.must('', 'v1', 'namespaces'), hub })];
}
